"""Tasks: what is to be done, when it counts as done, and what went wrong when it does not."""
