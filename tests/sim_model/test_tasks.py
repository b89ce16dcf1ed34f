"""The task as data, the success test and the failure taxonomy (policy facts 3.2-3.4 and G4)."""

import math
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from robotd.errors import ConfigError
from robotd.layouts import ENVIRONMENT_STATE_NAMES
from sim.model.objects import BLOCK_START_M, BOWL_CENTRE_M, BOWL_RIM_RADIUS_M
from sim.model.scene import SceneOptions, build, place_block, scene_index
from sim.tasks.environment import environment_state
from sim.tasks.outcome import Outcome, classify, completed_at, rates, row_is_success
from sim.tasks.spec import load_task, read_task, sample_block_pose

TASK = load_task("block_in_bowl")
REST_M = 0.0096
FAR_M = 0.30


def trajectory(
    peak_m: float = REST_M, peak_at: int = 100, end_m: float = REST_M, end_distance_m: float = FAR_M
) -> npt.NDArray[np.float64]:
    """300 samples resting on the table but for one peak and the last sample."""
    path = np.zeros((300, 3))
    path[:, 0] = TASK.goal.x_m
    path[:, 1] = TASK.goal.y_m + end_distance_m
    path[:, 2] = REST_M
    path[peak_at, 2] = peak_m
    path[-1, 2] = end_m
    return path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (trajectory(), Outcome.NEVER_PICKED_UP),
        (trajectory(peak_m=0.05), Outcome.NEVER_PICKED_UP),
        (trajectory(peak_m=0.12), Outcome.DROPPED_DURING_TRANSPORT),
        (trajectory(peak_m=0.12, end_distance_m=0.119), Outcome.MISSED_GOAL),
        (trajectory(peak_m=0.12, end_distance_m=0.121), Outcome.DROPPED_DURING_TRANSPORT),
        (trajectory(peak_m=0.12, peak_at=291), Outcome.TIMEOUT),
        (trajectory(peak_m=0.12, peak_at=289), Outcome.DROPPED_DURING_TRANSPORT),
        (trajectory(peak_m=0.10, end_m=0.10), Outcome.TIMEOUT),
        (np.zeros((0, 3)), Outcome.TIMEOUT),
    ],
)
def test_failures_are_classified_as_the_golden_vectors_say(
    path: npt.NDArray[np.float64], expected: Outcome
) -> None:
    assert classify(TASK, path, completed=False) is expected
    assert classify(TASK, path, completed=True) is Outcome.SUCCESS


def test_rates_of_the_published_runs_come_out_again() -> None:
    joint = [Outcome.SUCCESS] * 22 + [Outcome.NEVER_PICKED_UP] * 2
    joint += [Outcome.DROPPED_DURING_TRANSPORT] * 6
    found = rates(joint, steps=[139] * 11 + [140] * 11 + [1] * 8, max_steps=300)
    assert found.success == pytest.approx(0.733, abs=5e-4)
    assert found.pick == pytest.approx(0.933, abs=5e-4)
    assert found.drop == pytest.approx(0.214, abs=5e-4)
    assert found.mean_steps == pytest.approx(182.3, abs=0.05)
    ee = [Outcome.SUCCESS] * 19 + [Outcome.NEVER_PICKED_UP] * 7
    ee += [Outcome.DROPPED_DURING_TRANSPORT] * 2 + [Outcome.MISSED_GOAL, Outcome.TIMEOUT]
    found = rates(ee, steps=[100] * 30, max_steps=300)
    assert (found.success, found.pick, found.drop) == pytest.approx((0.633, 0.767, 0.130), abs=5e-4)


GOOD = ([TASK.goal.x_m, TASK.goal.y_m, 0.014], 0.0, 0.6)


def test_a_block_at_rest_in_the_bowl_with_an_open_gripper_counts() -> None:
    assert row_is_success(TASK, *GOOD)


@pytest.mark.parametrize(
    ("xyz", "speed", "gripper"),
    [
        ([TASK.goal.x_m + 0.06, TASK.goal.y_m, 0.014], 0.0, 0.6),
        ([TASK.goal.x_m, TASK.goal.y_m - 0.06, 0.014], 0.0, 0.6),
        ([TASK.goal.x_m, TASK.goal.y_m, 0.05], 0.0, 0.6),
        ([TASK.goal.x_m, TASK.goal.y_m, 0.014], 0.05, 0.6),
        ([TASK.goal.x_m, TASK.goal.y_m, 0.014], 0.0, 0.2),
        ([math.nan, TASK.goal.y_m, 0.014], 0.0, 0.6),
        ([TASK.goal.x_m, TASK.goal.y_m, 0.014], math.nan, 0.6),
        ([TASK.goal.x_m, TASK.goal.y_m, 0.014], 0.0, math.nan),
    ],
)
def test_beside_above_moving_held_or_unknown_does_not_count(
    xyz: list[float], speed: float, gripper: float
) -> None:
    assert not row_is_success(TASK, xyz, speed, gripper)


