"""What the recorder promised: from what was said to what must, may and must not be there.

Pure. An episode's `may` holds the fates that are still allowed. Between a request and its answer two
are: whoever was killed in between had not been told yet.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.crashing.world import FPS

SAVED, OPEN, AWAY = "in the dataset", "offered", "away"
LOST_ROWS = FPS
"""A second: what a crash may cost of the running episode."""


@dataclass(slots=True)
class Episode:
    """One journal: its numbers count up from `first`; `tried` rows were handed over, `told` of them
    were taken, `whole` is how many it was saved with (-1: not saved), `before` what it might have
    been when somebody asked to undo it."""

    first: int
    tried: int = 0
    told: int = 0
    whole: int = -1
    may: set[str] = field(default_factory=lambda: {OPEN})
    before: set[str] = field(default_factory=set)
    was_saved: bool = False
    noted_lost: bool = False

    def promise(self, rows: int) -> None:
        """The person was told that it is saved."""
        self.may, self.whole, self.was_saved = {SAVED}, rows, True


@dataclass(slots=True)
class Found:
    """What is there after a recovery: rows by journal, in the dataset and offered."""

    saved: dict[str, int]
    offered: dict[str, int]


@dataclass(slots=True)
class Ledger:
    """Every episode of a world, by journal id."""

    episodes: dict[str, Episode] = field(default_factory=dict)
    max_unsaved_loss_s: float = 0.0

    @property
    def saved(self) -> int:
        """Episodes that somebody was told are saved, whatever became of them later."""
        return sum(each.was_saved for each in self.episodes.values())

    def hear(self, lines: Iterable[Sequence[Any]]) -> None:
        """Take in what a life said."""
        for verb, *words in lines:
            if verb == "began":
                self.episodes[words[0]] = Episode(first=words[1])
            elif verb in _MEANINGS:
                _MEANINGS[verb](self.episodes[words[0]], *words[1:])

    def compare(self, found: Found) -> tuple[list[str], int]:
        """(what is wrong, how many saved episodes are lost). The ledger then takes what is there
        as what has to be."""
        wrong, lost = [], 0
        for name in (found.saved.keys() | found.offered.keys()) - self.episodes.keys():
            wrong.append(f"{name} appeared: nobody was told that it began")
        for name, episode in self.episodes.items():
            fate = SAVED if name in found.saved else OPEN if name in found.offered else AWAY
            rows = found.saved.get(name, found.offered.get(name, 0))
            problem = self._problem(episode, fate, rows)
            if problem:
                wrong.append(f"{name}: {problem}")
                if episode.may == {SAVED} and not episode.noted_lost:
                    lost, episode.noted_lost = lost + 1, True
            episode.may = {fate}
            if fate == SAVED:
                episode.promise(rows)
            elif fate == OPEN:
                episode.tried, episode.told = rows, rows  # what is lost was lost once
        return wrong, lost

    def _problem(self, episode: Episode, fate: str, rows: int) -> str:
        cut = episode.told - rows
        nothing_left = fate == AWAY and OPEN in episode.may and episode.told <= LOST_ROWS
        if fate not in episode.may and not nothing_left:
            return f"is {fate}, must be {' or '.join(sorted(episode.may))}"
        if fate == SAVED and episode.whole >= 0 and rows != episode.whole:
            return f"was saved with {episode.whole} rows and has {rows}"
        if rows > episode.tried:
            return f"has {rows} rows of {episode.tried} that were handed over"
        if fate == OPEN or (fate == SAVED and episode.whole < 0) or nothing_left:
            if AWAY not in episode.may:
                self.max_unsaved_loss_s = max(self.max_unsaved_loss_s, cut / FPS)
            if cut > LOST_ROWS:
                return f"has {rows} of {episode.told} rows: more than a second is lost"
        return ""


def _appending(episode: Episode) -> None:
    episode.tried += 1


def _row(episode: Episode) -> None:
    episode.told += 1


def _keeping(episode: Episode) -> None:
    episode.may = {OPEN, SAVED}


def _kept(episode: Episode, _: int) -> None:
    episode.promise(episode.told)


def _empty(episode: Episode, _: int) -> None:
    episode.may = {AWAY}


def _discarding(episode: Episode) -> None:
    episode.may = {OPEN, AWAY}


def _gone(episode: Episode) -> None:
    episode.may = {AWAY}


def _undoing(episode: Episode) -> None:
    episode.before, episode.may = episode.may, episode.may | {AWAY}


def _refused(episode: Episode, _: str) -> None:
    episode.may = episode.before


def _deciding(episode: Episode, keep: bool) -> None:
    episode.may = {OPEN, SAVED} if keep else {OPEN, AWAY}


def _decided(episode: Episode, keep: bool, rows: int) -> None:
    if keep:
        episode.promise(rows)
    else:
        episode.may = {AWAY}


_MEANINGS: dict[str, Callable[..., None]] = {
    "appending": _appending,
    "row": _row,
    "keeping": _keeping,
    "kept": _kept,
    "empty": _empty,
    "discarding": _discarding,
    "discarded": _gone,
    "undoing": _undoing,
    "undone": _gone,
    "refused": _refused,
    "deciding": _deciding,
    "decided": _decided,
}
