"""Which position readings are believed: those a joint can have got to since the last one. Pure.

A reading outside 0..4095 (a servo that counts turns), or one that no motor of this arm could have
reached (a slipped magnet, the seam of the encoder, a bit that fell over in the servo), is treated
like a reply that did not come: the tick coasts on the last believed one. When it goes on, that is a
fault with a name of its own; nothing moves because of it.
"""

from drivers.calibration import MAX_TICK
from robotd.clock import NS_PER_S

FASTEST_TICKS_S = 9_000
"""13.8 rad/s: above a leader's fastest gear at no load (122 rpm, 12.8 rad/s)."""
SLACK_TICKS = 30
"""Noise, backlash taken up and the servo's own filter, at any interval."""
ACCEPT_AGAIN_S = 1.0
"""Readings that agree with each other for this long are where the joint is: the fault is latched
by then, and what is shown should be true."""


class Belief:
    """One joint. Ticks are the servo's counts, stamps the bus clock in ns."""

    __slots__ = (
        "_doubted",
        "_doubted_since_ns",
        "_seen_ns",
        "_velocity",
        "doubts",
        "ticks",
        "told",
    )

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The bus was opened anew: the first reading inside a turn is believed."""
        self.doubts = 0
        """Readings in a row that were not believed."""
        self.ticks: int | None = None
        self.told = 0
        """The newest reading, believed or not."""
        self._velocity = 0.0  # ticks a second
        self._seen_ns = 0
        self._doubted: int | None = None
        self._doubted_since_ns = 0

    def judge(self, ticks: int, stamp_ns: int) -> bool:
        """Whether a reading is believed; it is then the one that the next is held against."""
        self.told = ticks
        believed = 0 <= ticks <= MAX_TICK and (
            self.ticks is None
            or self._near(ticks, stamp_ns, self.ticks)
            or self._settled(ticks, stamp_ns)
        )
        elapsed_ns = stamp_ns - self._seen_ns
        if believed:
            if self.ticks is not None and self.doubts == 0 and elapsed_ns > 0:
                self._velocity = (ticks - self.ticks) * NS_PER_S / elapsed_ns
            self.ticks = ticks
            self.doubts = 0
            self._doubted = None
        else:
            self.doubts += 1
        self._seen_ns = stamp_ns
        return believed

    def _near(self, ticks: int, stamp_ns: int, last: int) -> bool:
        """Whether the joint can have come here since it was last heard, believed or not.

        Time alone must not make a wrong reading right, so the way is counted from the last answer;
        what a joint really moved while its answers were doubted is allowed for by its speed.
        """
        elapsed_s = (stamp_ns - self._seen_ns) / NS_PER_S
        coasted = abs(self._velocity) * self.doubts * elapsed_s
        return abs(ticks - last) <= SLACK_TICKS + FASTEST_TICKS_S * elapsed_s + 2.0 * coasted

    def _settled(self, ticks: int, stamp_ns: int) -> bool:
        """Whether the doubted readings have agreed with each other for long."""
        elapsed_s = (stamp_ns - self._seen_ns) / NS_PER_S
        agrees = (
            self._doubted is not None
            and abs(ticks - self._doubted) <= SLACK_TICKS + FASTEST_TICKS_S * elapsed_s
        )
        if not agrees:
            self._doubted_since_ns = stamp_ns
        self._doubted = ticks
        return agrees and stamp_ns - self._doubted_since_ns >= ACCEPT_AGAIN_S * NS_PER_S
