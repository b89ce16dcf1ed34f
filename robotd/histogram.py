"""How a span of time is spread, in bounded memory: fixed buckets, sixteen to each doubling.

The buckets of HdrHistogram with four bits of precision: whole numbers below 32 each have their own,
above that a bucket is a sixteenth of its lower bound wide, and its middle is said for whatever fell
into it. So a percentile is off by at most 1/32 (3.2 %) of itself, and the maximum is kept exactly.
Adding is a shift and two stores into memory that is there already; nothing is allocated and nothing
grows, however long a loop runs.

Two states of one histogram subtract, which gives the time between them ("the last ten seconds");
those of two runs merge.
"""

from array import array
from collections.abc import MutableSequence, Sequence

_PRECISION_BITS = 4
_PER_DOUBLING = 1 << _PRECISION_BITS
_LONGEST_BITS = 24  # of a value; in microseconds 16.7 s, and what is longer is counted as that
BUCKETS = (_LONGEST_BITS - _PRECISION_BITS + 1) * _PER_DOUBLING
CELLS = BUCKETS + 1
"""A histogram's memory as 8-byte numbers: the buckets' counts, and last the exact maximum."""

RELATIVE_ERROR = 1 / (2 * _PER_DOUBLING)
"""The most that a percentile differs from the value it stands for, as a part of it."""

_LONGEST = (1 << _LONGEST_BITS) - 1


class Histogram:
    """Counts of whole numbers (microseconds, here), from 0 up.

    `cells` is the memory to count in, `CELLS` numbers long: a part of something larger, if wanted.
    """

    __slots__ = ("_cells",)

    def __init__(self, cells: "MutableSequence[int] | memoryview[int] | None" = None) -> None:
        self._cells = array("Q", bytes(8 * CELLS)) if cells is None else cells
        if len(self._cells) != CELLS:
            raise ValueError(f"a histogram has {CELLS} cells, not {len(self._cells)}")

    @classmethod
    def of(cls, cells: Sequence[int]) -> "Histogram":
        """A histogram of cells that were read somewhere, with a memory of its own."""
        return cls(array("Q", cells))

    def add(self, value: int) -> None:
        """Count one value. A negative one counts as 0, a longer one than can be told as that."""
        cells = self._cells
        if value < 0:
            value = 0
        if value > cells[BUCKETS]:
            cells[BUCKETS] = value
        if value > _LONGEST:
            value = _LONGEST
        shift = value.bit_length() - _PRECISION_BITS - 1
        cells[value if shift <= 0 else (shift << _PRECISION_BITS) + (value >> shift)] += 1

    @property
    def count(self) -> int:
        """How many values were added."""
        return sum(self._counts)

    @property
    def maximum(self) -> int:
        """The largest value, exactly; 0 for none. Of a difference: see `since`."""
        return self._cells[BUCKETS]

    def percentile(self, part: float) -> float:
        """The value that `part` (0…1) of all values do not exceed; 0 for none."""
        wanted = part * self.count
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(_middle(bucket), float(self.maximum))
        return 0.0

    def merged(self, other: "Histogram") -> "Histogram":
        """Both together."""
        pairs = zip(self._counts, other._counts, strict=True)
        return Histogram.of([*(a + b for a, b in pairs), max(self.maximum, other.maximum)])

    def since(self, earlier: "Histogram") -> "Histogram":
        """What was added after `earlier`, which is an older state of this one.

        The maximum is exact when it is one that had not been reached before, else as good as a
        percentile. Raises ValueError when `earlier` is no older state.
        """
        counts = [now - then for now, then in zip(self._counts, earlier._counts, strict=True)]
        if min(counts) < 0:
            raise ValueError("that is no earlier state of this histogram")
        maximum = self.maximum
        if maximum == earlier.maximum:
            top = max((bucket for bucket, count in enumerate(counts) if count), default=None)
            maximum = 0 if top is None else min(maximum, round(_middle(top)))
        return Histogram.of([*counts, maximum])

    @property
    def _counts(self) -> Sequence[int]:
        return self._cells[:BUCKETS]


def _middle(bucket: int) -> float:
    """The value in the middle of a bucket."""
    shift = (bucket >> _PRECISION_BITS) - 1
    if shift <= 0:
        return float(bucket)
    low = (_PER_DOUBLING + (bucket & (_PER_DOUBLING - 1))) << shift
    return low + ((1 << shift) - 1) / 2
