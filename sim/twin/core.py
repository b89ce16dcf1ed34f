"""The twin without process and clock: ticks and proposals in, residual, verdicts and park path out.

The process `sim.twin` feeds it from shared memory, the lock-step world from memory: the same judge in both.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from config.schema import Config
from robotd.clock import NS_PER_S
from robotd.layouts import PLAN_WAYPOINTS
from robotd.plan_words import Refusal
from robotd.states import HomeWay, PlanReason, State, Verdict
from robotd.trajectory import Trajectory, home_path, park_path
from sim.twin.apply import FollowState, TwinBody, Vector, obstacles, placements
from sim.twin.drive import drives
from sim.twin.mirror import Mirror
from sim.twin.origin import Origin, stale
from sim.twin.preflight import PlanVerdict, Preflight
from sim.twin.residual import MirrorFinding

PARK_STEP_NS = NS_PER_S // 20

_ARMED = tuple(int(state) for state in State if state.armed)
_UNCHECKED = PlanVerdict(Verdict.PASS, PlanReason.NONE, -1, 0)


@dataclass(frozen=True, slots=True)
class _Park:
    home_rad: tuple[float, ...]
    rest_rad: tuple[float, ...]
    via_rad: tuple[float, ...]
    speed_rad_s: float


class TwinCore:
    """The twin of one robot. `now_ns` only measures how long a verdict takes."""

    def __init__(self, config: Config, now_ns: Callable[[], int]) -> None:
        arms = len(config.arms)
        poses = config.poses
        self._park = _Park(
            _radians(poses.home_deg) * arms,
            _radians(poses.rest_deg) * arms,
            _radians(poses.via_deg) * arms,
            math.radians(poses.move_speed_deg_s),
        )
        self._settings = config.twin
        around = obstacles(config)
        self._body = TwinBody(placements(config), around, drives(config))
        self._mirror = Mirror(self._body)
        speed_rad_s = _radians(config.limits.speed_deg_s) * arms
        self._preflight = Preflight(self._body, now_ns, self._park.rest_rad, speed_rad_s, around)
        self._tick: Mapping[str, Any] | None = None
        self.passed = 0
        self.rejected = 0
        self.last = PlanVerdict(Verdict.NONE, PlanReason.NONE, -1, 0)
        self.refusal: Refusal | None = None  # the newest one
        self.refused_ns = 0

    @property
    def joints(self) -> int:
        """Joints of all arms."""
        return self._body.joints

    @property
    def residual_rad(self) -> Vector:
        """Measured minus expected [n]; zero while nothing is commanded."""
        return self._mirror.residual_rad

    @property
    def finding(self) -> MirrorFinding:
        """What the mirror finds wrong with the arm; Fault.NONE for nothing."""
        return self._mirror.finding

    def finding_record(self) -> dict[str, int]:
        """What the mirror finds wrong, as the fields of layout `twin`."""
        finding = self._mirror.finding
        return {
            "finding": int(finding.fault),
            "finding_joint": finding.joint,
            "finding_since_ns": finding.since_ns,
        }

    def observe(self, tick: Mapping[str, Any]) -> None:
        """Take a tick (layout `tick`)."""
        self._tick = tick
        self._mirror.observe(tick, tick["state"] in _ARMED)

    def judge(self, plan: Trajectory, at_ns: int, origin: Origin | None = None) -> PlanVerdict:
        """The verdict on `plan`, rolled from the last observed tick; what is due before `at_ns` is past.

        `origin`: what the plan was made from, where that is known. Without pre-flight in the configuration every
        plan passes. With no tick seen yet it is LATE: nobody knows where the arm is.
        """
        self.last = self._judged(plan, at_ns, origin)
        self.passed += self.last.verdict is Verdict.PASS
        self.rejected += self.last.verdict is not Verdict.PASS
        if self.last.refusal is not None:
            self.refusal, self.refused_ns = self.last.refusal, at_ns
        return self.last

    def _judged(self, plan: Trajectory, at_ns: int, origin: Origin | None) -> PlanVerdict:
        if not self._settings.preflight:
            return _UNCHECKED
        if self._tick is None:
            return _refused(Verdict.LATE, Refusal(PlanReason.LATE))
        if origin is not None:
            old = stale(origin, self._tick, at_ns, self._settings.observation_stale_ms)
            if old is not None:
                return _refused(Verdict.REJECT, old)
        return self._preflight.check(
            plan,
            self._where(self._tick),
            self._tick["applied_rad"],
            at_ns,
            self._settings.verdict_budget_ms,
        )

    def park_is_clear(self) -> bool:
        """Whether the way to the resting pose from the last goal is free. False before the first tick."""
        if self._tick is None:
            return False
        path = park_path(
            self._tick["applied_rad"],
            self._park.rest_rad,
            self._park.via_rad,
            int(self._tick["deadline_ns"]),
            PARK_STEP_NS,
            self._park.speed_rad_s,
        )
        return self._preflight.path_is_clear(path, self._where(self._tick))

    def home_way(self) -> HomeWay:
        """The way home from the last goal that is free, the straight one first. Only an armed arm
        can be sent there: of another one, and before the first tick, nothing is said."""
        if self._tick is None or self._tick["state"] not in _ARMED:
            return HomeWay.UNKNOWN
        for way in (HomeWay.STRAIGHT, HomeWay.DRAWN_IN):
            path = home_path(
                self._tick["applied_rad"],
                self._park.home_rad,
                self._park.via_rad,
                int(self._tick["deadline_ns"]),
                PARK_STEP_NS,
                self._park.speed_rad_s,
                drawn_in=way is HomeWay.DRAWN_IN,
            )
            if self._preflight.path_is_clear(path, self._where(self._tick)):
                return way
        return HomeWay.BLOCKED

    def _where(self, tick: Mapping[str, Any]) -> FollowState:
        if self._mirror.state is not None:
            return self._mirror.state
        # Disarmed: it stands where it is measured, whatever the last goal was.
        return self._body.start(tick["present_position_rad"], tick["present_position_rad"])


def _refused(verdict: Verdict, refusal: Refusal) -> PlanVerdict:
    return PlanVerdict(verdict, refusal.reason, refusal.joint, 0, refusal)


def trajectory_of(record: Mapping[str, Any], joints: int) -> Trajectory:
    """The trajectory of a plan record (layout `plan`); one without waypoints is empty, which is rejected."""
    count = min(int(record["waypoints"]), PLAN_WAYPOINTS)
    flat = record["goal_rad"]
    goals = tuple(tuple(flat[k * joints : (k + 1) * joints]) for k in range(count))
    return Trajectory(int(record["start_ns"]), max(1, int(record["step_ns"])), goals)


def _radians(values_deg: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(math.radians(value) for value in values_deg)
