"""Every tick of a daemon over minutes, from the ring that keeps one minute."""

from pathlib import Path
from threading import Event, Thread

import numpy as np
import numpy.typing as npt

from robotd.layouts import tick_layout
from robotd.shm import RingReader

_FOLLOW_S = 0.5


class TickLog:
    """Follows the ring from a thread of its own; `close` ends that and returns what was seen."""

    def __init__(self, runtime: Path, joints: int) -> None:
        self._layout = tick_layout(joints)
        self._ring = RingReader(runtime / "ticks", self._layout)
        self._next = self._ring.count
        self._records: list[bytes] = []
        self._stop = Event()
        self._thread = Thread(target=self._follow, name="tick log")
        self._thread.start()

    def stop(self) -> None:
        """End the thread and give the ring back. May be called twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        self._take()
        self._ring.close()

    def close(self) -> npt.NDArray[np.void]:
        """Stop; all ticks since the beginning, as an array of the tick's fields."""
        self.stop()
        return np.frombuffer(b"".join(self._records), np.dtype(self._layout.descr))

    def _follow(self) -> None:
        while not self._stop.wait(_FOLLOW_S):
            self._take()

    def _take(self) -> None:
        count = self._ring.count
        for index in range(self._next, count):
            record = self._ring.read_packed(index)
            if record is not None:
                self._records.append(record)
        self._next = count
