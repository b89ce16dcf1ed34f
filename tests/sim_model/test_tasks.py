"""The task as data, the success test and the failure taxonomy (policy facts 3.2-3.4 and G4)."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from robotd.errors import ConfigError
from robotd.layouts import ENVIRONMENT_STATE_NAMES
from sim.model.drawer import FACING_RAD, HANDLE_START_M
from sim.model.objects import BLOCK_START_M, BOWL_CENTRE_M, BOWL_RIM_RADIUS_M, MAT_CENTRE_M
from sim.plant.options import PlantOptions
from sim.plant.world import World
from sim.tasks.grip import SLIP_M, grip_of
from sim.tasks.outcome import (
    Outcome,
    Trail,
    classify,
    completed_at,
    done_at,
    outcome_of,
    outcomes_of,
    rates,
    row_is_success,
)
from sim.tasks.spec import (
    DrawerTask,
    PlaceTask,
    PushTask,
    TaskSpec,
    load_task,
    read_task,
    sample_pose,
    task_names,
)


def _shipped(name: str) -> TaskSpec:
    return load_task(name)


TASK, PUSH, DRAWER = (_shipped(n) for n in ("block_in_bowl", "push_block", "open_drawer"))
assert isinstance(TASK, PlaceTask) and isinstance(PUSH, PushTask)
assert isinstance(DRAWER, DrawerTask)
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
    assert (TASK.start.x_m, TASK.start.y_m) == BLOCK_START_M
    assert TASK.success.half_width_m == BOWL_RIM_RADIUS_M


def test_a_seed_gives_one_block_pose_for_ever() -> None:
    pose = sample_pose(TASK, 7)
    assert pose == sample_pose(TASK, 7)
    assert (pose.x_m, pose.y_m, pose.yaw_rad) == pytest.approx(FROZEN_SEED_7, abs=1e-12)


FROZEN_SEED_7 = (0.22651003937729003, 0.22193572372827033, -0.7587000895864027)


def test_block_poses_fill_their_range_and_stay_in_it() -> None:
    poses = [sample_pose(TASK, seed) for seed in range(200)]
    for values, middle, spread in (
        ([p.x_m for p in poses], TASK.start.x_m, TASK.start.spread_m),
        ([p.y_m for p in poses], TASK.start.y_m, TASK.start.spread_m),
        ([p.yaw_rad for p in poses], 0.0, TASK.start.yaw_spread_rad),
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
    WORLD.set_object(0.2, 0.25, yaw_rad)
    state = WORLD.environment_state()
    WORLD.set_object(0.2, 0.25, yaw_rad + math.pi)
    assert WORLD.environment_state() == pytest.approx(state, abs=1e-9)
    named = dict(zip(ENVIRONMENT_STATE_NAMES, state, strict=True))
    assert named["block_x_m"] == pytest.approx(0.2)
    assert named["block_cos_2yaw"] == pytest.approx(math.cos(2 * yaw_rad), abs=1e-9)
    assert named["block_sin_2yaw"] == pytest.approx(math.sin(2 * yaw_rad), abs=1e-9)
    assert (named["bowl_x_m"], named["bowl_y_m"]) == pytest.approx(BOWL_CENTRE_M)


WORLD = World(PlantOptions(leader=False))


# --- the other two kinds -----------------------------------------------------------------------------


def test_the_tasks_have_the_three_kinds_and_stand_where_their_scenes_do() -> None:
    assert task_names() == ["block_in_bowl", "open_drawer", "push_block"]
    assert (PUSH.goal.x_m, PUSH.goal.y_m) == MAT_CENTRE_M
    assert (DRAWER.start.x_m, DRAWER.start.y_m) == HANDLE_START_M
    out = math.atan2(DRAWER.start.y_m - DRAWER.goal.y_m, DRAWER.start.x_m - DRAWER.goal.x_m)
    assert out == pytest.approx(FACING_RAD, abs=2e-3)
    assert DRAWER.open_m == pytest.approx(0.06, abs=1e-4)
    for task in (TASK, PUSH, DRAWER):
        assert outcomes_of(task)[0] is Outcome.SUCCESS and Outcome.TIMEOUT in outcomes_of(task)


def pushed(end_xy: tuple[float, float], farthest_m: float = 0.2, z: float = REST_M) -> Trail:
    """300 rows from the start, once `farthest_m` away, and at `end_xy` in the last one."""
    path = np.tile([PUSH.start.x_m, PUSH.start.y_m, z], (300, 1))
    path[150, 1] -= farthest_m
    path[-1, :2] = end_xy
    still = np.zeros(300)
    return Trail(path, still, still, still)


GOAL = (PUSH.goal.x_m, PUSH.goal.y_m)


@pytest.mark.parametrize(
    ("trail", "expected"),
    [
        (pushed((PUSH.start.x_m, PUSH.start.y_m), 0.0199), Outcome.NEVER_MOVED),
        (pushed((PUSH.start.x_m, PUSH.start.y_m), 0.0201), Outcome.PUSHED_ASTRAY),
        (pushed((GOAL[0] + 0.0399, GOAL[1])), Outcome.TIMEOUT),  # there, but not long enough
        (pushed((GOAL[0] + 0.0401, GOAL[1])), Outcome.MISSED_GOAL),
        (pushed((GOAL[0], GOAL[1] + 0.0999)), Outcome.MISSED_GOAL),
        (pushed((GOAL[0], GOAL[1] + 0.1001)), Outcome.PUSHED_ASTRAY),
    ],
)
def test_a_push_that_failed_is_never_begun_a_near_miss_or_astray(
    trail: Trail, expected: Outcome
) -> None:
    assert outcome_of(PUSH, trail) is expected


def test_a_push_succeeds_when_the_block_has_lain_on_the_mat() -> None:
    rows = PUSH.success.dwell_rows
    on_mat = np.tile([*GOAL, REST_M], (rows, 1))
    still = np.zeros(rows)
    assert outcome_of(PUSH, Trail(on_mat, still, still, still)) is Outcome.SUCCESS
    assert done_at(PUSH, Trail(on_mat, still + 0.011, still, still)) is None  # pushed on
    on_mat[:, 2] = 0.04  # carried over it
    assert done_at(PUSH, Trail(on_mat, still, still, still)) is None


def opened(*metres: float, speed: float = 0.0, gripper: float = 0.5) -> Trail:
    rows = len(metres)
    where = np.zeros((rows, 3))
    return Trail(where, np.full(rows, speed), np.full(rows, gripper), np.array(metres))


FAR = [0.0, *[DRAWER.open_m] * 12]


@pytest.mark.parametrize(
    ("trail", "expected"),
    [
        (opened(*FAR), Outcome.SUCCESS),
        (opened(*FAR, gripper=0.34), Outcome.TIMEOUT),  # still held
        (opened(*FAR, speed=0.02), Outcome.TIMEOUT),
        (opened(*FAR[:10]), Outcome.TIMEOUT),  # nine rows are not ten
        (opened(0.0, 0.01, 0.0), Outcome.NEVER_MOVED),
        (opened(0.0, 0.0101, 0.0), Outcome.PARTLY_OPEN),
        (opened(0.0, DRAWER.open_m - 1e-6), Outcome.PARTLY_OPEN),
        (opened(0.0, DRAWER.open_m, DRAWER.open_m - 1e-6), Outcome.SHUT_AGAIN),
        (opened(), Outcome.TIMEOUT),
    ],
)
def test_a_drawer_ends_open_never_moved_partly_open_or_shut_again(
    trail: Trail, expected: Outcome
) -> None:
    assert outcome_of(DRAWER, trail) is expected


def test_a_drawer_that_opens_is_told_by_its_handle_and_wanted_straight_out_of_the_cabinet() -> None:
    world = World(PlantOptions(leader=False, task="open_drawer"))
    world.set_object(0.22, 0.18, 0.1)
    x, y, _, _, _, gx, gy = world.environment_state()
    assert (x, y) == pytest.approx((0.22, 0.18), abs=1e-6)
    assert math.hypot(gx - x, gy - y) == pytest.approx(DRAWER.open_m)
    assert math.atan2(y - gy, x - gx) == pytest.approx(FACING_RAD + 0.1, abs=1e-6)
    at = world.physics.index.drawer_qpos
    assert at is not None
    world.physics.data.qpos[at] = DRAWER.open_m
    world.advance(4)
    moved = world.environment_state()
    assert moved[:2] == pytest.approx([gx, gy], abs=1e-3)
    assert moved[5:] == [gx, gy]
    assert world.truth().opened_m == pytest.approx(DRAWER.open_m, abs=1e-3)


# --- the grip ----------------------------------------------------------------------------------------


def test_a_slip_is_counted_on_both_sides_of_its_threshold_and_a_new_grip_is_none() -> None:
    hand = np.zeros((30, 3))
    hand[10:, 0] = SLIP_M * 1.01
    held = [True] * 30
    assert grip_of(held, [2.0] * 30, hand).slips == 1
    hand[10:, 0] = SLIP_M * 0.99
    assert grip_of(held, [2.0] * 30, hand).slips == 0
    hand[10:, 0] = 0.05
    held[9] = False  # let go and taken again: another grip, no slip
    assert grip_of(held, [2.0] * 30, hand).slips == 0


def test_the_grips_margin_is_the_least_while_it_holds_not_while_it_lets_go() -> None:
    held = [False] * 3 + [True] * 30 + [False] * 3
    margin = [0.0] * 3 + [0.2] * 4 + [3.0] * 11 + [1.4] + [3.0] * 11 + [0.1] * 3 + [0.0] * 3
    found = grip_of(held, margin, np.zeros((36, 3)))
    assert (found.rows, found.margin) == (30, 1.4)
    assert grip_of([False] * 9, [0.0] * 9, np.zeros((9, 3))).margin is None
