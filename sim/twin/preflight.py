"""Judges a plan before it moves the arm: is there anything in it that an arm must not do?

A pure core: plan, pose and budget in, verdict out; the clock is passed in. The plan is rolled from the measured pose
as the arm would follow it (`sim.twin.path`), to its end: another one may never come, and control follows it that far
when the policy dies. Fingers may touch the table, which is where things lie, but not be dragged across it; links may
not. What touches already, or in the resting pose, may go on touching, but not be pressed further in.

What the gate makes safe is left to it: it holds goals at the joint's range and slows what is too fast. Here only what
no gate can make sense of is refused, because a check that rejects good plans gets switched off by its users.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.plan_words import FIRST_OBSTACLE, PARTS_PER_ARM, Part, Refusal
from robotd.states import PlanReason, Verdict
from robotd.trajectory import Trajectory
from sim.model.obstacles import Obstacle
from sim.twin.apply import FollowState, TwinBody
from sim.twin.drag import DragWatch
from sim.twin.margins import SELF_DEPTH_M, allow_touching, bodies, deepest_m, touching_fingers
from sim.twin.path import PathMaker

BEYOND_RANGE_RAD = math.radians(15.0)
"""A goal this far outside the model's range is no rounding or droop correction; the gate holds what is nearer."""

FASTEST_RAD_S = math.radians(270.0)
"""Between two waypoints: the servo's no-load speed. The gate stretches what is above its own limit, but a plan that no
servo could follow was made for another rate, in other units or by a fault."""

JUMP_RAD = math.radians(45.0)
"""From the last goal to the plan's goal of now: more is a plan for another pose, not a correction."""

GRIPPER = 5
_JOINTS_PER_ARM = 6
_LOOK_AT_CLOCK = 16  # poses between two looks: 0.1 ms


@dataclass(frozen=True, slots=True)
class PlanVerdict:
    """What was decided, why, at which joint (-1: none) and how long it took; `refusal` has the particulars."""

    verdict: Verdict
    reason: PlanReason
    joint: int
    elapsed_us: int
    refusal: Refusal | None = None


