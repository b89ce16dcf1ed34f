"""Single keys from a terminal without waiting for Enter. Works over SSH; no X, no daemon thread.

Both sets that people know work: LeRobot's (→ keep, ← redo, Esc stop) and letters for terminals that
eat arrows (n, r, q). The record screen uses the same keys for the same things.
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
    "\x1bOC": "keep",
    "n": "keep",
    "\x1b[D": "redo",
    "\x1bOD": "redo",
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
    "\x7f": "discard",
    "\x08": "discard",
    "m": "mark",
    "b": "keep_last",
    "w": "note",
    "t": "task",
    "i": "intervene",
}
_ESTOP_SEQUENCE = "\x1b[24~"  # F12: the one key that stops while text is being typed
_ESCAPE_S = 0.05
"""How long the rest of an escape sequence may take over SSH before Esc is taken for a bare one."""


def split_keys(text: str) -> list[str]:
    """The names of the keys in what a terminal sent; what means nothing here is left out.

    A stop comes first, whatever was typed before it.
    """
    found: list[str] = []
    while text:
        size = _sequence_length(text)
        name = _NAMES.get(text[:size])
        if name is not None:
            found.append(name)
        text = text[size:]
    return sorted(found, key=lambda name: name != "estop")


def edited(line: str, text: str) -> tuple[str, str]:
    """A line after `text` was typed, and what that means: "" (still writing), "done", "given up"
    (Esc), or "estop" (F12). Backspace takes back; keys that write nothing are left out."""
    while text:
        size = _sequence_length(text)
        key, text = text[:size], text[size:]
        if key == _ESTOP_SEQUENCE:
            return line, "estop"
        if key in ("\r", "\n"):
            return line, "done"
        if key == "\x1b":
            return line, "given up"
        if key in ("\x7f", "\x08"):
            line = line[:-1]
        elif key.isprintable():
            line += key
    return line, ""


def _sequence_length(text: str) -> int:
    """How many characters the first key is: ESC [ or ESC O, parameters, one final character."""
    if not text.startswith(("\x1b[", "\x1bO")):
        return 1
    for size in range(3, len(text) + 1):
        if "@" <= text[size - 1] <= "~":
            return size
    return len(text)


class Keys:
    """The terminal in cbreak mode for as long as the `with` lasts. Nothing without a terminal."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno() if sys.stdin.isatty() else -1
        self._before: list[Any] = []
        self._pressed: list[str] = []

    def __enter__(self) -> "Keys":
        if self.present:
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

    @property
    def present(self) -> bool:
        """Whether there is a terminal that keys can come from."""
        return self._descriptor >= 0

    def read(self, timeout_s: float) -> str | None:
        """The name of a pressed key, or None when none came in time."""
        if self._pressed:
            return self._pressed.pop(0)
        if not self.present:
            select.select([], [], [], timeout_s)
            return None
        if not self._waiting(timeout_s):
            return None
        self._pressed = split_keys(self._burst())
        return self._pressed.pop(0) if self._pressed else None

    def typed(self, timeout_s: float) -> str:
        """What was typed, as text: for a line that a person writes. Empty when nothing came."""
        self._pressed.clear()  # what came in one burst with the key that began the line is no key
        if not self.present or not self._waiting(timeout_s):
            return ""
        return self._burst()

    def late(self) -> list[str]:
        """The keys that were pressed and not read yet. They are taken: none is left for later."""
        found, self._pressed = self._pressed, []
        if self.present and self._waiting(0.0):
            found = [*found, *split_keys(self._burst())]
        return found

    def _waiting(self, timeout_s: float) -> bool:
        return bool(select.select([self._descriptor], [], [], timeout_s)[0])

    def _burst(self) -> str:
        """What is there, with the rest of an escape sequence that is still on its way."""
        text = self._typed()
        if text.endswith("\x1b") and self._waiting(_ESCAPE_S):
            text += self._typed()
        return text

    def _typed(self) -> str:
        return os.read(self._descriptor, 1024).decode(errors="replace")
