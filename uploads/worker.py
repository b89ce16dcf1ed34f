"""The uploader: takes the queue's jobs one by one, and waits, for days if need be.

One runs per user of a machine, by a lock that the kernel gives back however it ends. It can be
killed at any instant: what it did is on the hub, what it was asked is in the requests' log, and
the rest is found out anew.
"""

import fcntl
import logging
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon.recorder.durable import make_folder, write_atomic
from daemon.recorder.transaction import COMMITS
from robotd.errors import RobotdError, StateError
from robotd.uploading import FINAL, Upload, Uploads, lock_file, read_uploads, uploads_dir
from uploads.board import Board
from uploads.carry import Carried, carry
from uploads.hub import Hub, check_token, endpoint
from uploads.moving import Arms
from uploads.patience import Patience
from uploads.queue import due, wait_s, without_trouble
from uploads.requests import Job
from uploads.snapshot import standing_journals
from uploads.traffic import StoppedError, Traffic
from uploads.troubles import ChangedError, UploadError, WaitError

log = logging.getLogger(__name__)

_STEP_S = 0.2
_LOCK_TRIES = 10
_JOURNALS = "journals.json"


def run_uploader(patience: Patience, *, waits: bool = False) -> int:
    """Work until nothing is left that would move by itself; returns the exit status.

    When another uploader runs it returns at once, or, with `waits`, goes on with what that one
    leaves, however it ends.
    """
    make_folder(uploads_dir())
    while True:
        lock = _lock(waits=waits)
        if lock is None:
            return 0
        try:
            uploader = Uploader(patience)
            uploader.run()
        finally:
            os.close(lock)
        # Whoever asked while the lock was held took it for a promise that we would look.
        if not uploader.behind():
            return 0


class Uploader:
    """The work under the lock. `sleep` and `wall_s` are passed in for tests."""

    def __init__(
        self,
        patience: Patience,
        *,
        sleep: Callable[[float], None] = time.sleep,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._patience = patience
        self._sleep = sleep
        self._wall_s = wall_s
        self._chance = random.Random()
        self._traffic = Traffic()
        self._board = Board(self._traffic, _before(), Arms().moving)

    def run(self) -> None:
        """Until everything is done, refused or paused."""
        self._board.start()
        try:
            while self._step():
                pass
        finally:
            self._board.close()

    def behind(self) -> bool:
        """Whether somebody asked for something that was not taken in."""
        asked = self._board.orders
        self._board.read()
        return self._board.orders is not asked

    def _step(self) -> bool:
        self._follow_datasets()
        orders, uploads = self._board.orders, self._board.uploads
        open_ones = [each for each in uploads if each.state not in FINAL]
        if not open_ones:
            return False
        if orders.paused:
            for each in open_ones:
                self._board.change(each.id, state="paused")
            return False
        upload = due(uploads, self._wall_s())
        if upload is None:
            soonest = min(wait_s(each, self._wall_s()) for each in open_ones)
            self._sleep(min(_STEP_S, max(soonest, 0.001)))
            self._board.read()
            return True
        self._attempt(upload, orders.jobs[upload.id])
        return True

    def _attempt(self, upload: Upload, job: Job) -> None:
        self._board.begin(job.id)
        try:
            carried = self._carry(job)
        except StoppedError:
            self._board.change(job.id, state="queued")
            self._board.read()
        except (WaitError, ChangedError) as error:
            self._wait(job.id, error)
        except UploadError as error:
            self._trouble(job.id, error, state="refused")
        except RobotdError as error:  # of our own disk: full, read-only
            self._wait(job.id, error)
        else:
            self._done(job, carried)
        finally:
            self._board.begin("")
        self._board.publish()

    def _carry(self, job: Job) -> Carried:
        hub = Hub(endpoint(), check_token(), self._traffic)

        def report(**changes: object) -> None:
            self._board.change(job.id, **changes)

        return carry(hub, job.wanted, self._folder(job.id), report)

    def _done(self, job: Job, carried: Carried) -> None:
        journals = msgspec.json.encode(carried.snapshot.journals)
        write_atomic(self._folder(job.id) / _JOURNALS, journals)
        upload = self._upload(job.id)
        done = msgspec.structs.replace(
            without_trouble(upload),
            state="done",
            attempt=0,
            commit=carried.commit,
            finished_wall_s=round(self._wall_s(), 3),
            commits_bytes=carried.snapshot.commits_bytes,
        )
        self._board.change(job.id, **msgspec.structs.asdict(done))
        log.info("%s is on %s", upload.name, done.url)

    def _wait(self, job: str, error: RobotdError) -> None:
        attempt = self._upload(job).attempt + 1
        asked_s = error.retry_after_s if isinstance(error, WaitError) else None
        seconds = self._patience.wait_s(attempt, asked_s, self._chance)
        at_s = round(self._wall_s() + seconds, 3)
        self._trouble(job, error, state="waiting", attempt=attempt, next_try_wall_s=at_s)

    def _trouble(self, job: str, error: RobotdError, **changes: object) -> None:
        before = self._upload(job)
        if before.what != error.what:
            log.warning("%s: %s", before.name, error)
        words = {"what": error.what, "likely": error.likely, "do": error.do}
        self._board.change(job, **words, **changes)

    def _follow_datasets(self) -> None:
        """Queue again what changed after its upload: always when an episode was taken out, and for
        one that is followed also when one came."""
        for upload in self._board.uploads:
            records = Path(upload.root) / COMMITS
            size = records.stat().st_size if records.exists() else 0
            if upload.state != "done" or size == upload.commits_bytes:
                continue
            now = standing_journals(Path(upload.root))
            sent = self._sent_journals(upload.id)
            follows = self._board.orders.jobs[upload.id].wanted.follow
            if sent - now or (follows and now - sent):
                self._board.change(upload.id, state="queued", attempt=0)
            else:
                self._board.change(upload.id, commits_bytes=size)

    def _sent_journals(self, job: str) -> frozenset[str]:
        path = self._folder(job) / _JOURNALS
        try:
            return msgspec.json.decode(path.read_bytes(), type=frozenset[str])
        except (OSError, msgspec.DecodeError):
            return frozenset()

    def _upload(self, job: str) -> Upload:
        return next(each for each in self._board.uploads if each.id == job)

    def _folder(self, job: str) -> Path:
        return uploads_dir() / "jobs" / job


def _before() -> Uploads:
    """How far an earlier uploader came. Of one of another version nothing is known: all is
    compared with the hub again."""
    try:
        return read_uploads()
    except StateError as error:
        log.warning("%s", error)
        return Uploads()


def _lock(*, waits: bool) -> int | None:
    """The lock's descriptor; None when another uploader holds it, unless this one `waits`."""
    descriptor = os.open(lock_file(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if waits:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            time.sleep(_STEP_S / 4)  # somebody only asks whether it is held
    os.close(descriptor)
    return None
