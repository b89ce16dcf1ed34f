"""How sure a count makes one: the bound of a rate that was seen so often. Pure."""

import math

_CONFIDENCE = 0.95
_HALVINGS = 60


def upper_95(events: int, trials: int) -> float:
    """The rate that is not exceeded with 95 % confidence (Clopper-Pearson, one-sided).

    For no event it is `1 - 0.05 ** (1 / trials)`, about 3 / trials. 1 for no trial.
    """
    if trials == 0 or events >= trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(_HALVINGS):
        rate = (low + high) / 2.0
        if _at_most(events, trials, rate) > 1.0 - _CONFIDENCE:
            low = rate
        else:
            high = rate
    return high


def _at_most(events: int, trials: int, rate: float) -> float:
    """The probability of so many events or fewer."""
    yes, no = math.log(rate) if rate > 0.0 else -math.inf, math.log1p(-rate)
    return sum(
        math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(k + 1)
            - math.lgamma(trials - k + 1)
            + (k * yes if k else 0.0)
            + (trials - k) * no
        )
        for k in range(events + 1)
    )
