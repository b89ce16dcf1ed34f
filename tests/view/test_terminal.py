"""Pictures in a terminal: right colours, few bytes, and the terminal given back."""

import io
import re

import numpy as np
import pytest

from sim.view.terminal import Canvas, colour_wanted, picture_rows

CELL = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m(▀+)")


def two_colours() -> np.ndarray:
    rgb = np.zeros((40, 40, 3), np.uint8)
    rgb[:, :20] = (200, 40, 40)
    rgb[:, 20:] = (40, 40, 200)
    return rgb


def test_a_row_is_drawn_in_runs_of_equal_colour() -> None:
    rows = picture_rows(two_colours(), columns=40, rows=20)
    assert len(rows) == 20
    runs = CELL.findall(rows[0])
    assert [run[:3] for run in runs] == [("200", "40", "40"), ("40", "40", "200")]
    assert [len(run[6]) for run in runs] == [20, 20]


def test_the_picture_keeps_its_shape() -> None:
    wide = np.full((100, 400, 3), 90, np.uint8)
    rows = picture_rows(wide, columns=80, rows=40)
    assert len(rows) == 10
    assert sum(len(run[6]) for run in CELL.findall(rows[0])) == 80


def test_without_colour_brightness_becomes_ascii() -> None:
    rgb = two_colours()
    rgb[:, :20] = 250
    rows = picture_rows(rgb, columns=40, rows=20, colour=False)
    assert all(row.isascii() for row in rows)
    assert rows[0] == "@" * 20 + rows[0][20] * 20 and rows[0][20] != "@"


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "linux"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({}, False),
    ],
)
def test_colour_is_used_only_where_it_can_be_shown(
    environment: dict[str, str], wanted: bool
) -> None:
    assert colour_wanted(environment) is wanted


def test_a_still_picture_sends_nothing_again() -> None:
    out = io.StringIO()
    canvas = Canvas(out, colour=True, size=(40, 22))
    canvas.show(two_colours(), "first", "last")
    before = len(out.getvalue())
    canvas.show(two_colours(), "first", "last")
    assert len(out.getvalue()) == before
    canvas.show(two_colours(), "changed", "last")
    assert out.getvalue()[before:] == "\x1b[1;1Hchanged\x1b[K"


def test_the_terminal_is_given_back_when_drawing_fails() -> None:
    out = io.StringIO()
    with pytest.raises(ZeroDivisionError), Canvas(out, colour=True, size=(40, 22)):
        raise ZeroDivisionError
    assert out.getvalue().endswith("\x1b[0m\x1b[?25h\x1b[?1049l")
