"""How far a long verb is, on one line of a person's terminal; silent for programs."""

import sys
from collections.abc import Callable
from typing import TextIO

type Progress = Callable[[str, int, int], None]
"""(what, done, all)"""

_WIDTH = 60


def shown(as_json: bool, stream: TextIO | None = None) -> Progress:
    """Progress on standard error where that is a terminal, else none."""
    out = stream or sys.stderr
    if as_json or not out.isatty():
        return silent

    def show(what: str, done: int, total: int) -> None:
        line = f"{what}: {done} of {total}"
        out.write(f"\r{line[:_WIDTH]:{_WIDTH}}")
        out.flush()

    return show


def silent(what: str, done: int, total: int) -> None:
    """For callers that show none."""
