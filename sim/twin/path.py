"""The poses in which an arm is expected while it follows a plan, close enough to miss nothing between two.

Goals are not poses: the gate holds goals back to the configured speeds, a servo trails its goal, gravity pulls it
down, and friction and backlash keep it where it is until it is pulled out of their band. All of that changes slowly
and is computed on a coarse grid of times; between two of its poses as many are put in as keep every point of the arm
from moving further than `SWEEP_M`, so that a thin rim is not jumped over.

Against episodes of the expert in the plant (masses, friction, backlash and delay unlike the twin's) the tip was
expected within -10 to +12 mm of its height for up to 3.3 s (1st and 99th percentile). Carrying the difference that is
measured at the start through the whole plan, as if all of it were payload, gave -27 to +29 mm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robotd.clock import NS_PER_S
from robotd.trajectory import Trajectory
from sim.twin.apply import FollowState, TwinBody, Vector

SWEEP_M = 0.010
"""The farthest that any point of an arm moves between two poses that are looked at."""

GRID_S = 1.0 / 30.0
"""Spacing of the coarse grid: the lag is three of them long, and most plans have a waypoint at each."""

LONGEST_GRID = 2_000
"""Most poses of the coarse grid. Only plans of over a minute get a wider one."""

LOADED_RAD = math.radians(3.0)
TRUST_LAG = 0.7
"""A difference at the start is taken for a payload, which stays, from where it is more than friction and backlash make
of a standing arm (2.8 degrees in the stiffest plant) and this share of the lag behind a moving goal."""

_PER_ARM = 6
_SAG_EVERY = 3


@dataclass(frozen=True, slots=True)
class Path:
    """Expected poses: `seconds` [N] from the start of the walk, `positions_rad` [N, n]."""

    seconds: Vector
    positions_rad: Vector


class PathMaker:
    """Makes paths for one body. `speed_rad_s` [n]: what the gate lets each joint do."""

    def __init__(self, body: TwinBody, speed_rad_s: Sequence[float]) -> None:
        self._body = body
        self._speed_rad_s: Vector = np.asarray(speed_rad_s, dtype=np.float64)
        self._reach_m = reaches_m(body)

    def expected(
        self, plan: Trajectory, state: FollowState, applied_rad: Sequence[float], from_ns: int
    ) -> Path:
        """Where the arm goes while it follows `plan` from `from_ns` to its end, and until it has come to rest.

        state: where it is; applied_rad: [n] the last goal. The plan must have waypoints, all finite.
        """
        began_ns = max(from_ns, plan.start_ns)
        body = self._body
        rest_s = max(0, plan.end_ns - began_ns) / NS_PER_S + float(body.lag_s.max())
        count = min(LONGEST_GRID, math.ceil(rest_s / GRID_S)) + 1
        seconds: Vector = np.linspace(0.0, rest_s, count).astype(np.float64)
        goals = _goals(plan, (began_ns - plan.start_ns) / NS_PER_S + seconds)
        step_s = rest_s / (count - 1)
        unloaded = self._followed(goals, state.unloaded_rad, applied_rad, step_s)
        pulled = unloaded + self._sag_rad(unloaded) + self._load_rad(state, applied_rad)
        measured = body.sag_rad(state.unloaded_rad) + state.unloaded_rad + state.offset_rad
        return self._between(seconds, self._held(pulled, measured))

    def _sag_rad(self, unloaded: Vector) -> Vector:
        """The sag [N, n] in each pose: computed in one of three, straight between them (0.1 s, in which it changes by
        a degree at most)."""
        seen = np.unique(np.append(np.arange(0, len(unloaded), _SAG_EVERY), len(unloaded) - 1))
        known = np.array([self._body.sag_rad(unloaded[k]) for k in seen])
        every = np.arange(len(unloaded))
        return np.stack([np.interp(every, seen, column) for column in known.T], axis=1)

    def _load_rad(self, state: FollowState, applied_rad: Sequence[float]) -> Vector:
        """What hangs on the arm, as joint angles [n]: the difference that neither friction nor lag can explain."""
        behind = np.abs(np.asarray(applied_rad, dtype=np.float64) - state.unloaded_rad)
        explained = LOADED_RAD + TRUST_LAG * behind
        load: Vector = state.offset_rad - np.clip(state.offset_rad, -explained, explained)
        return load

    def _held(self, pulled: Vector, measured: Vector) -> Vector:
        """Where the joints stand [N, n], from `measured` on, when `pulled` is where they would without friction.

        An arm that stands off by more than the band does so for a reason that nobody knows; it is expected to stay
        there while it holds still, and comes into the band by as much as it is moved.
        """
        width = self._body.band_rad
        moved = np.cumsum(np.abs(np.diff(pulled, axis=0, prepend=pulled[:1])), axis=0)
        width = width + np.maximum(0.0, np.abs(measured - pulled[0]) - width - moved)
        low, high = pulled - width, pulled + width
        out = np.empty_like(pulled)
        at = out[0] = measured
        for k in range(1, len(pulled)):
            at = out[k] = np.minimum(np.maximum(at, low[k]), high[k])
        return out

    def _followed(
        self, goals: Vector, unloaded_rad: Vector, applied_rad: Sequence[float], step_s: float
    ) -> Vector:
        """Joint angles without sag [N, n]: goals behind the gate's speeds and the servo's lag."""
        share = 1.0 - np.exp(-step_s / self._body.lag_s)
        most = self._speed_rad_s * step_s
        applied = np.asarray(applied_rad, dtype=np.float64)
        out = np.empty_like(goals)
        at = out[0] = unloaded_rad
        gated = self._gated(goals, applied, most)
        # The goal moved evenly over each step: on average it was half of the way back.
        middle = 0.5 * (gated + np.concatenate([applied[None], gated[:-1]]))
        for k in range(1, len(goals)):
            at = out[k] = at + (middle[k] - at) * share
        return out

    @staticmethod
    def _gated(goals: Vector, applied: Vector, most: Vector) -> Vector:
        """Goals as the gate applies them [N, n], `most` [n] a step; the first is `applied`."""
        gated = np.concatenate([applied[None], goals[1:]])
        if (np.abs(np.diff(gated, axis=0)) <= most).all():
            return gated
        for k in range(1, len(goals)):
            way = goals[k] - gated[k - 1]
            # One factor for all joints of an arm, as in the gate.
            worst = np.maximum(1.0, (np.abs(way) / most).reshape(-1, _PER_ARM).max(axis=1))
            gated[k] = gated[k - 1] + way / np.repeat(worst, _PER_ARM)
        return gated

    def _between(self, seconds: Vector, poses: Vector) -> Path:
        """As many poses between each two as the sweep asks for."""
        swept = np.abs(np.diff(poses, axis=0)) @ self._reach_m
        parts = np.maximum(1, np.ceil(swept / SWEEP_M)).astype(np.int64)
        first = np.repeat(np.arange(len(parts)), parts)
        number = np.arange(len(first)) - np.repeat(np.cumsum(parts) - parts, parts) + 1
        share = number / parts[first]
        when = seconds[first] + (seconds[first + 1] - seconds[first]) * share
        where = poses[first] + (poses[first + 1] - poses[first]) * share[:, None]
        return Path(np.concatenate([seconds[:1], when]), np.concatenate([poses[:1], where], axis=0))


def _goals(plan: Trajectory, seconds: Vector) -> Vector:
    """`Trajectory.evaluate` for many moments at once, counted from the plan's start; past its end the last goal."""
    goals = np.asarray(plan.goals_rad, dtype=np.float64)
    at = np.clip(seconds / (plan.step_ns / NS_PER_S), 0.0, len(goals) - 1)
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, len(goals) - 1)
    part = (at - below)[:, None]
    path: Vector = goals[below] + (goals[above] - goals[below]) * part
    return path


def reaches_m(body: TwinBody) -> Vector:
    """For each joint [n] the farthest that any point it moves can be from it: the links stretched out."""
    model, index = body.model, body.index
    parts = frozenset[int]().union(
        *(arm.link_geoms | arm.fixed_finger_geoms | arm.moving_finger_geoms for arm in index.arms)
    )
    reach = np.zeros(body.joints)
    for number, dof in enumerate(index.dof):
        moved = int(model.dof_bodyid[dof])
        for geom in parts:
            length = float(np.linalg.norm(model.geom_pos[geom]) + model.geom_rbound[geom])
            at = int(model.geom_bodyid[geom])
            while at not in (0, moved):
                length += float(np.linalg.norm(model.body_pos[at]))
                at = int(model.body_parentid[at])
            if at == moved:
                reach[number] = max(reach[number], length)
    return reach
