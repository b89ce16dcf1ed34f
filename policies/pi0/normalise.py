"""Normalisation of states and actions, with each framework's own formula and epsilon.

openpi and LeRobot differ in the sixth digit, in what they do with a dimension that has no statistics,
and in nothing else. The formulas are written as they are in the sources (openpi `transforms.py`,
LeRobot `normalize_processor.py`), in float64, so that there is nothing to argue about. A dimension
that never moved in training (spread below 1e-4) is treated as if it still stood there: divided by an
epsilon, a hair's breadth would become a million.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from policies.checkpoint.norms import NEEDED
from robotd.errors import CheckpointError

Array = npt.NDArray[np.float64]
Formula = Literal["openpi", "lerobot"]

_STILL = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Normaliser:
    """One vector's way into the model's space and back.

    `mode` is LeRobot's word: MEAN_STD, a pair that becomes -1 and 1 (QUANTILES, MIN_MAX, …), or
    IDENTITY. `low` and `high` [D] are mean and deviation, or that pair. Dimensions beyond D pass
    through.
    """

    mode: str
    formula: Formula
    eps: float
    low: Array
    high: Array

    @property
    def size(self) -> int:
        """How many dimensions have statistics."""
        return len(self.low)

    @property
    def still(self) -> npt.NDArray[np.bool_]:
        """The dimensions that never moved in training [D]."""
        return (self.high if self.mode == "MEAN_STD" else self.high - self.low) < _STILL

    @property
    def scale(self) -> Array:
        """What one unit of model space is in the vector's own units [D]."""
        if self.mode == "MEAN_STD":
            return self.high + self.eps if self.formula == "openpi" else self.high
        return self._span() / 2.0

    def forward(self, values: npt.ArrayLike) -> Array:
        """Values [..., N] in model space [..., N]."""
        out = np.array(values, np.float64)
        count = min(out.shape[-1], self.size)
        low = self.low[:count]
        own = np.where(self.still[:count], low, out[..., :count])
        if self.mode == "MEAN_STD":
            out[..., :count] = (own - low) / (self.high[:count] + self.eps)
        else:
            out[..., :count] = (own - low) / self._span()[:count] * 2.0 - 1.0
        return out

    def back(self, values: npt.ArrayLike) -> Array:
        """The inverse of `forward`, as the framework does it: [..., N] in the vector's own units."""
        out = np.array(values, np.float64)
        count = min(out.shape[-1], self.size)
        low, own = self.low[:count], out[..., :count]
        if self.mode == "MEAN_STD":
            out[..., :count] = own * self.scale[:count] + low
        else:
            out[..., :count] = (own + 1.0) / 2.0 * self._span()[:count] + low
        return out

    def _span(self) -> Array:
        span = self.high - self.low
        if self.formula == "openpi":
            return span + self.eps
        return np.where(span == 0.0, self.eps, span)


def make_normaliser(
    stats: Mapping[str, npt.NDArray[Any]], mode: str, formula: Formula, eps: float, what: str
) -> Normaliser:
    """A normaliser of `what` (for the error) from named statistics.

    Raises CheckpointError where the mode is not known, or a statistic is missing or not finite.
    """
    if mode not in NEEDED:
        raise CheckpointError(
            f"{what} is normalised by {mode}, which is no mode of Pi0.",
            "The checkpoint was written by a newer LeRobot.",
            f"The modes are {', '.join(NEEDED)}; robotd_ckpt.json can say one.",
        )
    values = []
    for name in NEEDED[mode]:
        value = stats.get(name)
        if value is None or not np.isfinite(value).all():
            how = "has no" if value is None else "has an infinite or undefined"
            raise CheckpointError(
                f"The normalisation of {what} {how} {name}.",
                "A conversion lost the statistics of its training dataset (LeRobot's `mean is "
                "infinity`), or they were computed for another kind of policy.",
                "Put them in: robotd ckpt stats PATH --from DATASET (or the norm_stats.json it was "
                "trained with) --out COPY.",
            )
        values.append(np.asarray(value, np.float64).reshape(-1))
    low, high = values or (np.zeros(0), np.zeros(0))
    return Normaliser(mode, formula, eps, low, high)
