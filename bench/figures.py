"""What the benchmarks of time compute: spreads, and how far intervals are from their period. Pure.

Stamps are monotonic ns. A period's error is |interval - period|: the same for robotd, for a bare
loop and for LeRobot.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Stamps = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spread:
    """How something was distributed, in µs. All zero when there is no sample."""

    samples: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float

    def as_json(self) -> dict[str, float | int]:
        """The figures that every benchmark prints."""
        return {
            "samples": self.samples,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "p999_us": self.p999_us,
            "max_us": self.max_us,
        }


def spread(values_ns: Sequence[float] | npt.NDArray[np.number]) -> Spread:
    """The spread of `values_ns`. A percentile is a value that occurred (nearest rank): the p99.9 of
    fewer than 1,000 samples is their maximum, never a number between two of them."""
    ordered = np.sort(np.asarray(values_ns, dtype=np.float64)) / 1_000.0
    if not len(ordered):
        return Spread(0, 0.0, 0.0, 0.0, 0.0)

    def rank(part: float) -> float:
        return round(float(ordered[max(0, math.ceil(part * len(ordered)) - 1)]), 1)

    return Spread(len(ordered), rank(0.5), rank(0.99), rank(0.999), rank(1.0))


def period_errors_ns(
    stamps: Stamps, period_ns: float, periods: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.float64]:
    """|interval - period| of each pair of stamps; `periods` says how many periods lie between a pair
    where it is not one."""
    intervals = np.diff(stamps).astype(np.float64)
    wanted = period_ns if periods is None else period_ns * periods
    return np.abs(intervals - wanted)


def within(stamps: Stamps, begin_ns: int, end_ns: int) -> Stamps:
    """The stamps of a slice of time, its end excluded."""
    return stamps[(stamps >= begin_ns) & (stamps < end_ns)]


def nearest(stamps: Stamps, to: Stamps) -> npt.NDArray[np.int64]:
    """For each of `to` the index of the nearest of `stamps` (ascending, not empty)."""
    right = np.clip(np.searchsorted(stamps, to), 1, max(1, len(stamps) - 1))
    left = right - 1
    right = np.minimum(right, len(stamps) - 1)
    return np.where(np.abs(stamps[left] - to) <= np.abs(stamps[right] - to), left, right)


def ratio(ours: float, theirs: float) -> float | None:
    """`ours / theirs`; None when there is nothing to divide by."""
    return round(ours / theirs, 3) if theirs > 0 else None


@dataclass(frozen=True, slots=True)
class Slope:
    """See `slope_per_hour`."""

    per_hour: float
    error_per_hour: float
    swing: float


def slope_per_hour(seconds: Sequence[float], values: Sequence[float]) -> Slope:
    """A straight line through the values (least squares): its slope per hour, what one standard
    error of that slope is, and how far the values lie from the line (standard deviation). Zeros for
    fewer than three points or no time between them."""
    hours = np.asarray(seconds, np.float64) / 3_600.0
    if len(hours) < 3 or hours[0] == hours[-1]:
        return Slope(0.0, 0.0, 0.0)
    slope, at_zero = np.polyfit(hours, np.asarray(values), 1)
    swing = float(np.sqrt(np.sum((values - slope * hours - at_zero) ** 2) / (len(hours) - 2)))
    spread_of_hours = float(np.sqrt(np.sum((hours - hours.mean()) ** 2)))
    return Slope(float(slope), swing / spread_of_hours, swing)
