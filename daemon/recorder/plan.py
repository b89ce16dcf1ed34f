"""What a person's recording session is: dataset, task, how many, how long, and how it went."""

from collections import deque

from daemon.recorder.schema import EpisodeSpec
from robotd.messages import EpisodeLine

_LINES_KEPT = 50
KEPT = ("success", "fail", "kept")


class Plan:
    """The session's wishes, and a line for each of its episodes."""

    def __init__(self, spec: EpisodeSpec, episodes: int, limit_s: float | None) -> None:
        self.spec = spec
        self.task = spec.task
        self.episodes = episodes
        self.limit_s = limit_s
        self.kept = 0
        self.lines: deque[EpisodeLine] = deque(maxlen=_LINES_KEPT)
        self.undo: list[str] = []  # journals kept in this session, newest last
        self._ended = 0

    def note(
        self, frames: int, seconds: float, outcome: str, note: str, gaps: int, repeated: int
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
        )
        self._ended += 1
        self.lines.append(line)

    def take_back(self) -> None:
        """The last kept episode was undone: it is no longer counted or listed."""
        self.undo.pop()
        self.kept -= 1
        for line in reversed(self.lines):
            if line.outcome in KEPT:
                self.lines.remove(line)
                return
