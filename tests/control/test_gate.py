"""The gate's promises, for any sequence of inputs a program or a person could produce."""

import itertools
import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.control.gate import Applied, ArmLimits, Asked, Body, GateState, apply
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
FIT = Body(COOL, (0,) * 6, (1000,) * 6)

anything = st.one_of(
    st.floats(-4, 4),
    st.just(math.nan),
    st.just(math.inf),
    st.just(-math.inf),
    st.just(1e308),
    st.just(float("1e400")),
)
# A tuple of six of which each may be anything is hardly ever six numbers, and those move the arm.
goals = st.one_of(st.none(), st.tuples(*[st.floats(-4, 4)] * 6), st.tuples(*[anything] * 6))


def _run(sequence: list[Asked], limits: ArmLimits, follow: bool = True) -> list[Applied]:
    """Drive the gate; the measured arm stands where it was commanded one tick ago."""
    state, measured, found = GateState.at_rest(START), START, []
    for asked in sequence:
        applied = apply(asked, measured, FIT, state, limits, DT_S)
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


values = st.tuples(*[anything] * 6)
bodies = st.builds(
    Body,
    temperature_c=st.one_of(st.just(COOL), values, st.tuples(*[st.floats(-40, 200)] * 6)),
    load_permille=st.tuples(*[st.one_of(anything, st.integers(-1023, 1023))] * 6),
    ceiling_permille=st.tuples(*[st.one_of(anything, st.integers(-1, 1000))] * 6),
    start=st.one_of(st.floats(0, 1), anything),
    weak=st.booleans(),
    steady=st.booleans(),
)
poses = st.tuples(*[st.floats(-3.2, 3.2)] * 6)


@given(st.lists(st.tuples(goals, bodies, poses), min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_whatever_the_servos_say_of_themselves_the_applied_pose_stays_within_the_limits(
    sequence: list[tuple[tuple[float, ...] | None, Body, tuple[float, ...]]],
) -> None:
    """Temperatures, loads, ceilings, a supply and a soft start that are anything at all."""
    state = GateState.at_rest(START)
    box = (LIMITS.workspace_min_m, LIMITS.workspace_max_m)
    depth = outside_m(points_m(START), *box)
    for goal, body, measured in sequence:
        before, speeds = state.applied_rad, state.velocity_rad_s
        applied = apply(Asked(goal), measured, body, state, LIMITS, DT_S)
        state = applied.state
        for joint, value in enumerate(applied.goal_rad):
            assert math.isfinite(value)
            assert LIMITS.minimum_rad[joint] <= value <= LIMITS.maximum_rad[joint]
            assert abs(value - before[joint]) / DT_S <= LIMITS.speed_rad_s[joint] + 1e-9
            if not body.steady or body.weak:  # brakes, and begins nothing
                assert abs(value - before[joint]) / DT_S <= abs(speeds[joint]) + 1e-9
        now = outside_m(points_m(applied.goal_rad), *box)
        assert now <= depth + 1e-12
        depth = now


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
            hot = replace(FIT, temperature_c=(*COOL[:2], temperature_c, *COOL[3:]))
            state = apply(Asked((1.5, *START[1:])), state.applied_rad, hot, state, OPEN, DT_S).state
        return state.applied_rad[0]

    distances = [travel(celsius) for celsius in (40.0, 60.0, 65.0)]
    assert all(a > b for a, b in itertools.pairwise(distances))
    assert distances[2] == START[0]


def test_a_joint_at_its_torque_ceiling_says_so_and_the_others_do_not() -> None:
    strained = replace(FIT, load_permille=(0, -449, 120, 0, 0, 0), ceiling_permille=(450,) * 6)
    applied = apply(Asked(START), START, strained, GateState.at_rest(START), LIMITS, DT_S)
    assert [flag is LimitedBy.TORQUE for flag in applied.limited_by] == [0, 1, 0, 0, 0, 0]


def test_a_supply_outside_the_servos_window_is_a_hold_with_its_reason() -> None:
    low = replace(FIT, steady=False)
    applied = apply(Asked((1.5, *START[1:])), START, low, GateState.at_rest(START), LIMITS, DT_S)
    assert applied.goal_rad == START
    assert all(LimitedBy.SUPPLY in flag for flag in applied.limited_by)


def test_an_arm_that_leads_as_far_as_it_may_keeps_its_direction_over_a_lost_read() -> None:
    goal = (START[0] + 1.2, START[1] + 0.6, START[2], START[3], START[4], START[5])
    late = (START[0] - 0.002, *START[1:])
    ways = [
        apply(Asked(goal), measured, FIT, GateState.at_rest(START), OPEN, DT_S).state.velocity_rad_s
        for measured in (START, late)
    ]
    assert ways[0] == ways[1]


def test_a_goal_that_leads_by_just_the_step_may_stand_still() -> None:
    # A division by the way that is left, here nothing, ended the tick and let the arm down.
    state = GateState.at_rest(START)
    lead = LIMITS.step_rad + 5e-10
    measured = (START[0] - lead, *START[1:])
    assert apply(Asked(START), measured, FIT, state, LIMITS, DT_S).goal_rad == START