@given(runs=st.lists(st.integers(0, 15), max_size=6))
def test_success_needs_its_rows_in_a_row(runs: list[int]) -> None:
    good: list[bool] = []
    for length in runs:
        good += [True] * length + [False]
    xyz = np.tile(np.array(GOOD[0]), (len(good), 1))
    gripper = np.where(good, 0.6, 0.0)
    found = completed_at(TASK, xyz, np.zeros(len(good)), gripper)
    dwell = TASK.success.dwell_rows
    expected = next(
        (
            row
            for row in range(len(good))
            if row + 1 >= dwell and all(good[row + 1 - dwell : row + 1])
        ),
        None,
    )
    assert found == expected


def test_the_task_is_set_where_the_scene_stands() -> None:
    assert (TASK.goal.x_m, TASK.goal.y_m) == BOWL_CENTRE_M
    assert (TASK.block.x_m, TASK.block.y_m) == BLOCK_START_M
    assert TASK.success.half_width_m == BOWL_RIM_RADIUS_M


def test_a_seed_gives_one_block_pose_for_ever() -> None:
    pose = sample_block_pose(TASK, 7)
    assert pose == sample_block_pose(TASK, 7)
    assert (pose.x_m, pose.y_m, pose.yaw_rad) == pytest.approx(FROZEN_SEED_7, abs=1e-12)


FROZEN_SEED_7 = (0.2244937640000011, 0.25507966892583495, 0.039549947210114844)


def test_block_poses_fill_their_range_and_stay_in_it() -> None:
    poses = [sample_block_pose(TASK, seed) for seed in range(200)]
    for values, middle, spread in (
        ([p.x_m for p in poses], TASK.block.x_m, TASK.block.spread_m),
        ([p.y_m for p in poses], TASK.block.y_m, TASK.block.spread_m),
        ([p.yaw_rad for p in poses], 0.0, TASK.block.yaw_spread_rad),
    ):
        offset = np.array(values) - middle
        assert np.abs(offset).max() <= spread
        assert offset.min() < -0.9 * spread and offset.max() > 0.9 * spread


def test_a_misspelt_task_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="block_in_bowl"):
        load_task("block_in_boul")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("dwell_rows: 10", "dwell_rows: 0", "dwell_rows"),
        ("dwell_rows: 10", "dwel_rows: 10", "dwel_rows"),
        ("spread_m: 0.04", "spread_m: wide", "spread_m"),
    ],
)
def test_a_wrong_task_file_names_its_key(tmp_path: Path, old: str, new: str, named: str) -> None:
    shipped = (Path(config.__file__).parent / "tasks" / "block_in_bowl.yaml").read_text()
    assert old in shipped
    file = tmp_path / "task.yaml"
    file.write_text(shipped.replace(old, new, 1))
    with pytest.raises(ConfigError, match=named):
        read_task(file)


@given(yaw_rad=st.floats(-math.pi, math.pi))
def test_environment_state_is_blind_to_half_turns(yaw_rad: float) -> None:
    place_block(MODEL, DATA, INDEX, 0.2, 0.25, yaw_rad)
    state = environment_state(MODEL, DATA, INDEX)
    place_block(MODEL, DATA, INDEX, 0.2, 0.25, yaw_rad + math.pi)
    assert environment_state(MODEL, DATA, INDEX) == pytest.approx(state, abs=1e-9)
    named = dict(zip(ENVIRONMENT_STATE_NAMES, state, strict=True))
    assert named["block_x_m"] == pytest.approx(0.2)
    assert named["block_cos_2yaw"] == pytest.approx(math.cos(2 * yaw_rad), abs=1e-9)
    assert named["block_sin_2yaw"] == pytest.approx(math.sin(2 * yaw_rad), abs=1e-9)
    assert (named["bowl_x_m"], named["bowl_y_m"]) == pytest.approx(BOWL_CENTRE_M)


MODEL = build(SceneOptions(use="twin"))
DATA = mujoco.MjData(MODEL)
INDEX = scene_index(MODEL)
