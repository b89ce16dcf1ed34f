"""What a count of successes proves: intervals, paired differences, and which checkpoint to take. Pure.

Ten episodes cannot tell 80 % from 100 %, so no rate stands without its interval, and two policies are compared on the
same seeds only: what a seed makes hard is then hard for both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959964

INTERVAL_METHOD = "Wilson 1927"
PAIRED_METHOD = (
    "interval of the paired difference: Newcombe 1998 (method 10); p: McNemar, exact, two-sided"
)


def wilson(successes: int, episodes: int) -> tuple[float, float]:
    """The 95 % interval of a success rate (Wilson 1927): sensible at 0 and at N of N. (0, 1) for no episode."""
    if episodes == 0:
        return 0.0, 1.0
    share = successes / episodes
    spread = Z_95 * Z_95 / episodes
    middle = share + spread / 2.0
    half = Z_95 * math.sqrt(share * (1.0 - share) / episodes + spread / (4.0 * episodes))
    return max(0.0, (middle - half) / (1.0 + spread)), min(1.0, (middle + half) / (1.0 + spread))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """The exact two-sided p of McNemar's test: would a fair coin split the pairs that differ so unevenly?

    1 when no pair differs: nothing was seen that tells the two apart.
    """
    differing = only_first + only_second
    fewer = min(only_first, only_second)
    tail = sum(math.comb(differing, k) for k in range(fewer + 1)) / 2.0**differing
    return min(1.0, 2.0 * tail)


@dataclass(frozen=True, slots=True)
class Paired:
    """Two policies on the same episodes. `difference` is the second's success rate less the first's."""

    pairs: int
    only_first: int
    only_second: int
    difference: float
    ci95: tuple[float, float]
    p_value: float


def paired(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Compare successes pair by pair (equal seeds). Raises ValueError for lists of unequal length or none."""
    if len(first) != len(second) or not first:
        raise ValueError("paired outcomes are needed, one of each for every seed")
    pairs = len(first)
    both = sum(a and b for a, b in zip(first, second, strict=True))
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    return Paired(
        pairs=pairs,
        only_first=only_first,
        only_second=only_second,
        difference=(only_second - only_first) / pairs,
        ci95=_newcombe(both, only_second, only_first, pairs - both - only_first - only_second),
        p_value=mcnemar_p(only_first, only_second),
    )


def _newcombe(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    """The 95 % interval of rate a less rate b of paired counts (Newcombe, Stat. Med. 17, 1998, method 10): the two
    Wilson intervals, joined by how much the pairs go together, of which half a pair in each is not believed."""
    pairs = both + only_a + only_b + neither
    a, b = (both + only_a) / pairs, (both + only_b) / pairs
    (low_a, high_a), (low_b, high_b) = (
        wilson(both + only_a, pairs),
        wilson(both + only_b, pairs),
    )
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    together = float(both * neither - only_a * only_b)
    if together > 0.0:
        together = max(0.0, together - pairs / 2.0)
    phi = together / math.sqrt(margins) if margins else 0.0
    down, up = a - low_a, high_b - b
    low = a - b - math.sqrt(max(0.0, down * down - 2.0 * phi * down * up + up * up))
    up, down = high_a - a, b - low_b
    high = a - b + math.sqrt(max(0.0, up * up - 2.0 * phi * up * down + down * down))
    return max(-1.0, low), min(1.0, high)


def choose(counts: Sequence[tuple[int, int]]) -> int:
    """Which of several checkpoints to take: the earliest whose rate lies in the interval of the best one's.

    `counts` are (successes, episodes), the earliest checkpoint first. A later one inside that interval has not been
    shown to be better, and the earlier one has been fitted less closely to its data. Raises ValueError for none.
    """
    if not counts or any(episodes == 0 for _, episodes in counts):
        raise ValueError("there is nothing to choose from")
    shares = [successes / episodes for successes, episodes in counts]
    best = max(range(len(counts)), key=lambda number: (shares[number], -number))
    low, _ = wilson(*counts[best])
    return next(number for number, share in enumerate(shares) if share >= low)
