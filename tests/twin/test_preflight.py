"""What the twin lets pass, what it refuses, and that it says why."""

import math
import time
from collections.abc import Sequence

import numpy as np
import pytest

from robotd.clock import NS_PER_S
from robotd.states import PlanReason, Verdict
from robotd.trajectory import Trajectory, park_path, rest_to_rest
from sim.kinematics import ArmKinematics, Reach
from sim.model.scene import TWO_ARMS, ArmPlacement
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
    solution = ArmKinematics().solve(Reach(0.22, 0.2, 0.006, math.radians(10.0), 0.8))
    assert solution.reached
    assert check(body, judge, solution.position_rad).verdict is Verdict.PASS


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
