"""Episode numbers as a person writes them: `3`, `3,7-9`; pure."""

import re

from robotd.errors import StateError

_PART = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")
_MOST = 1_000_000  # of a range; a typing error must not fill the memory


def numbers_in(text: str) -> set[int]:
    """The numbers in `text`. Raises StateError for what is no list of numbers and ranges."""
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        first = int(match[1]) if match else 0
        last = int(match[2] or match[1]) if match else -1
        if not 0 <= last - first < _MOST:
            raise StateError(
                f"{part.strip()!r} is not the number of an episode.",
                "Episodes are numbers from 0, or ranges from a lower one to a higher.",
                "Write for example 3 or 3,7-9.",
            )
        found |= set(range(first, last + 1))
    return found


def words(numbers: set[int]) -> str:
    """`episode 3`, `episodes 3, 7-9`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    text = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
    return f"episode{'s' if len(numbers) > 1 else ''} {text}"
