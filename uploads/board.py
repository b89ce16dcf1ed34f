"""The uploader's other thread: what people ask for comes in, how far it is goes out.

It reads the requests and looks at the arm a few times a second, sets the limits that the sending
threads obey, and publishes the state. So a pause, a new rate or an arm that begins to move acts
within a file, and the status is fresh while the hub's client is in the middle of one.
"""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from daemon.recorder.durable import disk_error
from robotd.uploading import Upload, Uploads, requests_file, status_file
from uploads.queue import reconciled
from uploads.requests import Orders, fold, read_requests
from uploads.traffic import Traffic

log = logging.getLogger(__name__)

_PERIOD_S = 0.25
_PUBLISH_EVERY = 2
_BYTES_PER_MB = 1e6


class Board:
    """The queue as it stands, for both threads. Everything public may be called from either."""

    def __init__(self, traffic: Traffic, before: Uploads, arm_moves: Callable[[], bool]) -> None:
        self._traffic = traffic
        self._arm_moves = arm_moves
        self._lock = threading.RLock()
        self._orders = Orders()
        self._requests_bytes = -1
        self._uploads = before.uploads
        self._current = ""
        self._moving = False
        self._published = b""
        self._failed = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self.read()

    def start(self) -> None:
        self.publish()
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and publish for the last time."""
        self._end.set()
        self._thread.join()
        self.publish()

    @property
    def orders(self) -> Orders:
        with self._lock:
            return self._orders

    @property
    def uploads(self) -> tuple[Upload, ...]:
        with self._lock:
            return self._uploads

    def begin(self, job: str) -> None:
        """This one is under way from now on; "" is none."""
        with self._lock:
            self._current = job
            self._set_limits()

    def change(self, job: str, **changes: Any) -> None:
        """Change fields of one upload."""
        with self._lock:
            self._uploads = tuple(
                msgspec.structs.replace(each, **changes) if each.id == job else each
                for each in self._uploads
            )

    def read(self) -> None:
        """Take in what people asked for since."""
        path = requests_file()
        size = path.stat().st_size if path.exists() else 0
        with self._lock:
            if size == self._requests_bytes:
                return
            requests, self._requests_bytes = read_requests(path)
            self._orders = fold(requests)
            self._uploads = reconciled(self._uploads, self._orders)
            self._set_limits()

    def publish(self) -> None:
        """Write the state where others read it. A disk that does not take it is said once."""
        with self._lock:
            state = Uploads(
                pid=os.getpid(),
                paused=self._orders.paused,
                arm_moves=self._moving,
                rate_bytes_s=round(self._traffic.rate_bytes_s()),
                requests_bytes=self._requests_bytes,
                uploads=self._uploads,
            )
        data = msgspec.json.encode(state)
        if data == self._published:
            return
        # Not synced: a recorder's disk has better to do, and what is lost costs a comparison.
        new = status_file().with_name(".status.new")
        try:
            new.write_bytes(data)
            new.replace(status_file())
            self._published, self._failed = data, ""
        except OSError as error:
            if str(error) != self._failed:
                self._failed = str(error)
                log.error("%s", disk_error(error, status_file()))

    def _run(self) -> None:
        rounds = 0
        while not self._end.wait(_PERIOD_S):
            self.read()
            self._look_at_arm()
            rounds += 1
            if rounds % _PUBLISH_EVERY == 0:
                self.publish()

    def _look_at_arm(self) -> None:
        with self._lock:
            job = self._orders.jobs.get(self._current)
        matters = job is not None and job.wanted.pause_while_moving
        moving = matters and self._arm_moves()
        with self._lock:
            self._moving = moving
            self._traffic.limits.held = moving

    def _set_limits(self) -> None:
        job = self._orders.jobs.get(self._current)
        limits = self._traffic.limits
        limits.stopped = self._orders.paused or (job is not None and job.cancelled)
        limits.bytes_s = job.wanted.rate_mb_s * _BYTES_PER_MB if job is not None else 0.0
