"""When files are synced: at once, or by a thread of its own so that a slow disk stalls no row.

What was written survives SIGKILL without a sync; only power loss needs it. On a busy disk one sync
was seen to take 40 s, in which a camera's ring would have gone round many times.
"""

import threading
from collections.abc import Sequence
from typing import Protocol

from daemon.recorder.durable import AppendFile


class Syncer(Protocol):
    """Syncs files. Errors of the disk come out of either method as OSError."""

    def request(self, files: Sequence[AppendFile]) -> None:
        """Have `files` synced soon."""
        ...

    def wait(self, files: Sequence[AppendFile]) -> None:
        """Return when none of `files` is, or will be, synced any more: they may then be closed."""
        ...

    def close(self) -> None:
        """Nothing will be requested any more."""
        ...


class InlineSyncer:
    """Syncs while the caller waits: for lock-step and for what must be done on return."""

    def request(self, files: Sequence[AppendFile]) -> None:
        for file in files:
            file.sync()

    def wait(self, files: Sequence[AppendFile]) -> None:
        """Nothing is ever left."""

    def close(self) -> None:
        """Nothing to end."""


class ThreadSyncer:
    """Syncs in one thread. A request that comes while one is running waits; only the newest does.

    One serves the episodes of a session: while the last one is being closed, the next one syncs.
    """

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._next: list[AppendFile] = []
        self._now: list[AppendFile] = []  # being synced
        self._ended = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._thread.start()

    def request(self, files: Sequence[AppendFile]) -> None:
        with self._wake:
            self._raise()
            self._next = list(files)
            self._wake.notify_all()

    def wait(self, files: Sequence[AppendFile]) -> None:
        with self._wake:
            self._next = [file for file in self._next if file not in files]
            self._wake.wait_for(lambda: not any(file in self._now for file in files))
            self._raise()

    def close(self) -> None:
        """End the thread once it has done what it is doing."""
        with self._wake:
            self._ended = True
            self._wake.notify_all()
        self._thread.join()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._ended or self._next)
                if not self._next:
                    return
                self._now, self._next = self._next, []
            error: OSError | None = None
            for file in self._now:
                try:
                    file.sync()
                except OSError as failure:
                    error = failure
            with self._wake:
                self._now, self._error = [], error
                self._wake.notify_all()
