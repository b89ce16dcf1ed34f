"""Who flies: in each state, which source answers what is asked for at this deadline."""

from collections.abc import Sequence

from daemon.control.arm import FollowerArm
from daemon.control.exchange import Exchange
from daemon.control.gate import Asked
from daemon.control.leader import LeaderArm
from daemon.control.settings import CoreSettings
from daemon.control.sources import (
    HOLD,
    Followed,
    GoalStream,
    Handover,
    LeaderFollower,
    PathFollower,
    follow_plan,
)
from robotd.clock import NS_PER_S
from robotd.states import HomeWay, Source, State
from robotd.trajectory import home_path, park_path

_NEAR_RAD = 1e-4


class Pilot:
    """The sources of one robot."""

    def __init__(
        self,
        arms: Sequence[FollowerArm],
        leaders: Sequence[LeaderArm],
        exchange: Exchange,
        settings: CoreSettings,
    ) -> None:
        self._arms = arms
        self._leaders = leaders
        self._exchange = exchange
        self._settings = settings
        self._goals = GoalStream(settings.command_stale_ns)
        self._leader = LeaderFollower(settings.command_stale_ns)
        self._path = PathFollower()
        self._dt_s = 1.0 / settings.tick_hz

    def reset(self) -> None:
        """A hand-over: nothing that was asked for before it counts."""
        self._goals.reset()
        self._leader.reset()

    def set_out(self, state: State, now_ns: int) -> None:
        """Lay the path home or to rest, from the last commanded goal."""
        settings = self._settings
        start = self._applied_rad()
        step_ns = NS_PER_S // settings.tick_hz
        speed = settings.move_speed_rad_s
        if state is State.HOMING:
            drawn_in = self._exchange.home_way(now_ns) is HomeWay.DRAWN_IN
            self._path.path = home_path(
                start,
                settings.home_rad,
                settings.via_rad,
                now_ns,
                step_ns,
                speed,
                drawn_in=drawn_in,
            )
            return
        self._path.path = park_path(
            start, settings.rest_rad, settings.via_rad, now_ns, step_ns, speed
        )

    def follow(self, state: State, handover: Handover, deadline_ns: int) -> tuple[Followed, bool]:
        """What is asked for at `deadline_ns`, and whether a path was just walked to its end."""
        if state is State.TELEOP and handover.source in (Source.LEADER, Source.CORRECTION):
            return self._follow_leader(handover, deadline_ns), False
        if state is State.TELEOP:
            command = self._exchange.command()
            return self._goals.follow(command, handover, self._applied_rad(), deadline_ns), False
        if state in (State.POLICY, State.REPLAY):
            plan = self._exchange.plan()
            late_passes = self._settings.late_plan_passes
            return follow_plan(plan, handover, deadline_ns, late_passes), False
        if state in (State.HOMING, State.PARKING):
            followed, ended = self._path.follow(deadline_ns)
            return followed, ended and self._arrived(followed.asked)
        return Followed(HOLD), False

    def _follow_leader(self, handover: Handover, deadline_ns: int) -> Followed:
        pose = None
        if self._leaders and all(leader.seen for leader in self._leaders):
            pose = [value for leader in self._leaders for value in leader.position_rad]
        ages = [leader.age_ns(deadline_ns) for leader in self._leaders]
        return self._leader.follow(
            pose,
            max(0, *ages) if ages and min(ages) > -NS_PER_S else -1,
            self._applied_rad(),
            self._dt_s,
            keep_offset=handover.source is Source.CORRECTION,
        )

    def _applied_rad(self) -> list[float]:
        return [value for arm in self._arms for value in arm.gate.applied_rad]

    def _arrived(self, asked: Asked) -> bool:
        """At the end, or stopped on the way to it by a limit for good."""
        if asked.goal_rad is None:
            return True
        still = all(speed == 0.0 for arm in self._arms for speed in arm.gate.velocity_rad_s)
        pairs = zip(asked.goal_rad, self._applied_rad(), strict=True)
        return still or all(abs(a - b) < _NEAR_RAD for a, b in pairs)
