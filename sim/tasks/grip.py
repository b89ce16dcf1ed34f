"""How well the object was held while it was carried: margin and slips. Pure functions of rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SLIP_M = 0.005
"""An object that has moved so far in the hand since it was last still there has slipped: more than the encoder's and
the pads' give, a sixth of the block's width."""


@dataclass(frozen=True, slots=True)
class Grip:
    """`rows` in which the object was carried; `margin` the smallest number of times its weight the pads could hold
    meanwhile (None: never carried, or nothing that has a weight to hold); `slips` how often it moved in the hand. Both
    are of a steady grip: a hand that is closing or letting go holds little on purpose."""

    rows: int
    margin: float | None
    slips: int


def grip_of(
    carried: Sequence[bool], margin: Sequence[float], in_hand_m: npt.NDArray[np.float64]
) -> Grip:
    """The grip of an episode, a row each. `in_hand_m` [n, 3]: from the tool centre to the object, in the hand's own
    frame, so that a hand that turns is no slip."""
    slips = rows = 0
    least: float | None = None
    steady = _steady(carried)
    anchor: npt.NDArray[np.float64] | None = None
    for row, (held, times, offset) in enumerate(zip(carried, margin, in_hand_m, strict=True)):
        if not held:
            anchor = None
            continue
        rows += 1
        if not steady[row]:
            continue
        if times > 0.0:
            least = times if least is None else min(least, times)
        if anchor is None:
            anchor = offset
        elif np.linalg.norm(offset - anchor) > SLIP_M:
            slips += 1
            anchor = offset
    return Grip(rows, least, slips)


def _steady(carried: Sequence[bool]) -> list[bool]:
    """Rows with carried ones before and behind."""
    rows = range(len(carried))
    return [
        row >= _TRANSITION_ROWS
        and all(carried[row - _TRANSITION_ROWS : row + _TRANSITION_ROWS + 1])
        and row + _TRANSITION_ROWS < len(carried)
        for row in rows
    ]


_TRANSITION_ROWS = 5  # a third of a second at 15 rows a second
