"""What may be changed in a policy's actions, and that limits stay last."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from config.schema import Config
from policies.actions import GripperChange, gripper_indices, parse_clip
from policies.border import Border, load_calibrations
from policies.poses import PosesToJoints, Reached, pose_stage
from robotd.errors import CheckpointError

_VALUES = st.floats(-1e6, 1e6, allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(
    actions=hnp.arrays(np.float64, (3, 6), elements=_VALUES),
    bias=st.floats(-100, 100),
    bounds=st.tuples(st.floats(0, 100), st.floats(0, 100)).map(sorted),
)
def test_whatever_the_bias_the_bounds_hold_and_no_other_joint_moves(
    actions: np.ndarray, bias: float, bounds: list[float]
) -> None:
    change = GripperChange(bias, bounds[0], bounds[1])
    changed = change.apply(actions, (5,))
    np.testing.assert_array_equal(changed[:, :5], actions[:, :5])
    if not change.nothing:
        assert (changed[:, 5] >= bounds[0]).all()
        assert (changed[:, 5] <= bounds[1]).all()
    inside = (actions[:, 5] + bias > bounds[0]) & (actions[:, 5] + bias < bounds[1])
    np.testing.assert_allclose(changed[inside, 5], actions[inside, 5] + bias)


@settings(max_examples=25, deadline=None)
@given(actions=hnp.arrays(np.float64, (2, 6), elements=_VALUES), bias=st.floats(-100, 100))
def test_no_change_lifts_the_limits_that_come_after_it(
    border: Border, actions: np.ndarray, bias: float
) -> None:
    """The border bounds the gripper to its calibrated range, whatever was added before."""
    goals = border.actions_rad(GripperChange(bias).apply(actions, (5,)))
    closed, opened = border.actions_rad([[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 100]])[:, 5]
    assert (goals[:, 5] >= closed - 1e-9).all()
    assert (goals[:, 5] <= opened + 1e-9).all()


@pytest.fixture(scope="module")
def border() -> Border:
    from importlib import resources

    from config import loader

    patch = pytest.MonkeyPatch()
    folder = str(resources.files("config").joinpath("calibration"))
    patch.setenv("HF_LEROBOT_CALIBRATION", folder)
    config: Config = loader.load(simulated=True).config
    made = Border(config, load_calibrations(config))
    patch.undo()
    return made


def test_nothing_changed_is_the_same_array() -> None:
    actions = np.array([[0.0, 0, 0, 0, 0, 120.0]])
    assert GripperChange().apply(actions, (5,)) is actions


def test_both_grippers_of_two_arms_are_found() -> None:
    names = [f"{side}_{joint}.pos" for side in ("left", "right") for joint in ("pan", "gripper")]
    assert gripper_indices(names) == (1, 3)


@pytest.mark.parametrize("text", ["80", "a:b", "0-80"])
def test_bounds_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match="no bounds"):
        parse_clip(text)
    assert parse_clip("0:80") == (0.0, 80.0)


def test_bounds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(CheckpointError, match="within 80 to 20"):
        GripperChange(0, 80, 20)


class _Ik:
    """Reaches what is within 0.3 m, and says of the rest how far it stays away."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[float, ...], tuple[float, ...]]] = []

    def __call__(
        self, position_m: Sequence[float], quaternion_wxyz: Sequence[float], seed_rad: np.ndarray
    ) -> Reached:
        self.asked.append((tuple(position_m), tuple(seed_rad)))
        away = max(0.0, float(np.linalg.norm(position_m)) - 0.3)
        joints = (*(float(value) for value in position_m), 0.0, 0.0, 0.0)
        return Reached(joints, away, away == 0.0)


def test_poses_out_of_reach_are_followed_as_far_as_possible_and_counted() -> None:
    ik = _Ik()
    stage = PosesToJoints(ik)
    poses = np.array([[0.2, 0, 0.1, 1, 0, 0, 0, 40], [0.4, 0, 0.1, 2, 0, 0, 0, 60]])
    angles, gripper = stage.joints(poses, np.zeros(6))
    assert np.isfinite(angles).all()  # never a hold
    np.testing.assert_array_equal(gripper, [40, 60])
    assert (stage.count.poses, stage.count.failed) == (2, 1)
    assert stage.count.mean_error_m == pytest.approx((np.hypot(0.4, 0.1) - 0.3) / 2)
    assert "1 of 2 poses were out of reach (50 %)" in stage.count.words
    assert ik.asked[1][1] == tuple(angles[0])  # each search begins where the last ended


def test_fingers_stay_above_the_table_and_no_number_stays_none() -> None:
    ik = _Ik()
    poses = np.array([[0.2, 0, -0.5, 1, 0, 0, 0, 40], [np.nan, 0, 0, 1, 0, 0, 0, 40]])
    turns_nowhere = np.array([[0.2, 0, 0.1, 0, 0, 0, 0, 40]])
    angles, _ = PosesToJoints(ik).joints(np.concatenate([poses, turns_nowhere]), np.zeros(6))
    assert ik.asked[0][0][2] == 0.03
    assert len(ik.asked) == 1
    assert np.isnan(angles[1:]).all()


def test_a_pose_becomes_joints_in_the_robots_units_and_keeps_its_gripper(border: Border) -> None:
    home = np.array([10.0, -20.0, 30.0, 40.0, -50.0, 60.0])
    home_rad = border.actions_rad(home)

    def stay(
        position_m: Sequence[float], quaternion_wxyz: Sequence[float], seed_rad: np.ndarray
    ) -> Reached:
        return Reached(tuple(seed_rad), 0.0, True)

    stage = pose_stage(PosesToJoints(stay), border)
    poses = np.array([[0.2, 0, 0.1, 1, 0, 0, 0, 25.0], [np.nan] * 8])
    goals = stage(poses, home)
    np.testing.assert_allclose(goals[0], [10, -20, 30, 40, -50, 25], atol=1e-9)
    assert np.isnan(goals[1]).all()
    np.testing.assert_allclose(border.units_from_rad(home_rad), home, atol=1e-9)
