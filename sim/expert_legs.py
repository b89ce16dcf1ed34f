"""How a scripted expert moves: legs of motion between poses, corrected by what is measured.

An expert is a state machine over time: what it is told (time, measured joints, the task's object) goes in, a goal for
the six joints comes out. It has no clock and does no I/O, so the same inputs give the same goals. Like a person at a
leader arm it corrects from what it measures: the arm sags under gravity and sticks, so it aims above and watches where
the fingers really are. What the legs are, and what to do when one achieved nothing, is each task's own.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from robotd.trajectory import minimum_jerk
from sim.kinematics import BODY_JOINTS, PAN_AXIS_X_M, ArmKinematics, Reach

HOME_RAD = tuple(math.radians(angle) for angle in (0.0, -60.0, 45.0, 65.0, 0.0, 20.0))
"""Where an episode begins and ends: `poses.home_deg` of the shipped configuration."""

PEAK_SPEED_RAD_S = math.radians(75.0)
SQUEEZE_RAD = math.radians(
    3.5
)  # how far the goal may lead the jaws near the block: 0.47 N.m, some 4 N at the pads
NEAR_BLOCK_RAD = 0.30  # the block's 32 mm stop the jaws at 0.21
MAX_ATTEMPTS = 4


class Phase(StrEnum):
    """What the expert is doing."""

    APPROACH = "approach"
    DESCEND = "descend"
    CLOSE = "close"
    LIFT = "lift"
    CARRY = "carry"
    LOWER = "lower"
    PUSH = "push"
    PULL = "pull"
    OPEN = "open"
    RETREAT = "retreat"
    HOME = "home"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Scene:
    """What the expert is told of the world, in the arm's base frame: the block (or the drawer's handle) and where it
    is wanted. A block's yaw is meant modulo 180 degrees."""

    block_xyz_m: tuple[float, float, float]
    block_yaw_rad: float
    bowl_xy_m: tuple[float, float]

    @classmethod
    def from_environment_state(cls, values: Sequence[float]) -> "Scene":
        """From the seven numbers of `observation.environment_state` (robotd.layouts)."""
        x, y, z, cos2, sin2, bowl_x, bowl_y = values
        return cls((x, y, z), math.atan2(sin2, cos2) / 2.0, (bowl_x, bowl_y))


