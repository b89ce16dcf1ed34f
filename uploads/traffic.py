"""Every byte that goes to the hub passes here: counted, kept below a rate, held while the arm moves.

It sits in the HTTP client itself, as a request hook that puts itself before the body: whatever the
hub's client sends, and however it does so, there is no way round it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

PIECE_BYTES = 32 * 1024
KEEP_ALIVE_S = 10.0
"""While the arm moves one piece still goes every so often: storage behind the hub cuts a connection
on which nothing comes for about half a minute, and a file begun has to be begun again then."""
_WINDOW_S = 3.0


class StoppedError(Exception):
    """Sending was stopped by a person: paused or cancelled. Nothing is wrong."""


@dataclass(slots=True)
class Limits:
    """What holds now; written by one thread, read by those that send. `bytes_s` 0 is no limit."""

    bytes_s: float = 0.0
    stopped: bool = False
    held: bool = False


@dataclass
class Traffic:
    """A token bucket over all connections together. `clock` and `sleep` are in seconds."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    limits: Limits = field(default_factory=Limits)
    sent_bytes: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._free_at_s = 0.0
        self._recent: deque[tuple[float, int]] = deque()

    def hook(self, request: httpx.Request) -> None:
        """For the client's request hooks. Raises StoppedError at once when stopped."""
        if self.limits.stopped:
            raise StoppedError
        request.stream = _Throttled(request.stream, self)

    def rate_bytes_s(self) -> float:
        """What went out over the last seconds."""
        with self._lock:
            self._forget()
            return sum(count for _, count in self._recent) / _WINDOW_S

    def take(self, count: int) -> None:
        """Wait until `count` bytes may go. Raises StoppedError."""
        self._while_held()
        with self._lock:
            now = self.clock()
            # The next piece is due when this one's share of time has passed: no burst is saved up.
            due = max(now, self._free_at_s)
            rate = self.limits.bytes_s
            self._free_at_s = due + count / rate if rate > 0 else now
        if due > now:
            self.sleep(due - now)
        if self.limits.stopped:
            raise StoppedError
        with self._lock:
            self.sent_bytes += count
            self._recent.append((self.clock(), count))
            self._forget()

    def _while_held(self) -> None:
        until = self.clock() + KEEP_ALIVE_S
        while self.limits.held and self.clock() < until and not self.limits.stopped:
            self.sleep(0.1)

    def _forget(self) -> None:
        since = self.clock() - _WINDOW_S
        while self._recent and self._recent[0][0] < since:
            self._recent.popleft()


class _Throttled(httpx.SyncByteStream):
    """A request's body, handed on in pieces as the traffic allows."""

    def __init__(self, body: object, traffic: Traffic) -> None:
        if not isinstance(body, httpx.SyncByteStream):
            raise TypeError("the hub's client sent from asynchronous code")
        self._body = body
        self._traffic = traffic

    def __iter__(self) -> Iterator[bytes]:
        for part in self._body:
            for start in range(0, len(part), PIECE_BYTES):
                piece = part[start : start + PIECE_BYTES]
                self._traffic.take(len(piece))
                yield piece

    def close(self) -> None:
        self._body.close()
