"""Lines in the scene: where fingertips go, went, or might have gone. Pure.

What a colour means is said once, here: the plan that is followed or judged is green, a refused one
red, plans before it blue and fainter by age, the way that was really gone orange, other answers of
the same policy grey, its answer with a camera covered yellow, the flow on its way to an answer violet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Rgba = tuple[float, float, float, float]

PASSED: Rgba = (0.38, 0.84, 0.55, 1.0)
REFUSED: Rgba = (1.0, 0.39, 0.39, 1.0)
PAST: Rgba = (0.30, 0.52, 1.0, 0.8)
EXECUTED: Rgba = (1.0, 0.60, 0.10, 1.0)
SAMPLE: Rgba = (0.72, 0.74, 0.78, 0.55)
BLIND: Rgba = (0.98, 0.88, 0.25, 0.9)
FLOW: Rgba = (0.74, 0.50, 1.0, 0.7)

THICK_M, THIN_M = 0.002, 0.0012
PAST_KEPT = 12
"""How many plans before the newest one are drawn."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: float [N, 3] in metres, world frame."""

    points_m: Points
    rgba: Rgba
    radius_m: float = THICK_M


def past(lines: Sequence[Sequence[Line]]) -> list[Line]:
    """Plans that others have replaced, oldest first, as they fade: opacity falls with the square of
    the age. The nearest come first in what is returned, because a full scene leaves out the last."""
    kept = list(lines)[-PAST_KEPT:]
    found = []
    for age, plan in enumerate(reversed(kept), start=1):
        share = (1.0 - age / (PAST_KEPT + 1)) ** 2
        rgba = (*PAST[:3], PAST[3] * share)
        found += [replace(line, rgba=rgba, radius_m=THIN_M) for line in plan]
    return found


def along(first: Rgba, last: Rgba, share: float) -> Rgba:
    """The colour `share` of the way (0 to 1) from `first` to `last`."""
    r, g, b, a = ((1.0 - share) * x + share * y for x, y in zip(first, last, strict=True))
    return (r, g, b, a)
