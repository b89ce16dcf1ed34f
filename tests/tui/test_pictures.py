"""Half-block pictures: right shape, right colours, little work."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_robot import ScriptedBackend, scene

from tui.look import PLAIN, RICH
from tui.picture import FASTEST_S, SLOWEST_S, Pictures, draw_row, shrink

sizes = st.tuples(st.integers(1, 60), st.integers(1, 120))


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(8, 200), st.integers(8, 200), st.integers(1, 8))
def test_any_picture_fits_any_widget(
    size: tuple[int, int], high: int, wide: int, bits: int
) -> None:
    rgb = np.full((high, wide, 3), 200, np.uint8)
    cells = shrink(rgb, *size, bits)
    assert cells.shape == (*size, 6) and cells.dtype == np.uint8


def test_a_picture_keeps_its_shape_and_colours() -> None:
    rgb = np.zeros((240, 320, 3), np.uint8)
    rgb[:, :160] = (248, 0, 0)
    rgb[:, 160:] = (0, 0, 248)
    cells = shrink(rgb, 24, 80, bits=5, around=0x0D1117)
    used = (cells != [0x0D, 0x11, 0x17] * 2).any(axis=2)
    rows, columns = used.any(axis=1).sum(), used.any(axis=0).sum()
    assert columns / (2 * rows) == pytest.approx(320 / 240, rel=0.1)
    middle = cells[12]
    assert (middle[10, :3] == (248, 0, 0)).all() and (middle[69, :3] == (0, 0, 248)).all()


def test_equal_cells_become_one_segment() -> None:
    row = np.zeros((50, 6), np.uint8)
    row[20:] = 200
    assert [len(segment.text) for segment in draw_row(row, RICH)] == [20, 30]


def test_the_plain_picture_is_ascii_and_has_light_and_dark() -> None:
    cells = shrink(scene("overhead"), 20, 60, bits=3)
    text = "".join(segment.text for row in cells for segment in draw_row(row, PLAIN))
    assert text.isascii() and len(set(text)) >= 4


def test_pictures_come_less_often_when_the_screen_takes_too_much() -> None:
    pictures = Pictures(ScriptedBackend(), RICH, 5, lambda _: None, lambda _: None)
    try:
        for _ in range(20):
            pictures.adapt(0.6)
        assert pictures.period_s == SLOWEST_S
        for _ in range(20):
            pictures.adapt(0.02)
        assert pictures.period_s == FASTEST_S
    finally:
        pictures.close()
