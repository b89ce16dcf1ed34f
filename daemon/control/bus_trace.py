"""What went over every servo line, in shared memory: for the black box.

A port is wrapped so that each write, and each read that brought something, leaves one record in
the `bus` ring: a stamp and the first bytes. It keeps the last seconds and waits for nobody.
"""

from collections.abc import Callable
from pathlib import Path
from struct import Struct

from config.schema import Config
from drivers.calibration import Role
from drivers.serial_port import SerialPort
from robotd import layouts
from robotd.clock import Clock
from robotd.shm import RingWriter

_OUT, _IN = 0, 1
_RECORD = Struct(f"<qBBH{layouts.BUS_BYTES}s")  # `layouts.BUS`, its bytes as one field

OpenPort = Callable[[str, Role], SerialPort]


class BusTrace:
    """The ring, and the wrapper that puts ports on it."""

    def __init__(self, runtime: Path, config: Config, clock: Clock) -> None:
        self._ring = RingWriter(runtime / "bus", layouts.BUS, layouts.BUS_KEPT)
        self._lines = {line: number for number, line in enumerate(bus_lines(config))}
        self._clock = clock

    def tapped(self, open_port: OpenPort) -> OpenPort:
        """`open_port`, with every port that it opens on the trace."""

        def opened(arm_name: str, role: Role) -> SerialPort:
            return TracedPort(open_port(arm_name, role), self._lines[arm_name, role], self._note)

        return opened

    def close(self) -> None:
        self._ring.close()

    def _note(self, line: int, direction: int, data: bytes) -> None:
        stamp_ns = self._clock.now_ns()
        self._ring.append_packed(_RECORD.pack(stamp_ns, line, direction, len(data), data))


def bus_lines(config: Config) -> list[tuple[str, Role]]:
    """The lines of a robot in the order in which the trace numbers them."""
    lines: list[tuple[str, Role]] = []
    for name, arm in config.arms.items():
        lines.append((name, "follower"))
        if arm.leader is not None:
            lines.append((name, "leader"))
    return lines


class TracedPort:
    """A serial port that tells what passes through it."""

    def __init__(
        self, port: SerialPort, line: int, note: Callable[[int, int, bytes], None]
    ) -> None:
        self._port = port
        self._line = line
        self._note = note
        # Asked for thousands of times a second: no wrapper round these.
        self.fileno = port.fileno
        self.flush_input = port.flush_input
        self.close = port.close

    def write(self, data: bytes) -> None:
        self._note(self._line, _OUT, data)
        self._port.write(data)

    def read_available(self) -> bytes:
        data = self._port.read_available()
        if data:
            self._note(self._line, _IN, data)
        return data
