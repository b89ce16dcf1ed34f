"""Pictures in a terminal without any toolkit: two pixels a cell as half blocks, ANSI true colour.

`Canvas` draws on the terminal's alternate screen, sends only the rows that changed, and gives the
terminal back as it was, whatever ends the program. Without colour (NO_COLOR, a Linux console)
brightness becomes characters."""

import os
import re
import select
import shutil
import sys
import termios
import tty
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np
import numpy.typing as npt

from sim.view.compose import Rgb, fit

RAMP = " .:-=+*#%@"
HALF = "▀"
COLOUR_STEP = 8
"""Colours are rounded to multiples of this: longer runs of equal cells, fewer bytes over SSH."""

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
_SEQUENCE = re.compile(r"(\x1b[\[O][0-9;]*([A-Za-z~]))|(.)", re.DOTALL)
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"


def colour_wanted(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the terminal can take 24-bit colour and half blocks."""
    env = os.environ if environment is None else environment
    return not env.get("NO_COLOR") and env.get("TERM", "") not in ("linux", "dumb", "vt100", "")


def picture_rows(rgb: Rgb, columns: int, rows: int, colour: bool = True) -> list[str]:
    """The picture fitted into `columns` x `rows` cells: one string for each row used.

    With colour each string carries its own ANSI colours and ends with a reset; without, it is plain
    ASCII."""
    small = fit(rgb, 2 * rows, columns)
    small = small[: small.shape[0] // 2 * 2]
    if not colour:
        grey = small @ np.array([0.299, 0.587, 0.114])
        cells = (grey[0::2] + grey[1::2]) / 2
        index = np.minimum(cells * len(RAMP) / 256, len(RAMP) - 1).astype(int)
        return ["".join(RAMP[value] for value in row) for row in index]
    rounded = np.minimum((small.astype(np.uint16) + COLOUR_STEP // 2) // COLOUR_STEP, 31)
    rounded = (rounded * COLOUR_STEP).astype(np.uint8)
    return [_row(rounded[y], rounded[y + 1]) for y in range(0, len(rounded), 2)]


def _row(upper: npt.NDArray[np.uint8], lower: npt.NDArray[np.uint8]) -> str:
    both = np.concatenate([upper, lower], axis=1)
    starts = np.flatnonzero(np.append(True, (both[1:] != both[:-1]).any(axis=1)))
    lengths = np.diff(np.append(starts, len(both)))
    parts = []
    for cell, length in zip(both[starts].tolist(), lengths.tolist(), strict=True):
        red, green, blue, red_below, green_below, blue_below = cell
        parts.append(
            f"\x1b[38;2;{red};{green};{blue};48;2;{red_below};{green_below};{blue_below}m"
            + HALF * length
        )
    return "".join(parts) + "\x1b[0m"


class Canvas:
    """The terminal as a place for pictures. Use it as a context manager.

    `size` fixes columns and rows (for tests and files); without it the terminal is asked each time.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        colour: bool | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._out = out or sys.stdout
        self._colour = colour_wanted() if colour is None else colour
        self._size = size
        self._shown: list[str] = []
        self._keys: Any = None
        self._typed: list[str] = []

    def __enter__(self) -> Self:
        if sys.stdin.isatty():
            self._keys = termios.tcgetattr(sys.stdin.fileno())
            tty.setcbreak(sys.stdin.fileno())
        self._out.write(_ENTER)
        self._out.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._out.write(_LEAVE)
        self._out.flush()
        if self._keys is not None:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._keys)

    def show(self, rgb: Rgb, first_line: str, last_line: str = "") -> None:
        """Draw a picture between two lines of text."""
        columns, lines = self._size or tuple(shutil.get_terminal_size())
        body = picture_rows(rgb, columns, max(1, lines - 2), self._colour)
        rows = [first_line[:columns], *body, last_line[:columns]]
        parts = []
        if len(rows) != len(self._shown):
            parts.append("\x1b[2J")
            self._shown = [""] * len(rows)
        for number, row in enumerate(rows):
            if row != self._shown[number]:
                parts.append(f"\x1b[{number + 1};1H{row}\x1b[K")
        self._shown = rows
        self._out.write("".join(parts))
        self._out.flush()

    def pressed(self, wait_s: float = 0.0) -> str:
        """The next key that was pressed, or an empty string: a character, `left` or `right`."""
        if self._keys is None:
            return ""
        if not self._typed and select.select([sys.stdin], [], [], wait_s)[0]:
            self._typed += key_names(os.read(sys.stdin.fileno(), 64).decode(errors="replace"))
        return self._typed.pop(0) if self._typed else ""


def key_names(typed: str) -> list[str]:
    """The keys behind what a terminal sends: an arrow is three characters, of which the first alone
    would be Escape. Other keys of that kind are left out."""
    names = {"C": "right", "D": "left"}
    found = []
    for sequence, final, plain in _SEQUENCE.findall(typed):
        if sequence:
            found += [names[final]] if final in names else []
        else:
            found.append(plain)
    return found
