"""What a person's recording session is: dataset, task, how many, how long, and how it went."""

from collections import deque
from typing import Any

import msgspec

from daemon.recorder.pacing import Pace
from daemon.recorder.quality.finding import Verdict
from daemon.recorder.schema import EpisodeSpec
from robotd.messages import EpisodeLine

_LINES_KEPT = 50


class Plan:
    """The session's wishes, and a line for each of its episodes."""

    def __init__(
        self, spec: EpisodeSpec, episodes: int, limit_s: float | None, pace: Pace | None = None
    ) -> None:
        self.pace = pace or Pace(0.0, False)
        self.spec = spec
        self.task = spec.task
        self.episodes = episodes
        self.limit_s = limit_s
        self.kept: list[str] = []  # journals kept in this session and not undone, newest last
        self.published: set[str] = set()  # those of them that are in the dataset
        self._lines: deque[tuple[str, EpisodeLine]] = deque(maxlen=_LINES_KEPT)
        self._ended = 0

    @property
    def lines(self) -> tuple[EpisodeLine, ...]:
        """The session's newest episodes, oldest first."""
        return tuple(line for _, line in self._lines)

    @property
    def more(self) -> bool:
        """Whether the session wants another episode."""
        return len(self.kept) < self.episodes

    def note(
        self,
        journal_id: str,
        frames: int,
        seconds: float,
        outcome: str,
        note: str,
        gaps: int,
        repeated: int,
        marks: int = 0,
        takeovers: int = 0,
    ) -> None:
        """Add the line of an episode that ended."""
        notes = [note] if note else []
        if gaps:
            notes.append(f"{gaps} gaps")
        if repeated:
            notes.append(f"{repeated} repeated pictures")
        line = EpisodeLine(
            index=self._ended,
            seconds=seconds,
            frames=frames,
            outcome=outcome,
            note=", ".join(notes) or "ok",
            marks=marks,
            takeovers=takeovers,
        )
        self._ended += 1
        self._lines.append((journal_id, line))

    def saved(self, journal_id: str, episode: int, verdict: Verdict | None) -> None:
        """An episode is in its dataset as number `episode`; one of another session is none of ours."""
        if any(name == journal_id and line.outcome == "held" for name, line in self._lines):
            self.kept.append(journal_id)  # a person's second word
            self._change(journal_id, outcome="kept")
        if journal_id in self.kept:
            self.published.add(journal_id)
            self._judged(journal_id, verdict, episode=episode)

    def held_back(self, journal_id: str, verdict: Verdict | None) -> None:
        """The quality gate holds a kept episode: it waits for a person, and is not counted."""
        if journal_id in self.kept:
            self.kept.remove(journal_id)
            self._judged(journal_id, verdict, outcome="held")

    @property
    def flagged(self) -> list[dict[str, Any]]:
        """What the quality gate found in this session, an entry an episode, for a reply."""
        return [
            {
                "episode": line.episode,
                "verdict": line.verdict,
                "findings": list(line.findings),
                "do": line.do,
            }
            for line in self.lines
            if line.findings
        ]

    def _judged(self, journal_id: str, verdict: Verdict | None, **changes: Any) -> None:
        if verdict is not None:
            changes["verdict"] = verdict.worst
            changes["findings"] = tuple(finding.what for finding in verdict.flagged)
            changes["do"] = verdict.flagged[0].do if verdict.flagged else ""
        self._change(journal_id, **changes)

    def _change(self, journal_id: str, **changes: Any) -> None:
        for at, (name, line) in enumerate(self._lines):
            if name == journal_id:
                self._lines[at] = (name, msgspec.structs.replace(line, **changes))

    def relabelled(self, journal_id: str, outcome: str) -> None:
        """A kept episode is called something else now."""
        self._change(journal_id, outcome=outcome)

    def take_back(self, journal_id: str) -> None:
        """A kept episode was undone: it is no longer counted or listed."""
        self.kept.remove(journal_id)
        self.published.discard(journal_id)
        for entry in self._lines:
            if entry[0] == journal_id:
                self._lines.remove(entry)
                return
