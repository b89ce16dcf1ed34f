"""A serial bus that may not be there: opened when it can be, reopened for ever with back-off.

An unplugged adapter is not the end of the session. One log line says that the bus is gone, one that
it is back; in between attempts are spaced further and further apart, up to five seconds.
"""

import logging
from collections.abc import Callable, Sequence

from drivers.bus import ServoBus
from drivers.serial_port import SerialPort
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.errors import BusError

_FIRST_BACKOFF_NS = 200 * NS_PER_MS
_LONGEST_BACKOFF_NS = 5 * NS_PER_S

log = logging.getLogger(__name__)


class BusLink:
    """One serial device and the servos on it."""

    def __init__(
        self, name: str, open_port: Callable[[], SerialPort], ids: Sequence[int], clock: Clock
    ) -> None:
        self.name = name
        self.ids = tuple(ids)
        self.bus: ServoBus | None = None
        self.error: BusError | None = None
        self.opened = 0  # how many times; a change means that registers may have changed
        self._open_port = open_port
        self._clock = clock
        self._next_try_ns = 0
        self._backoff_ns = _FIRST_BACKOFF_NS

    def open_if_due(self) -> None:
        """Try to open a closed bus, when its back-off has passed. Never raises, never waits."""
        now_ns = self._clock.now_ns()
        if self.bus is not None or now_ns < self._next_try_ns:
            return
        try:
            self.bus = ServoBus(self._open_port(), self.ids, self._clock)
        except BusError as error:
            if self.error is None or self.error.what != error.what:
                log.warning("bus %s: %s", self.name, error)
            self.error = error
            self._next_try_ns = now_ns + self._backoff_ns
            self._backoff_ns = min(2 * self._backoff_ns, _LONGEST_BACKOFF_NS)
            return
        self.opened += 1
        if self.error is not None:
            log.warning("bus %s: back", self.name)
        self.error = None
        self._backoff_ns = _FIRST_BACKOFF_NS

    def require(self) -> ServoBus:
        """The bus, or the BusError that says that it is closed."""
        if self.bus is None:
            raise BusError(
                f"The bus of {self.name} is closed.",
                "Its adapter was unplugged or lost power.",
                "Plug it in again; robotd reopens it by itself.",
            )
        return self.bus

    def lost(self, error: BusError) -> None:
        """The device went away: close it and start trying again."""
        log.warning("bus %s: %s", self.name, error)
        self.error = error
        if self.bus is not None:
            self.bus.close()
            self.bus = None
        self._next_try_ns = self._clock.now_ns() + self._backoff_ns

    def close(self) -> None:
        """Give the device back."""
        if self.bus is not None:
            self.bus.close()
            self.bus = None
