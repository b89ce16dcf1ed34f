"""Joint paths in time: the one way to evaluate a plan, and the path home.

Control follows plans with `evaluate`, the twin checks them with it, and pictures draw them with it,
so a plan can never mean two things. Everything here is a pure function of its arguments; positions
are in radians in the model frame, one sequence entry per joint.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from robotd.clock import NS_PER_S

_PER_ARM = 6
_PAN, _HAND = 0, 5


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Waypoint k is due at `start_ns + k * step_ns`; between two the path is straight."""

    start_ns: int
    step_ns: int
    goals_rad: tuple[tuple[float, ...], ...]

    @property
    def end_ns(self) -> int:
        """When the last waypoint is due."""
        return self.start_ns + self.step_ns * (len(self.goals_rad) - 1)

    def index_at(self, at_ns: int) -> int:
        """The last waypoint due at or before `at_ns`; negative before the first."""
        return min((at_ns - self.start_ns) // self.step_ns, len(self.goals_rad) - 1)

    def evaluate(self, at_ns: int) -> tuple[float, ...] | None:
        """The goal due at `at_ns`; None before the first waypoint or one step after the last."""
        if at_ns < self.start_ns or at_ns >= self.end_ns + self.step_ns:
            return None
        index = self.index_at(at_ns)
        here = self.goals_rad[index]
        if index == len(self.goals_rad) - 1:
            return here
        part = (at_ns - self.start_ns - index * self.step_ns) / self.step_ns
        there = self.goals_rad[index + 1]
        return tuple(a + (b - a) * part for a, b in zip(here, there, strict=True))


def minimum_jerk(part: float) -> float:
    """Progress 0…1 of a rest-to-rest move at time fraction `part` (Flash and Hogan 1985)."""
    part = min(1.0, max(0.0, part))
    return part**3 * (10.0 - 15.0 * part + 6.0 * part * part)


def rest_to_rest(
    from_rad: Sequence[float],
    to_rad: Sequence[float],
    start_ns: int,
    step_ns: int,
    peak_speed_rad_s: float,
) -> Trajectory:
    """A straight joint-space move that starts and ends at rest.

    Its duration is that of the joint with the farthest way: a minimum-jerk move peaks at 1.875
    times its mean speed.
    """
    farthest_rad = max(abs(b - a) for a, b in zip(from_rad, to_rad, strict=True))
    duration_ns = max(int(1.875 * farthest_rad / peak_speed_rad_s * NS_PER_S), step_ns)
    steps = math.ceil(duration_ns / step_ns)
    goals = []
    for k in range(steps + 1):
        part = minimum_jerk(k / steps)
        goals.append(tuple(a + (b - a) * part for a, b in zip(from_rad, to_rad, strict=True)))
    return Trajectory(start_ns, step_ns, tuple(goals))


def through(
    poses_rad: Sequence[Sequence[float]], start_ns: int, step_ns: int, peak_speed_rad_s: float
) -> Trajectory:
    """Rest-to-rest moves one after the other through `poses_rad` (two or more)."""
    goals: list[tuple[float, ...]] = []
    for here, there in itertools.pairwise(poses_rad):
        leg = rest_to_rest(here, there, start_ns, step_ns, peak_speed_rad_s)
        goals.extend(leg.goals_rad if not goals else leg.goals_rad[1:])
    return Trajectory(start_ns, step_ns, tuple(goals))


def home_path(
    from_rad: Sequence[float],
    home_rad: Sequence[float],
    via_rad: Sequence[float],
    start_ns: int,
    step_ns: int,
    peak_speed_rad_s: float,
    *,
    drawn_in: bool,
) -> Trajectory:
    """The way to the home pose from the last commanded goal: straight in joint space, or `drawn_in`.

    Drawn in, the arm goes to `via_rad` with its pan and hand kept, turns to the pan of home there,
    and only then stretches: what stands beside the straight way is passed at short reach.
    """
    if not drawn_in:
        return through([from_rad, home_rad], start_ns, step_ns, peak_speed_rad_s)
    here = _with(via_rad, from_rad, (_PAN, _HAND))
    turned = _with(_with(via_rad, home_rad, (_PAN,)), from_rad, (_HAND,))
    return through([from_rad, here, turned, home_rad], start_ns, step_ns, peak_speed_rad_s)


def park_path(
    from_rad: Sequence[float],
    rest_rad: Sequence[float],
    via_rad: Sequence[float],
    start_ns: int,
    step_ns: int,
    peak_speed_rad_s: float,
) -> Trajectory:
    """The way to the resting pose, from the last *commanded* goal.

    Starting from the measured position would take the droop correction away and dip (LeRobot PR
    4610). The arm first draws in to `via_rad` with the pan kept (so that it does not sweep the
    table at full reach), then turns and folds. The gripper keeps its goal to the end: what it
    holds is not dropped on the way. Works for one or more arms of six joints each.
    """
    drawn_in = _with(via_rad, from_rad, (_PAN, _HAND))
    rest = _with(rest_rad, from_rad, (_HAND,))
    turned = _with(drawn_in, rest, (_PAN,))
    return through([from_rad, drawn_in, turned, rest], start_ns, step_ns, peak_speed_rad_s)


def _with(
    pose_rad: Sequence[float], other_rad: Sequence[float], joints: Sequence[int]
) -> list[float]:
    """`pose_rad` with some joints of each arm as in `other_rad`."""
    return [
        other_rad[at] if at % _PER_ARM in joints else value for at, value in enumerate(pose_rad)
    ]
