"""Where a tick's requested pose comes from: goals of people, plans of policies, the leader, a path.

Each source answers one question: what is asked for at this deadline, and if nothing may be asked
for, why. None of them writes anything; the gate decides what is applied.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.control.exchange import Command, Plan
from daemon.control.gate import Asked
from robotd.clock import NS_PER_MS
from robotd.states import LimitedBy, Source, Verdict
from robotd.trajectory import Trajectory

HOLD = Asked(None)
_LONGEST_GAP_NS = 100 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class Handover:
    """Who has the arm since when. What was made for an earlier one never moves the arm."""

    version: int
    at_ns: int
    source: Source


@dataclass(frozen=True, slots=True)
class Followed:
    """What a source asks for, and the evidence that goes into the tick record."""

    asked: Asked
    command_age_ns: int = -1
    plan_id: int = 0
    plan_index: int = -1
    plan_verdict: Verdict = Verdict.NONE


class GoalStream:
    """Goals of a keyboard or a script, some 30 a second, spread over the ticks between them.

    A new goal is approached over the interval at which goals have been coming, so that 30 goals a
    second do not become 30 little stops a second. An old one is not followed: hold.
    """

    def __init__(self, stale_ns: int) -> None:
        self._stale_ns = stale_ns
        self._command: Command | None = None
        self._from: tuple[float, ...] = ()
        self._began_ns = 0
        self._over_ns = 1

    def reset(self) -> None:
        """Forget every goal: a new hand-over starts from nothing."""
        self._command = None

    def follow(
        self,
        command: Command | None,
        handover: Handover,
        applied_rad: Sequence[float],
        deadline_ns: int,
    ) -> Followed:
        """What is asked for at `deadline_ns`."""
        if (
            command is None
            or command.handover_version != handover.version
            or command.source != handover.source
        ):
            return Followed(Asked(None))
        if not all(map(math.isfinite, command.goal_rad)):
            return Followed(Asked(command.goal_rad), deadline_ns - command.stamp_ns)
        if command is not self._command:
            gap_ns = _LONGEST_GAP_NS
            if self._command is not None:
                gap_ns = min(gap_ns, command.stamp_ns - self._command.stamp_ns)
            self._from = tuple(applied_rad) if self._command is None else self._between(deadline_ns)
            self._command = command
            self._began_ns = deadline_ns
            self._over_ns = max(gap_ns, NS_PER_MS)
        age_ns = deadline_ns - command.stamp_ns
        if age_ns > self._stale_ns:
            return Followed(Asked(None, LimitedBy.STALE), age_ns)
        return Followed(Asked(self._between(deadline_ns)), age_ns)

    def _between(self, at_ns: int) -> tuple[float, ...]:
        assert self._command is not None
        part = min(1.0, (at_ns - self._began_ns) / self._over_ns)
        goal = self._command.goal_rad
        return tuple(a + (b - a) * part for a, b in zip(self._from, goal, strict=True))


def follow_plan(
    plan: Plan | None, handover: Handover, deadline_ns: int, late_passes: bool
) -> Followed:
    """What an approved plan asks for at `deadline_ns`.

    A plan of an earlier hand-over, or made from an observation that is not newer than the
    hand-over, is no plan. One the twin refused is a hold; past its last waypoint the arm starves
    and holds.
    """
    if (
        plan is None
        or plan.handover_version != handover.version
        or plan.source != handover.source
        or plan.observation_ns <= handover.at_ns
    ):
        return Followed(HOLD)
    age_ns = deadline_ns - plan.observation_ns
    allowed = plan.verdict is Verdict.PASS or (plan.verdict is Verdict.LATE and late_passes)
    if not allowed:
        return Followed(Asked(None, LimitedBy.VERDICT), age_ns, plan.id, plan_verdict=plan.verdict)
    goal = plan.trajectory.evaluate(deadline_ns)
    if goal is None:
        early = deadline_ns < plan.trajectory.start_ns
        why = LimitedBy.NOTHING if early else LimitedBy.STARVED
        return Followed(Asked(None, why), age_ns, plan.id, plan_verdict=plan.verdict)
    index = plan.trajectory.index_at(deadline_ns)
    return Followed(Asked(goal), age_ns, plan.id, index, plan.verdict)


class LeaderFollower:
    """The follower takes the leader's *motion* from where it stands, then its pose.

    At the hand-over the difference between the two arms is kept as an offset, so nothing snaps;
    it then melts at a bounded speed until both arms agree. A leader that stops answering is a
    stale goal.
    """

    MELT_RAD_S = math.radians(25.0)

    def __init__(self, stale_ns: int) -> None:
        self._stale_ns = stale_ns
        self._offset: list[float] | None = None

    def reset(self) -> None:
        """A new hand-over: take the offset again."""
        self._offset = None

    def follow(
        self,
        leader_rad: Sequence[float] | None,
        leader_age_ns: int,
        applied_rad: Sequence[float],
        dt_s: float,
        keep_offset: bool,
    ) -> Followed:
        """What is asked for, given the leader's newest pose and its age."""
        if leader_rad is None or leader_age_ns < 0 or leader_age_ns > self._stale_ns:
            # When it is back it may stand elsewhere: its motion is taken from there anew.
            self._offset = None
            return Followed(Asked(None, LimitedBy.STALE), leader_age_ns)
        if self._offset is None:
            self._offset = [a - b for a, b in zip(applied_rad, leader_rad, strict=True)]
        elif not keep_offset:
            melt = self.MELT_RAD_S * dt_s
            self._offset = [max(0.0, abs(o) - melt) * (1 if o > 0 else -1) for o in self._offset]
        goal = tuple(a + b for a, b in zip(leader_rad, self._offset, strict=True))
        return Followed(Asked(goal), leader_age_ns)


class PathFollower:
    """A path that control made itself: home or rest."""

    def __init__(self) -> None:
        self.path: Trajectory | None = None

    def follow(self, deadline_ns: int) -> tuple[Followed, bool]:
        """What the path asks for, and whether it has been walked to its end."""
        if self.path is None:
            return Followed(HOLD), True
        goal = self.path.evaluate(min(deadline_ns, self.path.end_ns))
        return Followed(Asked(goal)), deadline_ns >= self.path.end_ns
