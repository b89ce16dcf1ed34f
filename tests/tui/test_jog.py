"""Keyboard jog as arithmetic."""

import math

from hypothesis import given
from hypothesis import strategies as st
from scripted_robot import JOINTS, POSE, joint

from tui import jog

JOINT_LIST = [joint(name, at) for name, at in zip(JOINTS, POSE, strict=True)]
HERE = [one.position_rad for one in JOINT_LIST]


@given(st.lists(st.sampled_from([-1, 1]), max_size=80), st.integers(0, 5))
def test_the_goal_never_runs_far_ahead_of_the_arm(presses: list[int], chosen: int) -> None:
    now = jog.choose_number(jog.start(JOINT_LIST, 1), chosen + 1)
    for direction in presses:
        now = jog.press(now, direction, HERE)
    for number, (goal, here) in enumerate(zip(now.goal_rad, HERE, strict=True)):
        assert abs(goal - here) <= jog.LEAD_RAD + 1e-9
        if number != chosen:
            assert goal == JOINT_LIST[number].applied_rad


def test_a_press_is_one_step_of_the_chosen_size() -> None:
    now = jog.resize(jog.start(JOINT_LIST, 1), +1)
    moved = jog.press(now, -1, HERE)
    assert math.isclose(moved.goal_rad[0], HERE[0] - math.radians(5.0))
    assert jog.resize(now, +5).step_deg == jog.STEPS_DEG[-1]
    assert jog.resize(now, -9).step_deg == jog.STEPS_DEG[0]


def test_with_two_arms_numbers_stay_on_the_arm_and_dots_go_through_both() -> None:
    both = [joint(f"{side}_{n}", 0.0) for side in ("left", "right") for n in JOINTS]
    now = jog.choose_number(jog.start(both, 1), 6)
    assert now.joint_name == "left_gripper"
    now = jog.choose(now, +1)
    assert now.joint_name == "right_shoulder_pan"
    assert jog.choose_number(now, 2).joint_name == "right_shoulder_lift"
    assert jog.choose(jog.start(both, 1), -1).joint_name == "right_gripper"
