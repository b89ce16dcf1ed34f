"""The pace of a session as a person types it: `10 5 auto`. Pure.

Seconds an episode may last, seconds to lay the things back, whether the next one then begins by
itself, and how many seconds of the past can be kept (`keep 30`). What is left out is as the daemon
is configured: no limit, its reset, a key for each, its `recording.keep_last_s`."""

import math
from dataclasses import dataclass

LABEL = "Pace: seconds an episode, seconds to reset, auto, keep SECONDS of the past"
HINT = "10 5 auto keep 30"
COMPLAINT = "is no pace: two numbers of seconds at most, auto, keep SECONDS; or nothing"
_WORDS = ("auto", "keep")


@dataclass(frozen=True, slots=True)
class Pace:
    """None: as the daemon is configured."""

    episode_s: float | None = None
    reset_s: float | None = None
    auto: bool = False
    keep_last_s: float | None = None


def parse(text: str) -> Pace | None:
    """The pace in `text`; None when it is none."""
    words = text.lower().replace(",", " ").split()
    if any(words.count(word) > 1 for word in _WORDS):
        return None
    keep_last_s = None
    if "keep" in words:
        at = words.index("keep")
        keep_last_s = _seconds(words[at + 1]) if at + 1 < len(words) else None
        if keep_last_s is None:
            return None
        del words[at : at + 2]
    numbers = [_seconds(word) for word in words if word != "auto"]
    if len(numbers) > 2 or None in numbers or 0.0 in numbers[:1]:
        return None
    episode_s, reset_s = (*numbers, None, None)[:2]
    return Pace(episode_s, reset_s, "auto" in words, keep_last_s)


def _seconds(word: str) -> float | None:
    try:
        value = float(word.removesuffix("s"))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
