"""What an adapter does to a whole line of servos: it stops for a while, or delivers in coarse frames.

The adapter holds back what comes in from the servos; what goes out reaches them, as with a USB host
that is late in asking.
"""

import random

NS_PER_MS = 1_000_000
SHORTEST_STALL_MS = 5
STALL_ONE_IN = 40
"""Requests a stall; at 120 Hz three a second."""


class LineFaults:
    """One line's adapter. `stall_ms` 0 and `frame_late_ms` None: a good one."""

    def __init__(self, seed: str = "") -> None:
        self.stall_ms = 0
        self.frame_late_ms: int | None = None
        self._random = random.Random(f"line-{seed}")
        self._stalled_until_ns = 0

    @property
    def present(self) -> bool:
        """Whether replies are held back at all."""
        return self.stall_ms > 0 or self.frame_late_ms is not None

    def request(self, now_ns: int) -> None:
        """A request goes out at `now_ns`: sometimes the adapter stops with it."""
        if self.stall_ms and self._random.randrange(STALL_ONE_IN) == 0:
            lasts_ms = self._random.uniform(min(SHORTEST_STALL_MS, self.stall_ms), self.stall_ms)
            self._stalled_until_ns = now_ns + int(lasts_ms * NS_PER_MS)

    def deliver_ns(self, at_ns: int) -> int:
        """When a reply that crossed the wire at `at_ns` is delivered."""
        if self.stall_ms:
            at_ns = max(at_ns, self._stalled_until_ns)
        if self.frame_late_ms is None:
            return at_ns
        frame_ns = -(-at_ns // NS_PER_MS) * NS_PER_MS
        return frame_ns + self.frame_late_ms * NS_PER_MS
