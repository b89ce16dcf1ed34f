"""Judges a plan before it moves the arm: is there anything in it that an arm must not do?

A pure core: plan, pose and budget in, verdict out; the clock is passed in. The plan is rolled from the measured pose
as the arm would follow it (`sim.twin.apply`), to its end, since control follows it that far when the policy dies.
Fingers may touch the table, which is where things lie; links may not. Contacts that are there already, or that
belong to the resting pose, are nobody's fault.

Speed and range are the gate's business and it scales both down; here only what no gate can make sense of is
refused, because a check that rejects good plans gets switched off by its users.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from robotd.clock import NS_PER_MS
from robotd.states import PlanReason, Verdict
from robotd.trajectory import Trajectory
from sim.twin.apply import FollowState, TwinBody, Vector

BEYOND_RANGE_RAD = math.radians(15.0)
"""A goal this far outside the model's range is no rounding or droop correction."""

FASTEST_RAD_S = math.radians(400.0)
"""Between two waypoints. The servo's no-load speed is 270 deg/s; the gate stretches what is above its own limit."""

JUMP_RAD = math.radians(45.0)
"""From the last goal to the plan's goal of now: more is a plan for another pose, not a correction."""

FINGER_DEPTH_M = 0.030
"""How deep the fingers' boxes may seem to stand in the table. Tips are meant to touch it, and 1 degree of droop
mismatch moves them 6-7 mm (ground facts); friction and the last motion leave 2-4 degrees. At 12 mm a quarter of the
plans of a good policy were refused, at 30 mm none."""

LINK_DEPTH_M = 0.004
"""How deep a link must seem to stand in something before it counts: the boxes are fatter than the printed links."""

LONGEST_STEP_NS = 70 * NS_PER_MS
"""Spacing of the poses that are checked: at 90 deg/s and full reach the tip moves 4 cm meanwhile."""

GRIPPER = 5
_JOINTS_PER_ARM = 6


@dataclass(frozen=True, slots=True)
class PlanVerdict:
    """What was decided, why, at which joint (-1: none) and how long it took."""

    verdict: Verdict
    reason: PlanReason
    joint: int
    elapsed_us: int


