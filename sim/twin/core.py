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
from robotd.states import PlanReason, State, Verdict
from robotd.trajectory import Trajectory, park_path
from sim.twin.apply import FollowState, TwinBody, Vector, placements
from sim.twin.mirror import Mirror
from sim.twin.preflight import PlanVerdict, Preflight

PARK_STEP_NS = NS_PER_S // 20

_ARMED = tuple(int(state) for state in State if state.armed)
_UNCHECKED = PlanVerdict(Verdict.PASS, PlanReason.NONE, -1, 0)


@dataclass(frozen=True, slots=True)
class _Park:
    rest_rad: tuple[float, ...]
    via_rad: tuple[float, ...]
    speed_rad_s: float


class TwinCore:
    """The twin of one robot. `now_ns` only measures how long a verdict takes."""

    def __init__(self, config: Config, now_ns: Callable[[], int]) -> None:
        arms = len(config.arms)
        poses = config.poses
        self._park = _Park(
            _radians(poses.rest_deg) * arms,
            _radians(poses.via_deg) * arms,
            math.radians(poses.move_speed_deg_s),
        )
        self._settings = config.twin
        self._body = TwinBody(placements(config))
        self._mirror = Mirror(self._body)
        self._preflight = Preflight(self._body, now_ns, self._park.rest_rad)
        self._tick: Mapping[str, Any] | None = None
        self.passed = 0
        self.rejected = 0
        self.last = PlanVerdict(Verdict.NONE, PlanReason.NONE, -1, 0)

    @property
    def joints(self) -> int:
        """Joints of all arms."""
        return self._body.joints

    @property
    def residual_rad(self) -> Vector:
        """Measured minus expected [n]; zero while nothing is commanded."""
        return self._mirror.residual_rad

    def observe(self, tick: Mapping[str, Any]) -> None:
        """Take a tick (layout `tick`)."""
        self._tick = tick
        self._mirror.update(
            tick["deadline_ns"],
            tick["state"] in _ARMED,
            tick["applied_rad"],
            tick["present_position_rad"],
        )

    def judge(self, plan: Trajectory, at_ns: int) -> PlanVerdict:
        """The verdict on `plan`, rolled from the last observed tick; what is due before `at_ns` is past.

        Without pre-flight in the configuration every plan passes. With no tick seen yet it is LATE: nobody knows
        where the arm is.
        """
        if not self._settings.preflight:
            self.last = _UNCHECKED
        elif self._tick is None:
            self.last = PlanVerdict(Verdict.LATE, PlanReason.LATE, -1, 0)
        else:
            self.last = self._preflight.check(
                plan,
                self._where(self._tick),
                self._tick["applied_rad"],
                at_ns,
                self._settings.verdict_budget_ms,
            )
        self.passed += self.last.verdict is Verdict.PASS
        self.rejected += self.last.verdict is not Verdict.PASS
        return self.last

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

    def _where(self, tick: Mapping[str, Any]) -> FollowState:
        if self._mirror.state is not None:
            return self._mirror.state
        # Disarmed: it stands where it is measured, whatever the last goal was.
        return self._body.start(tick["present_position_rad"], tick["present_position_rad"])


def trajectory_of(record: Mapping[str, Any], joints: int) -> Trajectory:
    """The trajectory of a plan record (layout `plan`); one without waypoints is empty, which is rejected."""
    count = min(int(record["waypoints"]), PLAN_WAYPOINTS)
    flat = record["goal_rad"]
    goals = tuple(tuple(flat[k * joints : (k + 1) * joints]) for k in range(count))
    return Trajectory(int(record["start_ns"]), max(1, int(record["step_ns"])), goals)


def _radians(values_deg: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(math.radians(value) for value in values_deg)
