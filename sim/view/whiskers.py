"""Whiskers: the way that the fingertips are expected to go under the newest plan, for a picture.

The same function that the pre-flight judges by (`sim.twin.path`) says where the arm will be; nothing is judged here.
A plan is drawn from the pose that was measured when it was first seen, until its time is over: while an arm follows it,
and in shadow, where nobody does. The plans before it fade, and the way that was really gone stays for a while.
"""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from config.schema import Config
from robotd.clock import NS_PER_S
from robotd.states import Verdict
from sim.twin.apply import TwinBody, placements
from sim.twin.core import trajectory_of
from sim.twin.path import PathMaker
from sim.view.lines import EXECUTED, PASSED, PAST_KEPT, REFUSED, Line, past

POINTS = 24
"""Of each arm's line: its geoms have to fit into the scene beside the arms."""
_AFTER_NS = NS_PER_S // 4
_GONE_KEPT = 60
_GONE_M = (
    0.002  # a tip that moved less since the last point adds none: a standing arm draws no ball
)


class Whiskers:
    """The lines of one robot's newest plans. Not for several threads."""

    def __init__(self, config: Config) -> None:
        self._body = TwinBody(placements(config))
        speed_rad_s = [math.radians(value) for value in config.limits.speed_deg_s]
        self._maker = PathMaker(self._body, speed_rad_s * len(config.arms))
        self._newest: tuple[int, tuple[Line, ...]] = (-1, ())
        self._before: deque[tuple[Line, ...]] = deque(maxlen=PAST_KEPT)
        self._handover = -1
        self._gone: list[deque[npt.NDArray[np.float64]]] = [
            deque(maxlen=_GONE_KEPT) for _ in self._body.index.arms
        ]

    def of(
        self, plan: Mapping[str, Any] | None, tick: Mapping[str, Any] | None, now_ns: int
    ) -> tuple[Line, ...]:
        """The lines for now, the most telling first; none without a plan (layout `plan`) and a tick, or when the
        plan's time is over."""
        if tick is None:
            return ()
        self._go(tick["present_position_rad"])
        if plan is None:
            return ()
        path = trajectory_of(plan, self._body.joints)
        if not path.goals_rad or now_ns > path.end_ns + _AFTER_NS:
            self._forget()
            return ()
        if not np.isfinite(path.goals_rad).all():
            return ()  # refused; there is no line to draw
        if plan["handover_version"] != self._handover:
            self._forget()
            self._handover = int(plan["handover_version"])
        if self._newest[0] != plan["id"]:
            self._before.append(self._newest[1])
            self._newest = (int(plan["id"]), self._lines(plan, tick, now_ns))
        gone = [Line(np.array(each), EXECUTED) for each in self._gone if len(each) > 1]
        return (*self._newest[1], *gone, *past(self._before))

    def _forget(self) -> None:
        """Another run, or nobody's: what was before belongs to neither."""
        self._newest = (-1, ())
        self._before.clear()
        for each in self._gone:
            each.clear()

    def _go(self, position_rad: Any) -> None:
        self._body.place(position_rad)
        for way, arm in zip(self._gone, self._body.index.arms, strict=True):
            tip = self._body.data.site_xpos[arm.tcp_site].copy()
            if not way or np.linalg.norm(tip - way[-1]) >= _GONE_M:
                way.append(tip)

    def _lines(
        self, plan: Mapping[str, Any], tick: Mapping[str, Any], now_ns: int
    ) -> tuple[Line, ...]:
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
        colour = PASSED if plan["verdict"] == Verdict.PASS else REFUSED
        return tuple(Line(np.array(line), colour) for line in tips)