class Preflight:
    """The judge of one robot's plans. `now_ns` is the clock that its time budget is measured on."""

    def __init__(
        self, body: TwinBody, now_ns: Callable[[], int], resting_rad: Sequence[float]
    ) -> None:
        """`resting_rad` [n]: what touches there, on the stops the arm sags onto, may always touch."""
        self._body = body
        self._now_ns = now_ns
        index = body.index
        self._table = index.table_geoms
        self._fingers = [arm.fixed_finger_geoms | arm.moving_finger_geoms for arm in index.arms]
        self._arm_of = {
            geom: number
            for number, arm in enumerate(index.arms)
            for geom in arm.link_geoms | self._fingers[number]
        }
        self._all_fingers = frozenset[int]().union(*self._fingers)
        sag = body.sag_rad(resting_rad)
        body.place(np.asarray(resting_rad) + 2.0 * sag)
        self._resting = self._touching()

    def check(
        self,
        plan: Trajectory,
        state: FollowState,
        applied_rad: Sequence[float],
        at_ns: int,
        budget_ms: float,
    ) -> PlanVerdict:
        """Judge `plan`, of which what is due before `at_ns` is past.

        state: where the arm is (`Mirror.state`, corrected by the measured pose); applied_rad: [n] its last goal.
        """
        began_ns = self._now_ns()
        applied = np.asarray(applied_rad, dtype=np.float64)
        deadline_ns = began_ns + round(budget_ms * NS_PER_MS)
        verdict, reason, joint = self._judge(plan, state, applied, at_ns, deadline_ns)
        return PlanVerdict(verdict, reason, joint, (self._now_ns() - began_ns) // 1000)

    def path_is_clear(self, path: Trajectory, state: FollowState) -> bool:
        """Whether the arm can go `path` (home, rest) from where it is without hitting anything."""
        return self._roll(path, state, path.start_ns, None) == _CLEAR

    # --- parts ------------------------------------------------------------------------------------

    def _judge(
        self, plan: Trajectory, state: FollowState, applied: Vector, at_ns: int, deadline_ns: int
    ) -> tuple[Verdict, PlanReason, int]:
        reason, joint = self._numbers(plan, applied, at_ns)
        if reason is PlanReason.NONE:
            reason, joint = self._roll(plan, state, at_ns, deadline_ns)
        if reason is PlanReason.NONE:
            return Verdict.PASS, reason, joint
        if reason is PlanReason.LATE:
            return Verdict.LATE, reason, joint
        return Verdict.REJECT, reason, joint

    def _numbers(self, plan: Trajectory, applied: Vector, at_ns: int) -> tuple[PlanReason, int]:
        """What can be said of the goals alone."""
        if not plan.goals_rad:
            return PlanReason.EMPTY, -1
        goals = np.array(plan.goals_rad, dtype=np.float64)
        if goals.shape[1] != self._body.joints:
            return PlanReason.EMPTY, -1
        if not np.isfinite(goals).all():
            return PlanReason.NOT_FINITE, int(np.argwhere(~np.isfinite(goals))[0][1])
        goals = goals[max(0, plan.index_at(at_ns)) :]  # what is past moves nothing
        beyond = np.maximum(self._body.minimum_rad - goals, goals - self._body.maximum_rad)
        if beyond.max() > BEYOND_RANGE_RAD:
            return PlanReason.RANGE, int(beyond.max(axis=0).argmax())
        if len(goals) > 1:
            speed = np.abs(np.diff(goals, axis=0)) / (plan.step_ns * 1e-9)
            if speed.max() > FASTEST_RAD_S:
                return PlanReason.SPEED, int(speed.max(axis=0).argmax())
        now = plan.evaluate(min(max(at_ns, plan.start_ns), plan.end_ns))
        jump = np.abs(np.array(now) - applied)
        jump[GRIPPER::_JOINTS_PER_ARM] = 0.0  # a hand may shut at once; it meets its squeeze bound
        if jump.max() > JUMP_RAD:
            return PlanReason.JUMP, int(jump.argmax())
        return _CLEAR

    def _roll(
        self,
        plan: Trajectory,
        state: FollowState,
        at_ns: int,
        deadline_ns: int | None,
    ) -> tuple[PlanReason, int]:
        """Walk the plan through the model and look at what touches."""
        self._body.where(state)
        allowed = self._resting | self._touching()
        step_ns = min(plan.step_ns, LONGEST_STEP_NS)
        if plan.step_ns < LONGEST_STEP_NS // 2:
            step_ns = plan.step_ns * (LONGEST_STEP_NS // plan.step_ns)
        for _ in self._body.follow_plan(plan, state, at_ns, step_ns):
            reason = self._contact(allowed)
            if reason is not PlanReason.NONE:
                return reason, -1
            if deadline_ns is not None and self._now_ns() > deadline_ns:
                return PlanReason.LATE, -1
        return _CLEAR

    def _touching(self) -> frozenset[tuple[int, int]]:
        """The pairs of geoms that touch in the pose the model stands in."""
        self._body.collide()
        return frozenset(pair for pair, _ in self._body.contacts())

    def _contact(self, allowed: frozenset[tuple[int, int]]) -> PlanReason:
        self._body.collide()
        for pair, distance_m in self._body.contacts():
            first, second = pair
            on_table = first in self._table or second in self._table
            if on_table and (first in self._all_fingers or second in self._all_fingers):
                if distance_m < -FINGER_DEPTH_M:
                    return PlanReason.FINGERS_IN_TABLE
                continue
            if pair in allowed or distance_m > -LINK_DEPTH_M:
                continue
            if on_table:
                return PlanReason.LINK_ON_TABLE
            arms = self._arm_of.get(first), self._arm_of.get(second)
            if self._same_hand(first, second):
                continue
            return (
                PlanReason.LINK_ON_LINK
                if arms[0] == arms[1] or None in arms
                else PlanReason.ARMS_MEET
            )
        return PlanReason.NONE

    def _same_hand(self, first: int, second: int) -> bool:
        """Whether both belong to one gripper: closing the hand is what it is for."""
        return any(first in hand and second in hand for hand in self._fingers)


_CLEAR = (PlanReason.NONE, -1)
