"""The black box: the last minute before a fault, on disk, and its story in words."""
