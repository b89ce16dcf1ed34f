"""Single keys from a terminal without waiting for Enter. Works over SSH; no X, no daemon thread.

Both sets that people know work: LeRobot's (→ keep, ← redo, Esc stop) and letters for terminals that
eat arrows (n, r, q).
"""

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Any

_NAMES = {
    "\x1b[C": "keep",
    "n": "keep",
    "\x1b[D": "redo",
    "r": "redo",
    "\x1b": "stop",
    "q": "stop",
    " ": "toggle",
    "u": "undo",
    "s": "success",
    "f": "fail",
    "x": "estop",
    "\x1b[24~": "estop",
    "y": "yes",
}


class Keys:
    """The terminal in cbreak mode for as long as the `with` lasts. Nothing without a terminal."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno() if sys.stdin.isatty() else -1
        self._before: list[Any] = []

    def __enter__(self) -> "Keys":
        if self._descriptor >= 0:
            self._before = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def read(self, timeout_s: float) -> str | None:
        """The name of a pressed key, or None when none came in time or it means nothing here."""
        if self._descriptor < 0:
            select.select([], [], [], timeout_s)
            return None
        ready, _, _ = select.select([self._descriptor], [], [], timeout_s)
        if not ready:
            return None
        # An arrow is one escape sequence; reading it whole tells it from a bare Esc.
        return _NAMES.get(os.read(self._descriptor, 16).decode(errors="replace"))