class Preflight:
    """The judge of one robot's plans. `now_ns` is the clock that its time budget is measured on."""

    def __init__(
        self,
        body: TwinBody,
        now_ns: Callable[[], int],
        resting_rad: Sequence[float],
        speed_rad_s: Sequence[float],
        obstacles: tuple[Obstacle, ...] = (),
    ) -> None:
        """`resting_rad` [n]: what touches there, on the stops the arm sags onto, may always touch. `speed_rad_s` [n]:
        the gate's limits. `obstacles` are those `body` was made with."""
        self._body = body
        self._now_ns = now_ns
        self._paths = PathMaker(body, speed_rad_s)
        self._numbers_of = bodies(body, obstacles)
        body.place(np.asarray(resting_rad) + body.sag_rad(resting_rad))
        self._deepest_m = allow_touching(body, deepest_m(body, obstacles), SELF_DEPTH_M)
        self._fingers = touching_fingers(body, obstacles)

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
        deadline_ns = began_ns + round(budget_ms * NS_PER_MS)
        found = self._numbers(plan, applied_rad, at_ns)
        if found is None:
            found = self._roll(plan, state, applied_rad, at_ns, deadline_ns)
        elapsed_us = (self._now_ns() - began_ns) // 1000
        if found is None:
            return PlanVerdict(Verdict.PASS, PlanReason.NONE, -1, elapsed_us)
        verdict = Verdict.LATE if found.reason is PlanReason.LATE else Verdict.REJECT
        return PlanVerdict(verdict, found.reason, found.joint, elapsed_us, found)

    def path_is_clear(self, path: Trajectory, state: FollowState) -> bool:
        """Whether the arm can go `path` (home, rest) from where it is without hitting anything."""
        return self._roll(path, state, path.goals_rad[0], path.start_ns, None) is None

    # --- the goals alone ----------------------------------------------------------------------------------------------

    def _numbers(
        self, plan: Trajectory, applied_rad: Sequence[float], at_ns: int
    ) -> Refusal | None:
        """What can be said without the model."""
        if not plan.goals_rad or len(plan.goals_rad[0]) != self._body.joints:
            return Refusal(PlanReason.EMPTY)
        goals = np.array(plan.goals_rad, dtype=np.float64)
        first = max(0, plan.index_at(at_ns))  # what is past moves nothing

        def refused(reason: PlanReason, waypoint: int, joint: int, amount: float) -> Refusal:
            begins_ns = max(at_ns, plan.start_ns)
            due_ns = plan.start_ns + waypoint * plan.step_ns
            into_s = max(0.0, (due_ns - begins_ns) / NS_PER_S)
            return Refusal(reason, int(joint), int(waypoint), into_s, float(amount))

        if not np.isfinite(goals).all():
            waypoint, joint = np.argwhere(~np.isfinite(goals))[0]
            return refused(PlanReason.NOT_FINITE, waypoint, joint, 0.0)
        left = goals[first:]
        beyond = np.maximum(self._body.minimum_rad - left, left - self._body.maximum_rad)
        if beyond.max() > BEYOND_RANGE_RAD:
            waypoint, joint = np.argwhere(beyond > BEYOND_RANGE_RAD)[0]
            amount = math.degrees(beyond[waypoint, joint])
            return refused(PlanReason.RANGE, first + waypoint, joint, amount)
        hands = np.arange(GRIPPER, self._body.joints, _JOINTS_PER_ARM)
        if len(left) > 1:
            speed = np.abs(np.diff(left, axis=0)) / (plan.step_ns / NS_PER_S)
            speed[:, hands] = 0.0  # a hand may shut at once; it meets its squeeze bound
            if speed.max() > FASTEST_RAD_S:
                waypoint, joint = np.argwhere(speed > FASTEST_RAD_S)[0]
                amount = math.degrees(speed[waypoint, joint])
                return refused(PlanReason.SPEED, first + waypoint, joint, amount)
        now = plan.evaluate(min(max(at_ns, plan.start_ns), plan.end_ns))
        jump = np.abs(np.array(now) - np.asarray(applied_rad))
        jump[hands] = 0.0
        if jump.max() > JUMP_RAD:
            joint = int(jump.argmax())
            return refused(PlanReason.JUMP, first, joint, math.degrees(jump[joint]))
        return None

    # --- the model ----------------------------------------------------------------------------------------------------

    def _roll(
        self,
        plan: Trajectory,
        state: FollowState,
        applied_rad: Sequence[float],
        at_ns: int,
        deadline_ns: int | None,
    ) -> Refusal | None:
        """Walk the plan through the model and look at what touches."""
        path = self._paths.expected(plan, state, applied_rad, at_ns)
        body = self._body
        body.place(path.positions_rad[0])
        deepest_m = allow_touching(body, self._deepest_m)
        drag = DragWatch(body, self._fingers)
        found: Refusal | None = None
        pair = (0, 0)
        for number, position in enumerate(path.positions_rad):
            if (
                deadline_ns is not None
                and number % _LOOK_AT_CLOCK == 0
                and self._now_ns() > deadline_ns
            ):
                return found or Refusal(PlanReason.LATE)
            body.place(position)
            body.collide()
            if body.data.ncon == 0:
                if found is not None:
                    return found
                drag.lifted()
                continue
            geoms, depths = body.pairs()
            if found is None:
                over = depths - deepest_m[geoms[:, 0], geoms[:, 1]]
                worst = int(over.argmax())
                if over[worst] <= 0.0:
                    worst = drag.look(geoms, depths)
                if worst < 0:
                    continue
                pair = (int(geoms[worst, 0]), int(geoms[worst, 1]))
                found = self._contact(pair, depths[worst], path.seconds[number], plan, at_ns)
                continue
            # How deep it would have gone: until the two move apart again.
            deeper = depths[(geoms == pair).all(axis=1)].max(initial=0.0) * 1e3
            if deeper <= found.amount:
                return found
            found = replace(found, amount=float(deeper))
        return found

    def _contact(
        self, pair: tuple[int, int], depth_m: float, into_s: float, plan: Trajectory, at_ns: int
    ) -> Refusal:
        first, second = (int(self._numbers_of[geom]) for geom in pair)
        if first % PARTS_PER_ARM >= Part.TABLE or first >= FIRST_OBSTACLE:
            first, second = second, first
        due_ns = max(at_ns, plan.start_ns) + round(float(into_s) * NS_PER_S)
        return Refusal(
            _reason(first, second),
            -1,
            max(0, plan.index_at(due_ns)),
            float(into_s),
            float(depth_m) * 1e3,
            first,
            second,
        )


def _reason(first: int, second: int) -> PlanReason:
    """What two bodies in contact mean; `first` is a part of an arm."""
    if second >= FIRST_OBSTACLE:
        return PlanReason.LINK_ON_OBSTACLE
    if second in (Part.TABLE, Part.FLOOR):
        fingers = first % PARTS_PER_ARM == Part.FINGERS
        return PlanReason.FINGERS_IN_TABLE if fingers else PlanReason.LINK_ON_TABLE
    same = first // PARTS_PER_ARM == second // PARTS_PER_ARM
    return PlanReason.LINK_ON_LINK if same else PlanReason.ARMS_MEET
