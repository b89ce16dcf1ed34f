"""Looking back through what was watched, by keys; and lines that never overfill a scene."""

import mujoco
import numpy as np
import pytest

from sim.model.scene import ONE_ARM
from sim.view.history import History
from sim.view.lines import PASSED, PAST, PAST_KEPT, Line, past
from sim.view.terminal import key_names
from sim.view.twin import TwinPicture

REST = (0.0, -1.70, 1.61, 0.66, 0.0, 0.0)


def filled(count: int, kept: int = 5) -> History[int]:
    history: History[int] = History(kept)
    for number in range(count):
        history.add(number)
    return history


def test_space_stops_the_picture_and_lets_it_go_on() -> None:
    history = filled(3)
    assert history.press(" ") and (history.shown, history.back) == (2, 0)
    history.add(3)
    assert (history.shown, history.back) == (2, 1)
    assert history.press(" ") and (history.shown, history.back) == (3, None)


def test_left_and_right_step_and_r_is_now() -> None:
    history = filled(5)
    for _ in range(2):
        history.press("left")
    assert (history.shown, history.back) == (2, 2)
    history.press("right")
    assert history.shown == 3
    for _ in range(9):
        history.press("left")
    assert history.shown == 0
    for _ in range(9):
        history.press("right")
    assert (history.shown, history.back) == (4, 0)
    history.press("R")
    assert history.back is None
    assert not history.press("q") and not history.press("x")


def test_a_moment_that_is_forgotten_while_it_is_shown_gives_way_to_the_next() -> None:
    history = filled(5)
    for _ in range(9):
        history.press("left")
    history.add(5)
    assert (history.shown, history.back) == (1, 4)


def test_before_the_first_moment_keys_do_nothing() -> None:
    history: History[int] = History()
    assert history.shown is None
    for key in (" ", "left", "right", "r"):
        assert history.press(key)
    assert history.back is None


def test_an_arrow_is_one_key_and_escape_another() -> None:
    assert key_names("\x1b[D\x1bOC \x1b[Aq") == ["left", "right", " ", "q"]
    assert key_names("\x1b") == ["\x1b"]
    assert key_names("\x1b[1;5D") == ["left"]


def test_plans_fade_with_the_square_of_their_age_the_newest_first() -> None:
    plans = [[Line(np.full((2, 3), float(k)), PASSED)] for k in range(PAST_KEPT + 5)]
    faded = past(plans)
    assert len(faded) == PAST_KEPT
    assert faded[0].points_m[0, 0] == PAST_KEPT + 4
    alphas = [line.rgba[3] / PAST[3] for line in faded]
    expected = [(1 - age / (PAST_KEPT + 1)) ** 2 for age in range(1, PAST_KEPT + 1)]
    assert alphas == pytest.approx(expected)


def test_more_lines_than_the_scene_holds_draw_the_first_and_leave_memory_alone() -> None:
    twin = TwinPicture(ONE_ARM, objects=False)
    try:
        scene = twin._renderer.scene
        bare = twin.draw(REST).astype(int)
        way = np.linspace([0.15, -0.2, 0.1], [0.15, 0.2, 0.1], 24)
        first = Line(way, PASSED)
        many = [
            Line(way + np.array([0.0, 0.0, 0.0001 * k]), (0.3, 0.3, 1.0, 0.0)) for k in range(200)
        ]
        full = twin.draw(REST, None, [first, *many]).astype(int)
        assert scene.ngeom == scene.maxgeom
        green = (full[..., 1] - full[..., 0] > 50) & (full[..., 1] > 120)
        assert green.sum() > 100
        again = twin.draw(REST).astype(int)
        assert (again == bare).all() and scene.ngeom < scene.maxgeom
        assert isinstance(scene, mujoco.MjvScene)
    finally:
        twin.close()
