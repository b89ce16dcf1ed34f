"""The lines of a run: what the policy is about to do, what else it said, what it said before, where the arm was."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from learning.whiskers.numbers import Points
from sim.view.lines import (
    BLIND,
    EXECUTED,
    FLOW,
    PASSED,
    PAST_KEPT,
    REFUSED,
    SAMPLE,
    THICK_M,
    THIN_M,
    Line,
    Rgba,
    along,
    past,
)

POINTS = 24
"""Of a line: all of them have to fit into the scene."""
GONE_KEPT = 90
"""Points of the way that was gone: three seconds of rows."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One answer of the policy as fingertip paths [arms, N, 3] in metres."""

    plan: Points
    passed: bool = True
    samples: tuple[Points, ...] = ()
    blind: Points | None = None
    flow: tuple[Points, ...] = ()


class Sheaf:
    """The lines of a run as it goes on: the newest answer, those before it, and the way that was gone."""

    def __init__(self) -> None:
        self._newest: Drawn | None = None
        self._before: deque[tuple[Line, ...]] = deque(maxlen=PAST_KEPT)
        self._gone: deque[Points] = deque(maxlen=GONE_KEPT)

    def say(self, drawn: Drawn) -> None:
        """The policy gave an answer."""
        if self._newest is not None:
            self._before.append(tuple(_lines(self._newest.plan, PASSED)))
        self._newest = drawn

    def go(self, tips: Points) -> None:
        """The fingertips [arms, 3] are here now."""
        self._gone.append(tips)

    def lines(self) -> tuple[Line, ...]:
        """All lines, the most telling first: a full scene leaves out the last."""
        gone = np.array(self._gone).swapaxes(0, 1) if len(self._gone) > 1 else np.zeros((0, 0, 3))
        newest = self._newest
        if newest is None:
            return tuple(_lines(gone, EXECUTED))
        found = _lines(newest.plan, PASSED if newest.passed else REFUSED)
        found += _lines(gone, EXECUTED)
        if newest.blind is not None:
            found += _lines(newest.blind, BLIND)
        found += past(self._before)
        for each in newest.samples:
            found += _lines(each, SAMPLE, THIN_M)
        steps = len(newest.flow)
        for number, each in enumerate(newest.flow):
            faint = (*FLOW[:3], 0.15)
            found += _lines(each, along(faint, FLOW, (number + 1) / steps), THIN_M)
        return tuple(found)


def _lines(paths: Points, rgba: Rgba, radius_m: float = THICK_M) -> list[Line]:
    """A line for each arm, thinned to `POINTS` points; none for what has a number that is none."""
    found = []
    for path in paths:
        chosen = np.unique(np.linspace(0, len(path) - 1, POINTS).astype(int))
        if np.isfinite(path).all():
            found.append(Line(path[chosen], rgba, radius_m))
    return found
