"""Time as a value that is passed in: the machine's monotonic clock, or a virtual one.

Every loop of robotd takes a `Clock`. On the arm and in `--sim` it is CLOCK_MONOTONIC, the clock
that V4L2 stamps frames with. In lock-step mode it is a `VirtualClock`: sleeping advances the
plant's physics and returns at once, so the same code runs faster than real time.
"""

import time
from collections.abc import Callable
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """A monotonic clock in nanoseconds."""

    def now_ns(self) -> int:
        """Return the present time. Never goes backwards."""
        ...

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Return at or after `deadline_ns`; at once if it has passed."""
        ...


class MonotonicClock:
    """CLOCK_MONOTONIC."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def sleep_until_ns(self, deadline_ns: int) -> None:
        remaining_ns = deadline_ns - time.monotonic_ns()
        if remaining_ns > 0:
            time.sleep(remaining_ns / NS_PER_S)


class VirtualClock:
    """A clock that moves only when somebody sleeps on it.

    `advance(to_ns)` is called before the clock moves, so that whatever lives on this clock (the
    plant's physics) is stepped up to the new time before the sleeper sees it.
    """

    def __init__(
        self, start_ns: int = NS_PER_S, advance: Callable[[int], None] | None = None
    ) -> None:
        self._now_ns = start_ns
        self._advance = advance

    def now_ns(self) -> int:
        return self._now_ns

    def sleep_until_ns(self, deadline_ns: int) -> None:
        if deadline_ns <= self._now_ns:
            return
        if self._advance is not None:
            self._advance(deadline_ns)
        self._now_ns = deadline_ns
