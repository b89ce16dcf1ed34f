"""Opening the TUI from another command, without importing it before."""

from importlib import import_module


def open_tui(name: str) -> int:
    """Run the record screen for the robot `name` until the person leaves it."""
    return int(import_module("tui.app").main(name) or 0)
