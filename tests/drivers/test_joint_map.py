"""Ticks, radians and LeRobot units say the same thing about the same pose."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.calibration import JOINT_NAMES, MotorCalibration, NormMode
from drivers.joint_map import JointMap
from robotd.errors import CalibrationError

RANGES = [(794, 3297), (942, 3217), (956, 3159), (885, 3046), (278, 3919), (2047, 3298)]
# facts/policies.md G2, the twin's limits. The gripper's there is 100 degrees.
MODEL_LOWER = [-1.91986, -1.74533, -1.69, -1.65806, -2.74385, -0.17453]
MODEL_UPPER = [1.91986, 1.74533, 1.69, 1.65806, 2.84121, 1.74533]


def arm(*inverted: str) -> dict[str, MotorCalibration]:
    return {
        name: MotorCalibration(i + 1, int(name in inverted), 0, *RANGES[i])
        for i, name in enumerate(JOINT_NAMES)
    }


MODES = [NormMode.DEGREES, NormMode.RANGE_M100_100]
maps = st.builds(
    lambda offsets, mode, inverted: JointMap(arm(*inverted), offsets, mode),
    st.lists(st.floats(-0.5, 0.5), min_size=6, max_size=6),
    st.sampled_from(MODES),
    st.sets(st.sampled_from(JOINT_NAMES)),
)
in_range = st.tuples(*[st.integers(low, high) for low, high in RANGES])


@given(maps, in_range)
def test_ticks_survive_the_way_through_radians(joints, ticks) -> None:
    assert joints.ticks_from_rad(joints.rad_from_ticks(ticks)).tolist() == list(ticks)


@given(maps, in_range)
def test_both_ways_from_ticks_to_radians_agree(joints, ticks) -> None:
    through_units = joints.rad_from_lerobot(joints.lerobot_from_ticks(ticks))
    assert through_units == pytest.approx(joints.rad_from_ticks(ticks), abs=1e-9)
    back = joints.lerobot_from_rad(joints.rad_from_ticks(ticks))
    assert back == pytest.approx(joints.lerobot_from_ticks(ticks), abs=1e-9)


@given(in_range)
def test_body_joints_are_the_radians_of_lerobots_degrees_plus_the_offset(ticks) -> None:
    offsets = [0.1, -0.2, 0.0, 0.3, -1.5, 0.0]
    joints = JointMap(arm(), offsets)
    degrees = joints.lerobot_from_ticks(ticks)[:5]
    expected = [math.radians(d) + o for d, o in zip(degrees, offsets, strict=False)]
    assert joints.rad_from_ticks(ticks)[:5] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("inverted", [(), ("gripper",)])
def test_the_gripper_goes_from_minus_10_to_100_degrees(inverted) -> None:
    joints = JointMap(arm(*inverted))
    shut, wide = (3298, 2047) if inverted else (2047, 3298)
    assert joints.rad_from_ticks([2048] * 5 + [shut])[5] == pytest.approx(-0.17453)
    assert joints.rad_from_ticks([2048] * 5 + [wide])[5] == pytest.approx(1.74533)
    assert joints.lerobot_from_ticks([2048] * 5 + [shut])[5] == 0
    assert joints.lerobot_from_ticks([2048] * 5 + [wide])[5] == 100


def test_a_joint_pushed_past_its_range_reads_true_in_radians() -> None:
    joints = JointMap(arm())
    past = joints.rad_from_ticks([794 - 100] + [2048] * 4 + [2047 - 50])
    assert past[0] < joints.rad_from_ticks([794] * 6)[0]
    assert past[5] < -0.17453


def test_goal_ticks_are_the_nearest_and_stay_in_the_recorded_range() -> None:
    joints = JointMap(arm())
    exact = joints.rad_from_ticks([2000] * 5 + [2500])
    tick_rad = math.radians(360 / 4095)
    assert joints.ticks_from_rad(exact + 0.4 * tick_rad * (np.arange(6) < 5))[0] == 2000
    assert joints.ticks_from_rad(exact + 0.6 * tick_rad * (np.arange(6) < 5))[0] == 2001
    far = joints.ticks_from_rad([1e300, -1e300, 9, -9, 9, -9])
    assert far.tolist() == [3297, 942, 3159, 885, 3919, 2047]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_becomes_no_goal(bad) -> None:
    joints = JointMap(arm())
    pose = [0.0, 0.0, bad, 0.0, 0.0, 0.0]
    for convert in (joints.ticks_from_rad, joints.rad_from_lerobot, joints.lerobot_from_rad):
        with pytest.raises(ValueError, match="finite"):
            convert(pose)
    with pytest.raises(ValueError, match="no position"):
        joints.ticks_from_lerobot(pose)


def test_whole_trajectories_convert_at_once() -> None:
    joints = JointMap(arm())
    ticks = np.array([[2000, 2000, 2000, 2000, 2000, 2500], [2100, 2100, 2100, 2100, 2100, 2600]])
    rad = joints.rad_from_ticks(ticks)
    assert rad.shape == (2, 6)
    assert joints.ticks_from_rad(rad).tolist() == ticks.tolist()
    assert joints.lerobot_from_ticks(ticks)[1].tolist() == pytest.approx(
        joints.lerobot_from_ticks(ticks[1]).tolist()
    )
    assert joints.rad_from_lerobot(joints.lerobot_from_ticks(ticks)) == pytest.approx(rad)


def test_limits_are_the_narrower_of_calibration_and_model() -> None:
    joints = JointMap(arm())
    lower, upper = joints.limits_rad(MODEL_LOWER, MODEL_UPPER)
    ends = joints.rad_from_ticks([low for low, _ in RANGES])
    assert lower == pytest.approx(np.maximum(ends, MODEL_LOWER))
    assert (lower < upper).all()
    narrow, _ = joints.limits_rad([-0.1] * 5 + [0.0], MODEL_UPPER)
    assert narrow.tolist() == [-0.1] * 5 + [0.0]


def test_a_calibration_outside_the_model_is_refused_by_name() -> None:
    joints = JointMap(arm(), [0, 0, 0, 0, 9.0, 0])
    with pytest.raises(CalibrationError, match="wrist_roll"):
        joints.limits_rad(MODEL_LOWER, MODEL_UPPER)


def test_offsets_and_units_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="six joint offsets"):
        JointMap(arm(), [0.0])
    with pytest.raises(ValueError, match="body joints"):
        JointMap(arm(), body_mode=NormMode.RANGE_0_100)


@given(
    maps,
    st.lists(st.integers(-5_000, 40_000), min_size=6, max_size=6),
    st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6),
)
def test_one_pose_at_a_time_is_the_same_to_the_last_bit(joints, ticks, angles) -> None:
    assert joints.pose_rad(ticks) == joints.rad_from_ticks(ticks).tolist()
    assert joints.goal_ticks(angles) == joints.ticks_from_rad(angles).tolist()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_one_pose_that_is_not_finite_gives_no_goal(wrong: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        JointMap(arm()).goal_ticks([0.0, 0.0, wrong, 0.0, 0.0, 0.0])
