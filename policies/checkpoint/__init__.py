"""Checkpoints as files: what they hold, whether it can be trusted, and what it needs."""
