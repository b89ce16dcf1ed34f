"""What is said of motion, and of an arm that stands: nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from daemon.recorder.tables import ACTION, STATE
from dataset.checking.contents import Contents
from dataset.checking.motion import check_following, check_frozen
from dataset.checking.rows import stretches

FPS = 15
ROWS = 300
TICK = 360 / 4096  # degrees
REST = np.array([0.0, -98.0, 95.0, 40.0, 0.0, 3.0])
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")

type Values = npt.NDArray[np.float64]


def found_in(state: Values, action: Values) -> list[str]:
    """Codes of what is found in one episode of these rows [n, 6]."""
    names = [f"{joint}.pos" for joint in JOINTS]
    feature = {"dtype": "float32", "shape": [len(names)], "names": names}
    info: Any = {"fps": FPS, "features": {STATE: feature, ACTION: feature}}
    found = Contents(Path("nowhere"), info=info)
    count = len(state)
    rows = pa.table(
        {
            "episode_index": np.zeros(count, np.int64),
            "frame_index": np.arange(count),
            STATE: pa.array(list(state.astype(np.float32))),
            ACTION: pa.array(list(action.astype(np.float32))),
        }
    )
    where = stretches(rows)
    return [
        each.code
        for check in (check_following, check_frozen)
        for each in check(found, rows, where, None)
    ]


def flicker(seed: int) -> Values:
    """An arm that stands: now and then an encoder reads one tick more or less [ROWS, 6]."""
    steps = np.random.default_rng(seed).choice([-1, 0, 1], (ROWS, 6), p=[0.05, 0.9, 0.05])
    return REST + TICK * steps


def swing(shift: int = 0) -> Values:
    """A motion of tens of degrees that no lag mistakes for itself [ROWS, 6]."""
    t = (np.arange(ROWS) + shift)[:, None] / FPS
    rates = 3 * np.array([1.0, 0.7, 0.87, 1.3, 0.61, 0.83])
    return REST + 15 * np.sin(rates * t) + 6 * np.sin(2.9 * rates * t)


def moved(values: Values, frames: int) -> Values:
    """`values`, each row that of `frames` later."""
    return np.concatenate([values[frames:], np.repeat(values[-1:], frames, axis=0)])


@pytest.mark.parametrize("frames", [2, 3, 4])
def test_a_state_that_is_really_ahead_is_found(frames: int) -> None:
    assert found_in(moved(swing(), frames), swing()) == ["state-leads"]


@pytest.mark.parametrize("seed", range(4))
def test_an_arm_that_stands_is_not_ahead_of_the_goal_that_follows_what_it_measures(
    seed: int,
) -> None:
    still = flicker(seed)
    assert found_in(moved(still, 3), still) == []


def test_an_arm_that_stands_is_found_neither_frozen_nor_copied_nor_unrelated() -> None:
    still = flicker(0)
    constant = np.repeat(REST[None], ROWS, axis=0)
    assert found_in(constant, still) == []
    assert found_in(still, still) == []
    assert found_in(flicker(1), still) == []


def test_standing_for_most_of_an_episode_hides_no_lead_and_makes_none() -> None:
    begun = np.concatenate([flicker(0)[:200], swing()[:100]])
    assert found_in(moved(begun, 3), begun) == ["state-leads"]
    standing = moved(flicker(2), 3)[:200]  # ahead by its flicker; the motion is as it should be
    following = np.concatenate([standing, swing(-2)[:100]])
    assert found_in(following, begun) == []


def test_a_move_of_one_joint_is_motion_enough() -> None:
    action = flicker(0)
    action[:, 2] = swing()[:, 2]
    assert found_in(moved(action, 3), action) == ["state-leads"]
    assert found_in(np.concatenate([action[:1], action[:-1]]), action) == []