@dataclass(frozen=True, slots=True)
class Step:
    """One answer of the expert. `goal_rad` [6] in bus order."""

    goal_rad: tuple[float, ...]
    phase: Phase
    attempt: int
    done: bool
    gave_up: bool


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of motion: knots [n][6] at equal shares of the way, at rest at both ends.

    The leg is over when its time is up and the fingers stand within `settle_m` of its end (None: no matter where),
    or `patience_s` later.
    """

    phase: Phase
    knots_rad: tuple[tuple[float, ...], ...]
    duration_s: float
    settle_m: float | None = None
    patience_s: float = 0.0

    def at(self, elapsed_s: float) -> tuple[float, ...]:
        progress = minimum_jerk(elapsed_s / self.duration_s) * (len(self.knots_rad) - 1)
        first = min(int(progress), len(self.knots_rad) - 2)
        part = progress - first
        here, there = self.knots_rad[first], self.knots_rad[first + 1]
        return tuple(a + (b - a) * part for a, b in zip(here, there, strict=True))


@dataclass(slots=True)
class _Correction:
    """The person's hand: what is added to the five body joints so that the arm stands where it is wanted.

    Gravity's part is known from the model; the rest is integrated from the measured error, slowly while the arm
    moves (a moving servo trails its goal, which is no sag) and faster when it stands.
    """

    added_rad: list[float] = field(default_factory=lambda: [0.0] * BODY_JOINTS)

    def update(
        self, error_rad: Sequence[float], speed_rad_s: float, step_s: float
    ) -> tuple[float, ...]:
        share = max(0.0, 1.0 - speed_rad_s / _STANDING_RAD_S)
        for joint in range(BODY_JOINTS):
            moved = self.added_rad[joint] + _GAIN_PER_S * share * error_rad[joint] * step_s
            self.added_rad[joint] = min(_MOST_ADDED_RAD, max(-_MOST_ADDED_RAD, moved))
        return tuple(self.added_rad)


_GAIN_PER_S = 2.2
_STANDING_RAD_S = 0.25
_MOST_ADDED_RAD = math.radians(7.0)


class Expert(ABC):
    """One task done once. Call `step` at 15 Hz or faster with rising times; make a new one for each episode."""

    def __init__(self, kinematics: ArmKinematics, home_rad: Sequence[float] = HOME_RAD) -> None:
        self._kinematics = kinematics
        self._home_rad = tuple(home_rad)
        self._correction = _Correction()
        self._legs: list[Leg] = []
        self._leg_started_s = 0.0
        self._last_s: float | None = None
        self._attempt = 1
        self._gave_up = False
        self._jaws_rad: deque[float] = deque(maxlen=_JAWS_SEEN)

    @abstractmethod
    def _reach(self, from_rad: Sequence[float], scene: Scene) -> list[Leg]:
        """The whole job from a pose at home's height, and the way home."""

    @abstractmethod
    def _failed(self, finished: Leg, measured_rad: Sequence[float], scene: Scene) -> bool:
        """Whether the finished leg did not achieve what it was for."""

    @abstractmethod
    def _back_off(self, here_rad: Sequence[float]) -> Leg:
        """Out of the way after a failure, to where the job can be begun again."""

    def step(
        self, now_s: float, measured_rad: Sequence[float], goal_rad: Sequence[float], scene: Scene
    ) -> Step:
        """The next goal.

        now_s: any rising time; measured_rad, goal_rad: [6] positions and the last applied goal, model frame.
        """
        if self._last_s is None:
            self._last_s = self._leg_started_s = now_s
            self._legs = self._from_home(goal_rad, scene)
        step_s = min(now_s - self._last_s, 0.2)
        self._last_s = now_s
        self._jaws_rad.append(measured_rad[BODY_JOINTS])
        if self._legs and self._leg_is_over(now_s, measured_rad):
            finished = self._legs.pop(0)
            self._leg_started_s = now_s
            self._after(finished, measured_rad, scene)
        if not self._legs:
            return Step(tuple(goal_rad), Phase.DONE, self._attempt, True, self._gave_up)
        leg = self._legs[0]
        elapsed_s = now_s - self._leg_started_s
        wanted = leg.at(elapsed_s)
        return Step(
            self._corrected(leg, elapsed_s, wanted, measured_rad, step_s),
            leg.phase,
            self._attempt,
            False,
            False,
        )

    def _corrected(
        self,
        leg: Leg,
        elapsed_s: float,
        wanted: tuple[float, ...],
        measured_rad: Sequence[float],
        step_s: float,
    ) -> tuple[float, ...]:
        before = leg.at(max(0.0, elapsed_s - 0.1))
        speed_rad_s = max(abs(a - b) for a, b in zip(wanted, before, strict=True)) / 0.1
        error = [a - b for a, b in zip(wanted, measured_rad, strict=True)]
        added = self._correction.update(error, speed_rad_s, step_s)
        sag = self._kinematics.sag_rad(wanted)
        goal = [wanted[j] - float(sag[j]) + added[j] for j in range(BODY_JOINTS)]
        limits = self._kinematics.range_rad
        gripper = wanted[BODY_JOINTS]
        if measured_rad[BODY_JOINTS] < NEAR_BLOCK_RAD:
            gripper = max(gripper, measured_rad[BODY_JOINTS] - SQUEEZE_RAD)
        bounded = (min(high, max(low, g)) for g, (low, high) in zip(goal, limits, strict=False))
        return (*bounded, gripper)

    def _leg_is_over(self, now_s: float, measured_rad: Sequence[float]) -> bool:
        leg = self._legs[0]
        late_s = now_s - self._leg_started_s - leg.duration_s
        if late_s < 0.0:
            return False
        if leg.phase is Phase.CLOSE and late_s < leg.patience_s:
            return self._jaws_stand()
        if leg.settle_m is None or late_s > leg.patience_s:
            return True
        wanted, _ = self._kinematics.tcp(leg.knots_rad[-1])
        there, _ = self._kinematics.tcp(measured_rad)
        return float(np.linalg.norm(wanted - there)) <= leg.settle_m

    def _jaws_stand(self) -> bool:
        """Whether the jaws have stopped: on the block, or on each other."""
        seen = self._jaws_rad
        return len(seen) == _JAWS_SEEN and max(seen) - min(seen) < _JAWS_STILL_RAD

    def _after(self, finished: Leg, measured_rad: Sequence[float], scene: Scene) -> None:
        """Look at what the finished leg achieved, and think again where it failed."""
        if not self._failed(finished, measured_rad, scene):
            return
        here = finished.knots_rad[-1]
        if self._attempt == MAX_ATTEMPTS:
            self._gave_up = True
            self._legs = self._go_home(here)
            return
        self._attempt += 1
        away = self._back_off(here)
        self._legs = [away, *self._reach(away.knots_rad[-1], scene)]

    def _from_home(self, goal_rad: Sequence[float], scene: Scene) -> list[Leg]:
        """The whole job, by way of home when the arm is not there: from the resting pose nothing else is safe."""
        away = max(abs(a - b) for a, b in zip(goal_rad, self._home_rad, strict=True))
        if away < _AT_HOME_RAD:
            return self._reach(goal_rad, scene)
        return [*self._go_home(goal_rad), *self._reach(self._home_rad, scene)]

    def _go_home(self, from_rad: Sequence[float]) -> list[Leg]:
        return [leg(Phase.HOME, (tuple(from_rad), self._home_rad))]

    def _knots(
        self,
        from_rad: Sequence[float],
        points: Sequence[tuple[float, float, float]],
        turn_rad: float | Sequence[float],
        gripper_rad: float,
    ) -> tuple[tuple[float, ...], ...]:
        """`from_rad` and then the joint angles for each point, the gripper going to `gripper_rad` on the way.

        `turn_rad`: about the fingers, one for all points or one for each.
        """
        turns = [turn_rad] * len(points) if isinstance(turn_rad, float) else turn_rad
        knots = [tuple(from_rad)]
        for (x, y, z), turn in zip(points, turns, strict=True):
            solution = self._kinematics.solve(Reach(x, y, z, lean(x, y, z), turn))
            knots.append((*solution.position_rad[:BODY_JOINTS], gripper_rad))
        return tuple(knots)


