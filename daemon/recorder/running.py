"""The running episode: its rows from the intake into the journal, until it is ended or cut short."""

import logging
from collections.abc import Callable

from daemon.recorder.follow import RowTick
from daemon.recorder.intake import Intake
from daemon.recorder.session import Session
from robotd.errors import DatasetError, RobotdError, StateError

log = logging.getLogger(__name__)

type Note = Callable[[RobotdError], None]
type Line = Callable[[str, int, str, str], None]
"""Called with an episode's journal, rows, outcome and why, when it ended by itself."""


class Running:
    """Takes rows while an episode runs. `limit_s` is how long it may become; None: no limit."""

    def __init__(self, session: Session, intake: Intake, fps: int, note: Note, line: Line) -> None:
        self._session = session
        self._intake = intake
        self._fps = fps
        self._note = note
        self._line = line

    def take(self, limit_s: float | None) -> None:
        """The rows whose pictures are known by now."""
        for row_tick in self._intake.due(lambda: self._session.crowded):
            self._append(row_tick, limit_s)

    def drain(self, limit_s: float | None) -> None:
        """Every row that is due now, with the pictures that are there."""
        for row_tick in self._intake.rest():
            self._append(row_tick, limit_s)

    def interrupt(self, reason: str) -> None:
        """End the episode undecided, and say what can be done with it."""
        episode, rows = self._session.recording, self._session.rows
        if episode is None:
            return
        log.warning("episode %s is interrupted: %s", episode.journal_id, reason)
        try:
            self._session.interrupt(reason)
        except DatasetError as error:  # it is interrupted all the same, by the disk
            self._note(error)
        else:
            self._note(
                StateError(
                    f"Episode {episode.journal_id} was interrupted: {reason}.",
                    "Its rows would not have been one run of the arm, or nobody ended it.",
                    f"It is whole so far. Keep it: robotd dataset recover --keep "
                    f"{episode.journal_id}; or --discard.",
                )
            )
        self._line(episode.journal_id, rows, "interrupted", reason)

    def _append(self, row_tick: RowTick, limit_s: float | None) -> None:
        episode = self._session.recording
        if episode is None:
            return
        if limit_s is not None and self._session.rows >= limit_s * self._fps:
            return  # the episode has its length; it waits for keep or discard
        made = self._intake.row(row_tick, episode.spec.task)
        if made is None:
            return
        rows = self._session.rows
        try:
            self._session.append(*made)
        except DatasetError as error:
            self._note(error)
            if self._session.recording is None:
                self._line(episode.journal_id, rows, "interrupted", error.what)
            else:
                self._intake.gaps += 1
