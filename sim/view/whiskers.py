"""Whiskers: the way that the fingertips are expected to go under the newest plan, for a picture.

The same function that the pre-flight judges by (`sim.twin.path`) says where the arm will be; nothing is judged here.
A plan is drawn from the pose that was measured when it was first seen, until its time is over: while an arm follows it,
and in shadow, where nobody does.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from config.schema import Config
from robotd.clock import NS_PER_S
from robotd.states import Verdict
from sim.twin.apply import TwinBody, placements
from sim.twin.core import trajectory_of
from sim.twin.path import PathMaker

POINTS = 24
"""Of each arm's line: its geoms have to fit into the scene beside the arms."""
_AFTER_NS = NS_PER_S // 4


@dataclass(frozen=True, slots=True)
class Whisker:
    """One arm's line: float [N, 3] in metres, world frame; whether the twin passed the plan."""

    points_m: npt.NDArray[np.float64]
    passed: bool


class Whiskers:
    """The lines of one robot's newest plan. Not for several threads."""

    def __init__(self, config: Config) -> None:
        self._body = TwinBody(placements(config))
        speed_rad_s = [math.radians(value) for value in config.limits.speed_deg_s]
        self._maker = PathMaker(self._body, speed_rad_s * len(config.arms))
        self._of: tuple[int, tuple[Whisker, ...]] = (-1, ())

    def of(
        self, plan: Mapping[str, Any] | None, tick: Mapping[str, Any] | None, now_ns: int
    ) -> tuple[Whisker, ...]:
        """A line for each arm; none without a plan (layout `plan`) and a tick, or when its time is over."""
        if plan is None or tick is None:
            return ()
        path = trajectory_of(plan, self._body.joints)
        if not path.goals_rad or now_ns > path.end_ns + _AFTER_NS:
            return ()
        if not np.isfinite(path.goals_rad).all():
            return ()  # refused; there is no line to draw
        if self._of[0] != plan["id"]:
            self._of = (int(plan["id"]), self._lines(plan, tick, now_ns))
        return self._of[1]

    def _lines(
        self, plan: Mapping[str, Any], tick: Mapping[str, Any], now_ns: int
    ) -> tuple[Whisker, ...]:
        applied = tick["applied_rad"]
        state = self._body.start(applied, tick["present_position_rad"])
        path = trajectory_of(plan, self._body.joints)
        poses = self._maker.expected(path, state, applied, max(now_ns, path.start_ns)).positions_rad
        chosen = np.unique(np.linspace(0, len(poses) - 1, POINTS).astype(int))
        tips: list[list[npt.NDArray[np.float64]]] = [[] for _ in self._body.index.arms]
        for pose in poses[chosen]:
            self._body.place(pose)
            for line, arm in zip(tips, self._body.index.arms, strict=True):
                line.append(self._body.data.site_xpos[arm.tcp_site].copy())
        passed = plan["verdict"] == Verdict.PASS
        return tuple(Whisker(np.array(line), passed) for line in tips)