_AT_HOME_RAD = math.radians(4.0)
_JAWS_SEEN = 6
_JAWS_STILL_RAD = 0.012


def lean(x_m: float, y_m: float, z_m: float) -> float:
    """How far the fingers lean outwards: as little as the arm's reach and the wrist's range allow.

    Fitted to where `ArmKinematics.solve` reaches: upright near the base, 27 degrees at 34 cm; a raised hand leans
    more, because the wrist ends at 95 degrees.
    """
    radius_m = math.hypot(x_m - PAN_AXIS_X_M, y_m)
    return math.radians(5.0 + 4000.0 * max(0.0, radius_m - 0.27) ** 2 + 120.0 * max(0.0, z_m))


def leg(
    phase: Phase,
    knots_rad: tuple[tuple[float, ...], ...],
    settle_m: float | None = None,
    patience_s: float = 0.0,
    at_least_s: float = 0.4,
) -> Leg:
    """A leg as slow as the speed limit asks: minimum jerk peaks at 1.875 times the mean speed."""
    longest_rad = max(
        abs(b - a) * (len(knots_rad) - 1)
        for here, there in itertools.pairwise(knots_rad)
        for a, b in zip(here, there, strict=True)
    )
    duration_s = max(at_least_s, 1.875 * longest_rad / PEAK_SPEED_RAD_S)
    return Leg(phase, knots_rad, duration_s, settle_m, patience_s)
