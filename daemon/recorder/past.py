"""Following the rows while nothing is recorded, where a session holds the last seconds.

Only what happened while the arm was armed is held: of a limp arm there is no action to learn from.
"""

from collections.abc import Callable

from daemon.recorder.follow import RowTick
from daemon.recorder.intake import Intake
from daemon.recorder.schema import EpisodeSpec, Label, Manifest
from daemon.recorder.session import Session
from daemon.recorder.standby import Standby
from robotd.errors import RobotdError, StateError
from robotd.states import State


class Past:
    """The last `keep_s` seconds of a session; `keep_s` 0 holds none."""

    def __init__(self, session: Session, intake: Intake, keep_s: float) -> None:
        self._session = session
        self._intake = intake
        self._standby = session.standby(keep_s) if keep_s > 0 else None
        self._spec: EpisodeSpec | None = None  # while it is being held
        self._keeping = 0

    @property
    def idle(self) -> bool:
        """Whether nothing that was asked for is under way."""
        return self._keeping == 0

    @property
    def rows(self) -> int | None:
        """Rows that could be kept now; None where none are held."""
        return None if self._standby is None else self._standby.rows

    def follow(self, spec_of: Callable[[], EpisodeSpec], task: str) -> RobotdError | None:
        """Take the rows that are due. An error ends the holding, and is returned once."""
        standby = self._standby
        if standby is None:
            return None
        try:
            if self._spec is None or self._intake.broken:
                standby.drop()
                self._spec = spec_of()
                self._intake.begin()
            for row_tick in self._intake.due(lambda: standby.crowded):
                self._take(standby, self._spec, row_tick, task)
        except RobotdError as error:
            self.close()
            return error
        return None

    def _take(self, standby: Standby, spec: EpisodeSpec, row_tick: RowTick, task: str) -> None:
        if not State(row_tick.tick["state"]).armed:
            standby.drop()
            return
        made = self._intake.row(row_tick, task)
        if made is not None:
            standby.append(spec, *made)

    def episode_begins(self) -> None:
        """The rows are an episode's from now on; the past begins anew after it."""
        if self._standby is not None:
            self._standby.drop()
        self._spec = None

    def keep(
        self,
        seconds: float | None,
        success: bool | None,
        task: str,
        kept: Callable[[Manifest], None],
        failed: Callable[[RobotdError], None],
    ) -> None:
        """Keep the last `seconds`, or all that is held. Raises StateError, and DatasetError when the
        disk takes no more."""
        if self._session.recording is not None:
            raise StateError(
                "An episode is being recorded.",
                "The last seconds are in it.",
                "Keep it (→).",
            )
        if self._standby is None or self._spec is None:
            raise StateError(
                "The last seconds are not held in this session.",
                "Holding them costs what recording costs, so it has to be asked for.",
                "Open it with robotd record --keep-last 30 …, or set recording.keep_last_s.",
            )
        if seconds is not None and not seconds > 0:
            raise StateError(
                f"{seconds:g} s cannot be kept.", "A number was mistyped.", "Give more than 0."
            )
        for row_tick in self._intake.rest():  # what has just happened is what is wanted
            self._take(self._standby, self._spec, row_tick, task)
        held_s = self._standby.keep_s if seconds is None else seconds
        label = Label(success=success)

        def ended(manifest: Manifest) -> None:
            self._keeping -= 1
            kept(manifest)

        def not_kept(error: RobotdError) -> None:
            self._keeping -= 1
            failed(error)

        rows = round(held_s * self._spec.fps)
        self._session.keep_last(self._standby, rows, label, task, ended, not_kept)
        self._keeping += 1

    def collect(self) -> None:
        """Take what ended meanwhile. Never waits."""
        if self._standby is not None:
            self._standby.collect()

    def close(self) -> None:
        """Finish what was asked for and forget the rest."""
        if self._standby is not None:
            self._standby.close()
        self._standby, self._spec = None, None
