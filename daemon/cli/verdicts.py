"""What `robotd record` says of the quality gate: each verdict once, when it comes.

It comes a moment after the keep, while the next episode may run already. A sound episode is not
mentioned; at the end it is counted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from robotd.messages import EpisodeLine, RecordingStatus


class Verdicts:
    """Remembers what was said of which episode."""

    def __init__(self) -> None:
        self._told: set[tuple[int, int]] = set()
        self._said: set[str] = set()

    def news(self, recording: RecordingStatus) -> list[EpisodeLine]:
        """The episodes whose verdict is new, and flagged."""
        fresh = [
            line
            for line in recording.episodes
            if line.findings and (line.index, line.episode) not in self._told
        ]
        self._told |= {(line.index, line.episode) for line in fresh}
        return fresh

    def warnings(self, recording: RecordingStatus) -> list[str]:
        """What is new about cameras that changed since the dataset's last episode."""
        fresh = [each for each in recording.warnings if each not in self._said]
        self._said |= set(fresh)
        return fresh

    def rest(self, flagged: Sequence[Mapping[str, Any]]) -> list[str]:
        """The lines for what the reply to `CloseSession` has and was not said yet."""
        told = {episode for _, episode in self._told}
        return [
            line
            for each in flagged
            if each["episode"] not in told
            for line in _lines(each["episode"], each["verdict"], each["findings"], each["do"])
        ]


def lines_of(line: EpisodeLine) -> list[str]:
    """A verdict as it is printed: the findings, the worst first, then what to do about that one."""
    return _lines(line.episode, line.verdict, line.findings, line.do)


def _lines(episode: int, verdict: str, findings: Sequence[str], do: str) -> list[str]:
    who = f"episode {episode}" if episode >= 0 else "held back, not saved"
    more = [f"    {each}" for each in findings[1:]]
    return [f"  {who}: {verdict}: {findings[0]}", *more, f"    {do}."]
