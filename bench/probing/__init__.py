"""Faults to plant into checkpoints, checkpoints to plant them into, and the count of what is found."""
