"""How a kept episode ends: beside the rows, so that the next one can begin at once.

Its encoders finish, every file is synced, its manifest says `closed`: 10 ms where all is well, as
long as it takes where an encoder or the disk stands still. The keep is answered when that is done,
because then it is safe; who does not want to wait for the answer records on.
"""

from collections.abc import Callable

from daemon.recorder.schema import Label, Manifest
from daemon.recorder.session import Session
from daemon.recorder.worker import Worker
from robotd.errors import RobotdError, StateError

_AT_ONCE = 2  # episodes being ended; each holds the pictures that its encoders have not taken yet

type Ended = Callable[[Manifest], None]
type Failed = Callable[[RobotdError], None]


class Ending:
    """Ends episodes in a thread, in order. Everything public is for the rows' thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._worker = Worker("end", steps_back=False)
        self._under_way = 0

    @property
    def idle(self) -> bool:
        """Whether every kept episode is closed, or has failed to be."""
        return self._under_way == 0

    @property
    def busy(self) -> bool:
        """Whether too many episodes wait for an encoder or the disk."""
        return self._under_way >= _AT_ONCE

    def check(self) -> None:
        """Raise StateError while too many episodes wait for an encoder or the disk."""
        if self.busy:
            raise StateError(
                f"The last {self._under_way} episodes are still being written.",
                "An encoder or the disk stands still.",
                "Wait a moment; robotd status shows how far the encoder is behind. Nothing is lost.",
            )

    def keep(self, label: Label | None, ended: Ended, failed: Failed) -> None:
        """End the running episode; `ended` or `failed` is called from `collect`. Raises StateError
        when none is running."""
        finish = self._session.end(label)

        def finished(manifest: Manifest | None, error: RobotdError | None) -> None:
            self._under_way -= 1
            if error is not None:
                failed(error)
            elif manifest is not None:
                ended(manifest)

        self._under_way += 1
        self._worker.post(finish, finished)

    def collect(self) -> None:
        """Take what ended meanwhile. Never waits."""
        self._worker.collect()

    def close(self) -> None:
        """Finish what was begun, and end the thread."""
        self._worker.close()
        self._worker.collect()
