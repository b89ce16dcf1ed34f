"""The pace of a session: the countdown in which a person resets the scene, and what follows it.

Pure but for the times passed in, which are CLOCK_MONOTONIC: a step of the wall clock changes
nothing here.
"""

from robotd.clock import NS_PER_S


class Pace:
    """Between two episodes. `auto`: the next one begins by itself when the countdown is over."""

    def __init__(self, reset_s: float, auto: bool) -> None:
        self.reset_s = reset_s
        self.auto = auto
        self._until_ns: int | None = None
        self._goes_on = False

    def kept(self, now_ns: int, more: bool) -> None:
        """An episode was kept; `more` of them are wanted."""
        self._begin(now_ns, self.auto and more)

    def discarded(self, now_ns: int) -> None:
        """An episode was thrown away: the next one waits for a key."""
        self._begin(now_ns, False)

    def redone(self, now_ns: int) -> None:
        """An episode was thrown away to be recorded again: that begins by itself."""
        self._begin(now_ns, True)

    def wait_for_a_key(self) -> None:
        """Whatever was to begin by itself does not: it could not, or a person undid something."""
        self._goes_on = False

    def started(self) -> None:
        """An episode began."""
        self._until_ns, self._goes_on = None, False

    @property
    def goes_on(self) -> bool:
        """Whether the next episode begins by itself."""
        return self._goes_on

    def due(self, now_ns: int) -> bool:
        """Whether the next episode is to begin now."""
        return self._goes_on and self._until_ns is not None and now_ns >= self._until_ns

    def left_s(self, now_ns: int) -> float | None:
        """What is left of the countdown, 0 when it is over; None where there is none."""
        if self._until_ns is None:
            return None
        return max(0.0, (self._until_ns - now_ns) / NS_PER_S)

    def _begin(self, now_ns: int, goes_on: bool) -> None:
        self._until_ns = now_ns + round(self.reset_s * NS_PER_S)
        self._goes_on = goes_on
