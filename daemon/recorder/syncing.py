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

    def wait(self) -> None:
        """Return when nothing requested is being synced any more: files may then be closed."""
        ...


class InlineSyncer:
    """Syncs while the caller waits: for lock-step and for what must be done on return."""

    def request(self, files: Sequence[AppendFile]) -> None:
        for file in files:
            file.sync()

    def wait(self) -> None:
        """Nothing is ever left."""


class ThreadSyncer:
    """Syncs in one thread. A request that comes while one is running waits; only the newest does."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._next: Sequence[AppendFile] | None = None
        self._busy = False
        self._ended = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._thread.start()

    def request(self, files: Sequence[AppendFile]) -> None:
        with self._wake:
            self._raise()
            self._next = list(files)
            self._wake.notify_all()

    def wait(self) -> None:
        with self._wake:
            self._next = None
            self._wake.wait_for(lambda: not self._busy)
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
                self._wake.wait_for(lambda: self._ended or self._next is not None)
                if self._next is None:
                    return
                files, self._next, self._busy = self._next, None, True
            error: OSError | None = None
            for file in files:
                try:
                    file.sync()
                except OSError as failure:
                    error = failure
            with self._wake:
                self._busy, self._error = False, error
                self._wake.notify_all()
