"""The public client of robotd: message types, shared-memory layouts and `connect()`.

This is the one package meant to enter a person's own environment. It needs only the standard
library, msgspec and pyzmq, and imports no device, no model and no room of the daemon.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from robotd.client import Robot

__all__ = ["__version__", "connect"]


def connect(name: str | None = None, timeout_s: float = 5.0) -> "Robot":
    """Connect to a running daemon by robot name.

    With no name the single running instance is used; two running instances are an error that
    names both. Raises `robotd.errors.DaemonError` when none runs.
    """
    from robotd.client import Robot

    return Robot.connect(name, timeout_s=timeout_s)
