"""The pace of a session as a person types it: `10 5 auto`. Pure.

Seconds an episode may last, seconds to lay the things back, and whether the next one then begins by
itself. What is left out is as the daemon is configured: no limit, its reset, a key for each."""

import math
from dataclasses import dataclass

LABEL = "Pace: seconds an episode, seconds to reset, auto (the next begins by itself)"
HINT = "10 5 auto"
COMPLAINT = "is no pace: two numbers of seconds at most, and auto; or nothing"


@dataclass(frozen=True, slots=True)
class Pace:
    """None: as the daemon is configured."""

    episode_s: float | None = None
    reset_s: float | None = None
    auto: bool = False


def parse(text: str) -> Pace | None:
    """The pace in `text`; None when it is none."""
    words = text.lower().replace(",", " ").split()
    auto = "auto" in words
    numbers = [_seconds(word) for word in words if word != "auto"]
    if words.count("auto") > 1 or len(numbers) > 2 or None in numbers or 0.0 in numbers[:1]:
        return None
    episode_s, reset_s = (*numbers, None, None)[:2]
    return Pace(episode_s, reset_s, auto)


def _seconds(word: str) -> float | None:
    try:
        value = float(word.removesuffix("s"))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
