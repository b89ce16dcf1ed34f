"""What the twin lets pass, what it refuses, and that it says why."""

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotd.clock import NS_PER_S
from robotd.plan_words import Part, Refusal, sentence
from robotd.states import PlanReason, Verdict
from robotd.trajectory import Trajectory, park_path, rest_to_rest
from sim.kinematics import ArmKinematics, Reach
from sim.model.scene import TWO_ARMS, ArmPlacement, Obstacle
from sim.twin.apply import FollowState, TwinBody
from sim.twin.preflight import PlanVerdict, Preflight

STEP_NS = NS_PER_S // 15
HOME = tuple(math.radians(angle) for angle in (0.0, -60.0, 45.0, 65.0, 0.0, 20.0))
REST = tuple(math.radians(angle) for angle in (0.0, -97.4, 92.2, 37.8, 0.0, 0.0))
SPEED = tuple(math.radians(speed) for speed in (120.0, 120.0, 120.0, 180.0, 180.0, 180.0))
VIA = tuple(math.radians(angle) for angle in (0.0, -80.0, 70.0, 35.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def body() -> TwinBody:
    return TwinBody((ArmPlacement(),))


@pytest.fixture(scope="module")
def judge(body: TwinBody) -> Preflight:
    return Preflight(body, time.monotonic_ns, REST, SPEED)


def standing(body: TwinBody, at: Sequence[float]) -> FollowState:
    return body.start(at, np.asarray(at) + body.sag_rad(at))


def check(
    body: TwinBody,
    judge: Preflight,
    to: Sequence[float],
    start: Sequence[float] = HOME,
    speed_rad_s: float = 1.2,
    budget_ms: float = 5_000.0,
) -> PlanVerdict:
    plan = rest_to_rest(start, to, 0, STEP_NS, speed_rad_s)
    return judge.check(plan, standing(body, start), start, 0, budget_ms)


def test_a_reach_over_the_table_passes(body: TwinBody, judge: Preflight) -> None:
    verdict = check(body, judge, (-0.8, 0.0, 0.1, 1.2, 0.6, 0.7))
    assert verdict.verdict is Verdict.PASS
    assert verdict.reason is PlanReason.NONE


def test_fingers_may_touch_the_table(body: TwinBody, judge: Preflight) -> None:
    """Tips 3 mm in the table, the droop taken into account, as in what people demonstrate."""
    solution = ArmKinematics().solve(Reach(0.22, 0.2, 0.003, math.radians(10.0), 0.8))
    assert solution.reached
    goal = tuple(np.array(solution.position_rad) - body.sag_rad(solution.position_rad))
    assert check(body, judge, goal).verdict is Verdict.PASS


def test_fingers_dragged_across_the_table_are_refused(body: TwinBody, judge: Preflight) -> None:
    """As deep as they may stand, but 20 cm sideways."""
    kinematics = ArmKinematics()
    ends = []
    for y_m in (0.2, 0.0):
        pose = kinematics.solve(Reach(0.22, y_m, -0.008, math.radians(10.0), 0.8)).position_rad
        ends.append(tuple(np.array(pose) - body.sag_rad(pose)))
    assert check(body, judge, ends[0]).verdict is Verdict.PASS
    said = check(body, judge, ends[1], start=ends[0])
    assert (said.verdict, said.reason) == (Verdict.REJECT, PlanReason.FINGERS_IN_TABLE)


def test_fingers_pressed_through_the_table_are_refused(body: TwinBody, judge: Preflight) -> None:
    solution = ArmKinematics().solve(Reach(0.22, 0.2, -0.06, math.radians(10.0), 0.8))
    verdict = check(body, judge, solution.position_rad)
    assert verdict.verdict is Verdict.REJECT
    assert verdict.reason is PlanReason.FINGERS_IN_TABLE


def test_a_link_laid_on_the_table_is_refused(body: TwinBody, judge: Preflight) -> None:
    verdict = check(body, judge, (0.0, 1.4, -0.6, -1.2, 0.0, 0.3))
    assert verdict.verdict is Verdict.REJECT
    assert verdict.reason in (PlanReason.LINK_ON_TABLE, PlanReason.FINGERS_IN_TABLE)


def test_a_hand_folded_into_the_base_is_refused(body: TwinBody, judge: Preflight) -> None:
    verdict = check(body, judge, (0.0, -1.2, 1.6, 1.6, 0.0, 0.3))
    assert verdict.verdict is Verdict.REJECT
    assert verdict.reason in (PlanReason.LINK_ON_LINK, PlanReason.LINK_ON_TABLE)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_goal_that_is_no_number_is_refused_and_the_joint_named(
    body: TwinBody, judge: Preflight, bad: float
) -> None:
    goals = (HOME, (*HOME[:2], bad, *HOME[3:]))
    plan = Trajectory(0, STEP_NS, goals)
    verdict = judge.check(plan, standing(body, HOME), HOME, 0, 100.0)
    assert (verdict.verdict, verdict.reason, verdict.joint) == (
        Verdict.REJECT,
        PlanReason.NOT_FINITE,
        2,
    )


def test_a_plan_without_waypoints_is_refused(body: TwinBody, judge: Preflight) -> None:
    verdict = judge.check(Trajectory(0, STEP_NS, ()), standing(body, HOME), HOME, 0, 100.0)
    assert verdict.reason is PlanReason.EMPTY


def test_a_jump_and_an_impossible_speed_are_refused(body: TwinBody, judge: Preflight) -> None:
    far = (1.2, *HOME[1:])
    jump = judge.check(Trajectory(0, STEP_NS, (far,) * 3), standing(body, HOME), HOME, 0, 100.0)
    assert (jump.reason, jump.joint) == (PlanReason.JUMP, 0)
    speed = judge.check(Trajectory(0, STEP_NS, (HOME, far)), standing(body, HOME), HOME, 0, 100.0)
    assert (speed.reason, speed.joint) == (PlanReason.SPEED, 0)


def test_a_goal_far_beyond_the_range_is_refused(body: TwinBody, judge: Preflight) -> None:
    beyond = (*HOME[:3], 2.4, *HOME[4:])
    verdict = judge.check(Trajectory(0, STEP_NS, (beyond,)), standing(body, HOME), HOME, 0, 100.0)
    assert (verdict.reason, verdict.joint) == (PlanReason.RANGE, 3)


def test_no_verdict_in_time_is_late_and_not_a_pass(body: TwinBody, judge: Preflight) -> None:
    verdict = check(body, judge, (-0.8, 0.0, 0.1, 1.2, 0.6, 0.7), budget_ms=0.01)
    assert (verdict.verdict, verdict.reason) == (Verdict.LATE, PlanReason.LATE)


def test_what_is_past_is_not_judged(body: TwinBody, judge: Preflight) -> None:
    """A plan that begins far away but has caught up by now is followed from now on."""
    there = (0.6, *HOME[1:])
    plan = Trajectory(0, STEP_NS, ((-0.6, *HOME[1:]), *([there] * 30)))
    at_ns = 5 * STEP_NS
    verdict = judge.check(plan, standing(body, there), there, at_ns, 1_000.0)
    assert verdict.verdict is Verdict.PASS


def test_the_way_home_to_rest_is_clear_from_where_arms_work(
    body: TwinBody, judge: Preflight
) -> None:
    for start in (HOME, (-0.9, 0.3, -0.2, 1.3, 0.8, 0.2), (0.9, 0.3, -0.2, 1.3, 0.8, 0.2)):
        path = park_path(start, REST, VIA, 0, NS_PER_S // 20, math.radians(45.0))
        assert judge.path_is_clear(path, standing(body, start))


def test_a_park_path_through_the_table_is_not_clear(body: TwinBody, judge: Preflight) -> None:
    under = (0.0, 1.4, -0.6, 1.2, 0.0, 0.3)
    path = park_path(HOME, under, VIA, 0, NS_PER_S // 20, math.radians(45.0))
    assert not judge.path_is_clear(path, standing(body, HOME))


def test_two_arms_that_would_meet_are_refused() -> None:
    both = TwinBody(TWO_ARMS)
    judge = Preflight(both, time.monotonic_ns, REST + REST, SPEED + SPEED)
    start = HOME + HOME
    towards = (0.75, 0.6, -0.5, 0.4, 0.0, 0.3)
    away = (-0.75, 0.6, -0.5, 0.4, 0.0, 0.3)
    verdict = check(both, judge, towards + away, start=start)
    assert (verdict.verdict, verdict.reason) == (Verdict.REJECT, PlanReason.ARMS_MEET)
    assert check(both, judge, away + towards, start=start).verdict is Verdict.PASS


def test_a_chunk_of_fifty_steps_is_judged_in_a_few_milliseconds(
    body: TwinBody, judge: Preflight
) -> None:
    goals = tuple((0.01 * k, *HOME[1:]) for k in range(50))
    state = standing(body, HOME)
    plan = Trajectory(0, STEP_NS, goals)
    fastest_us = min(judge.check(plan, state, HOME, 0, 1_000.0).elapsed_us for _ in range(10))
    assert fastest_us < 10_000


def test_every_reason_has_its_words() -> None:
    for reason in PlanReason:
        assert reason.words or reason is PlanReason.NONE


# --- what stands around ------------------------------------------------------------------------------


BOWL = Obstacle("bowl", "cylinder", (0.217, -0.225, 0.0), (0.12, 0.12, 0.035))


@pytest.mark.parametrize("fingers", [False, True])
def test_a_hand_lowered_onto_a_bowl_s_rim_is_refused_unless_fingers_may_touch_it(
    fingers: bool,
) -> None:
    bowl = replace(BOWL, fingers=fingers)
    with_bowl = TwinBody((ArmPlacement(),), (bowl,))
    judge = Preflight(with_bowl, time.monotonic_ns, REST, SPEED, (bowl,))
    kinematics = ArmKinematics()
    above = kinematics.solve(Reach(0.217, -0.225, 0.10, math.radians(10.0), 0.8)).position_rad
    onto = kinematics.solve(Reach(0.217, -0.225, 0.022, math.radians(10.0), 0.8)).position_rad
    assert check(with_bowl, judge, above).verdict is Verdict.PASS
    goal = tuple(np.array(onto) - with_bowl.sag_rad(onto))
    said = check(with_bowl, judge, goal, start=above)
    assert said.verdict is (Verdict.PASS if fingers else Verdict.REJECT)
    if not fingers:
        assert said.refusal is not None
        words = sentence(said.refusal, ("",) * 6, ("bowl",))
        assert words.startswith("the fingers would hit the bowl")
        assert said.refusal.amount > 4.0


def test_a_refusal_says_which_bodies_when_and_how_deep(body: TwinBody, judge: Preflight) -> None:
    said = check(body, judge, (0.0, 1.4, -0.6, -1.2, 0.0, 0.3))
    found = said.refusal
    assert found is not None
    assert found.against == Part.TABLE
    assert found.waypoint == int(found.into_s * NS_PER_S) // STEP_NS
    assert 0.3 < found.into_s < 5.0
    assert found.amount > 4.0


# --- whatever comes ----------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.floats(-4.0, 4.0), st.sampled_from([math.nan, math.inf, -math.inf, 1e308, 1e-308])
)
WAYPOINTS = st.lists(st.tuples(*[NUMBERS] * 6), min_size=0, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    goals=WAYPOINTS,
    repeat=st.sampled_from([1, 1, 32]),
    start_ns=st.sampled_from([0, -(2**62), 2**62, NS_PER_S]),
    step_ns=st.sampled_from([1, STEP_NS, 3_600 * NS_PER_S, 2**62]),
)
def test_no_plan_makes_the_judge_fail_or_passes_with_a_number_that_is_none(
    goals: list[tuple[float, ...]], repeat: int, start_ns: int, step_ns: int
) -> None:
    both, judge = _module_judge()
    plan = Trajectory(start_ns, step_ns, tuple(goals * repeat))
    said = judge.check(plan, standing(both, HOME), HOME, NS_PER_S, 50.0)
    if not goals:
        assert said.reason is PlanReason.EMPTY
    if not np.isfinite(np.array(goals, dtype=float)).all():
        assert said.reason is PlanReason.NOT_FINITE


POSES = st.tuples(
    st.floats(-1.9, 1.9),
    st.floats(-1.74, 1.74),
    st.floats(-1.69, 1.69),
    st.floats(-1.65, 1.65),
    st.floats(-2.7, 2.8),
    st.floats(-0.17, 1.74),
)


@settings(max_examples=60, deadline=None)
@given(pose=POSES, leans_deg=st.tuples(*[st.floats(-6.0, 6.0)] * 6))
def test_holding_still_passes_from_wherever_the_arm_is(
    pose: tuple[float, ...], leans_deg: tuple[float, ...]
) -> None:
    """Also with a payload, and where it leans on something: a plan that changes nothing does no harm."""
    body, judge = _module_judge()
    state = body.start(pose, np.array(pose) + body.sag_rad(pose) + np.radians(leans_deg))
    said = judge.check(Trajectory(0, STEP_NS, (pose,) * 50), state, pose, 0, 5_000.0)
    assert said.verdict is Verdict.PASS, said.refusal


@settings(max_examples=25, deadline=None)
@given(one=POSES, other=POSES)
def test_a_verdict_does_not_depend_on_what_was_judged_before(
    one: tuple[float, ...], other: tuple[float, ...]
) -> None:
    body, judge = _module_judge()

    def said(to: tuple[float, ...]) -> tuple[Verdict, Refusal | None]:
        verdict = check(body, judge, to)
        return verdict.verdict, verdict.refusal

    first = said(one)
    said(other)
    assert said(one) == first


@settings(max_examples=25, deadline=None)
@given(to=POSES)
def test_more_time_never_changes_a_verdict_that_was_in_time(to: tuple[float, ...]) -> None:
    """A clock that advances a fixed time with every look at it: the roll costs the same every time."""
    body, _ = _module_judge()
    ticking = itertools.count(0, 300_000)
    judge = _timed_judge(ticking)
    verdicts = [check(body, judge, to, budget_ms=budget) for budget in (0.1, 1.0, 3.0, 10.0, 1e6)]
    decided = [each for each in verdicts if each.verdict is not Verdict.LATE]
    assert verdicts[-1].verdict is not Verdict.LATE
    assert verdicts[len(verdicts) - len(decided) :] == decided
    assert len({(each.verdict, each.reason) for each in decided}) == 1


@cache
def _module_judge() -> tuple[TwinBody, Preflight]:
    body = TwinBody((ArmPlacement(),))
    return body, Preflight(body, time.monotonic_ns, REST, SPEED)


@cache
def _shared_ticking() -> tuple[list[Iterator[int]], Preflight]:
    clock: list[Iterator[int]] = []
    body, _ = _module_judge()
    return clock, Preflight(body, lambda: next(clock[0]), REST, SPEED)


def _timed_judge(ticking: Iterator[int]) -> Preflight:
    clock, judge = _shared_ticking()
    clock[:] = [ticking]
    return judge
