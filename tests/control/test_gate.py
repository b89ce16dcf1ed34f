"""The gate's promises, for any sequence of inputs a program or a person could produce."""

import itertools
import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.control.gate import Applied, ArmLimits, Asked, GateState, apply
from daemon.control.kinematics import outside_m, points_m
from robotd.states import LimitedBy

DT_S = 1 / 120
LIMITS = ArmLimits(
    minimum_rad=(-1.9, -1.7, -1.6, -1.6, -2.7, -0.17),
    maximum_rad=(1.9, 1.7, 1.6, 1.6, 2.8, 1.7),
    step_rad=math.radians(30),
    speed_rad_s=(math.radians(150),) * 6,
    acceleration_rad_s2=(math.radians(900),) * 6,
    squeeze_rad=math.radians(5),
    workspace_min_m=(-0.6, -0.6, -0.02),
    workspace_max_m=(0.6, 0.6, 0.7),
    derate_from_c=55.0,
    stop_at_c=65.0,
)
OPEN = replace(LIMITS, workspace_min_m=(-9.0, -9.0, -9.0), workspace_max_m=(9.0, 9.0, 9.0))
START = (0.0, -1.5, 1.4, 0.6, 0.0, 0.5)
COOL = (30.0,) * 6

anything = st.one_of(
    st.floats(-4, 4),
    st.just(math.nan),
    st.just(math.inf),
    st.just(-math.inf),
    st.just(1e308),
    st.just(float("1e400")),
)
goals = st.one_of(st.none(), st.tuples(*[anything] * 6))


def _run(sequence: list[Asked], limits: ArmLimits, follow: bool = True) -> list[Applied]:
    """Drive the gate; the measured arm stands where it was commanded one tick ago."""
    state, measured, found = GateState.at_rest(START), START, []
    for asked in sequence:
        applied = apply(asked, measured, COOL, state, limits, DT_S)
        measured = state.applied_rad if follow else measured
        state = applied.state
        found.append(applied)
    return found


@given(st.lists(goals, min_size=1, max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_sequence_of_goals_makes_the_applied_pose_leave_range_or_speed(
    sequence: list[tuple[float, ...] | None],
) -> None:
    before = START
    for applied in _run([Asked(goal) for goal in sequence], LIMITS):
        for joint, value in enumerate(applied.goal_rad):
            assert math.isfinite(value)
            assert LIMITS.minimum_rad[joint] <= value <= LIMITS.maximum_rad[joint]
            speed = abs(value - before[joint]) / DT_S
            assert speed <= LIMITS.speed_rad_s[joint] + 1e-9
        before = applied.goal_rad


@given(st.lists(goals, min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_acceleration_is_bounded_whenever_no_wall_stops_the_arm(
    sequence: list[tuple[float, ...] | None],
) -> None:
    velocity = (0.0,) * 6
    for applied in _run([Asked(goal) for goal in sequence], OPEN):
        for joint, speed in enumerate(applied.state.velocity_rad_s):
            change = abs(speed - velocity[joint]) / DT_S
            at_wall = applied.goal_rad[joint] in (
                OPEN.minimum_rad[joint],
                OPEN.maximum_rad[joint],
            )
            assert at_wall or change <= OPEN.acceleration_rad_s2[joint] * (1 + 1e-6)
        velocity = applied.state.velocity_rad_s


@given(st.lists(st.tuples(*[st.floats(-2, 2)] * 6), min_size=1, max_size=80))
@settings(max_examples=60, deadline=None)
def test_the_applied_pose_never_goes_further_out_of_the_workspace(
    sequence: list[tuple[float, ...]],
) -> None:
    box = (LIMITS.workspace_min_m, LIMITS.workspace_max_m)
    depth = outside_m(points_m(START), *box)
    for applied in _run([Asked(goal) for goal in sequence for _ in range(4)], LIMITS):
        now = outside_m(points_m(applied.goal_rad), *box)
        assert now <= depth + 1e-12
        depth = now


def test_a_far_goal_is_reached_without_overshoot_and_in_a_straight_line() -> None:
    goal = (START[0] + 1.0, START[1] + 0.25, *START[2:])
    poses = [a.goal_rad for a in _run([Asked(goal)] * 200, OPEN)]
    assert max(abs(a - b) for a, b in zip(poses[-1], goal, strict=True)) < 1e-6
    for pan, lift, *_ in poses:
        assert pan <= goal[0] + 1e-9
        assert abs((lift - START[1]) - 0.25 * (pan - START[0])) < 1e-6


def test_a_hold_decelerates_and_then_stands_still() -> None:
    goal = (1.5, *START[1:])
    moving = [Asked(goal)] * 30
    poses = [a.goal_rad[0] for a in _run([*moving, *[Asked(None)] * 60], OPEN)]
    assert poses[29] < poses[31] < poses[-1]
    assert len(set(poses[-20:])) == 1


def test_what_is_not_a_number_is_named_and_moves_nothing() -> None:
    (applied,) = _run([Asked((math.nan, *START[1:]))], LIMITS)
    assert applied.goal_rad == START
    assert applied.limited_by[0] is LimitedBy.NOT_FINITE
    assert applied.limited_by[1] is LimitedBy.NOTHING


def test_the_gripper_closes_no_further_than_the_squeeze_beyond_what_it_measures() -> None:
    closed = (*START[:5], -0.1)
    found = _run([Asked(closed)] * 200, OPEN, follow=False)  # an object blocks the jaw
    assert found[-1].goal_rad[5] >= START[5] - OPEN.squeeze_rad - 1e-9
    assert LimitedBy.SQUEEZE in found[-1].limited_by[5]


def test_a_blocked_arm_is_not_led_further_than_the_step() -> None:
    found = _run([Asked((1.8, *START[1:]))] * 300, OPEN, follow=False)
    assert max(a.goal_rad[0] for a in found) <= START[0] + OPEN.step_rad + 1e-6
    assert LimitedBy.STEP in found[-1].limited_by[0]


def test_a_hot_servo_slows_the_arm_and_a_very_hot_one_stops_it() -> None:
    def travel(temperature_c: float) -> float:
        state = GateState.at_rest(START)
        for _ in range(40):
            hot = (*COOL[:2], temperature_c, *COOL[3:])
            state = apply(Asked((1.5, *START[1:])), state.applied_rad, hot, state, OPEN, DT_S).state
        return state.applied_rad[0]

    distances = [travel(celsius) for celsius in (40.0, 60.0, 65.0)]
    assert all(a > b for a, b in itertools.pairwise(distances))
    assert distances[2] == START[0]
