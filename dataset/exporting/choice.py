"""Which episodes an export takes, by what is known of each; pure."""

from collections.abc import Sequence

from dataset.exporting.columns import Beside
from robotd.errors import StateError

WORDS = {
    "success": "called a success",
    "failure": "called a failure",
    "labelled": "called a success or a failure",
    "usable": "without a bad finding of the quality gate",
    "clean": "without a bad or warning finding of the quality gate",
    "whole": "ended by a person, not by a crash or a full disk",
}
"""What can be asked of an episode. One of which nothing is known has none of these."""


def fits(beside: Beside, word: str) -> bool:
    """Whether an episode is what `word` says."""
    success = None if beside.page is None else beside.page.label.success
    worst = None if beside.verdict is None else beside.verdict.worst
    return {
        "success": success is True,
        "failure": success is False,
        "labelled": success is not None,
        "usable": worst in ("ok", "warn"),
        "clean": worst == "ok",
        "whole": beside.page is not None and not beside.page.reason,
    }[word]


def chosen(every: Sequence[Beside], words: Sequence[str], numbers: set[int] | None) -> list[int]:
    """The episodes that all of `words` fit and that are among `numbers`, in their order.

    Raises StateError when `numbers` has one that is not there, or none is left.
    """
    known = {beside.episode for beside in every}
    if numbers is not None and not numbers <= known:
        raise StateError(
            f"There is no episode {min(numbers - known)}.",
            f"The dataset has {len(known)}, counted from 0.",
            f"Choose from 0 to {len(known) - 1}.",
        )
    left = [
        beside.episode
        for beside in every
        if (numbers is None or beside.episode in numbers) and all(fits(beside, w) for w in words)
    ]
    if not left:
        counts = ", ".join(f"{sum(fits(each, w) for each in every)} {WORDS[w]}" for w in words)
        raise StateError(
            f"No episode is left: of {len(every)}, {counts or 'none was named'}.",
            "They were not labelled or judged, or the conditions exclude each other.",
            "Label them: robotd dataset relabel NAME --episodes 3-5 --success yes.",
        )
    return left
