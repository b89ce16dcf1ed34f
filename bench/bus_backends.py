"""The three ways to read six servos: robotd's own bus, the vendor's SDK, rustypot.

Each is used as its own documentation has it, on the same serial device; none is changed.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from drivers.bus import ServoBus, collect
from drivers.registers import PRESENT_POSITION, TELEMETRY_ADDRESS, TELEMETRY_LENGTH
from drivers.serial_port import BAUD, PySerialPort
from robotd.clock import NS_PER_MS, MonotonicClock
from robotd.errors import ConfigError
from robotd.installed import install_again, uv_pip

IDS = (1, 2, 3, 4, 5, 6)
POSITION = PRESENT_POSITION.size
BLOCK = TELEMETRY_LENGTH
"""The two reads that are compared: 2 bytes of position, 15 of telemetry, from one address on."""

_READ_DEADLINE_NS = 4 * NS_PER_MS  # config/defaults.yaml, control.read_deadline_ms
_RUSTYPOT_TIMEOUT_S = 0.02  # of the whole read; the same as our own acked reads


class Backend(Protocol):
    """One way to the servos, with its device open."""

    def read(self, length: int) -> int:
        """Read `length` bytes of all six; returns how many servos' values came."""
        ...

    def close(self) -> None:
        """Give the device back."""
        ...


class Own:
    """`drivers.bus`, as the tick uses it."""

    def __init__(self, device: Path) -> None:
        self._clock = MonotonicClock()
        self._bus = ServoBus(PySerialPort(device), IDS, self._clock)

    def read(self, length: int) -> int:
        if length == POSITION:
            values = self._bus.sync_read(PRESENT_POSITION, retries=0)
            return sum(value is not None for value in values.values())
        (reading,) = collect([self._bus], self._clock.now_ns() + _READ_DEADLINE_NS)
        return sum(each is not None for each in reading.telemetry.values())

    def close(self) -> None:
        self._bus.close()


class Sdk:
    """feetech-servo-sdk (`scservo_sdk`), which LeRobot uses too."""

    def __init__(self, device: Path) -> None:
        import scservo_sdk

        self._good: int = scservo_sdk.COMM_SUCCESS
        self._port = scservo_sdk.PortHandler(str(device))
        self._port.openPort()
        self._port.setBaudRate(BAUD)
        packets = scservo_sdk.PacketHandler(0)
        self._groups = {}
        for length in (POSITION, BLOCK):
            group = scservo_sdk.GroupSyncRead(self._port, packets, TELEMETRY_ADDRESS, length)
            for servo_id in IDS:
                group.addParam(servo_id)
            self._groups[length] = group

    def read(self, length: int) -> int:
        group = self._groups[length]
        if group.txRxPacket() != self._good:
            return 0  # LeRobot raises here: one silent servo costs all six values
        return sum(bool(group.isAvailable(n, TELEMETRY_ADDRESS, length)) for n in IDS)

    def close(self) -> None:
        self._port.closePort()


class Rustypot:
    """rustypot's sync read, a Rust loop behind one call."""

    def __init__(self, device: Path) -> None:
        import rustypot

        self._bus = rustypot.Sts3215PyController(str(device), BAUD, _RUSTYPOT_TIMEOUT_S)

    def read(self, length: int) -> int:
        try:
            return len(self._bus.sync_read_raw_data(list(IDS), TELEMETRY_ADDRESS, length))
        except (RuntimeError, OSError):
            return 0  # it says that it failed, not which servo

    def close(self) -> None:
        self._bus.close()


BACKENDS: dict[str, tuple[Callable[[Path], Backend], str, Callable[[], str]]] = {
    "own": (Own, "drivers", install_again),
    "sdk": (Sdk, "scservo_sdk", lambda: install_again("policy")),
    "rustypot": (Rustypot, "rustypot", lambda: uv_pip("install", "rustypot==1.13.1")),
}
"""Name -> how to open it, the module it needs, and the line that installs that."""


def check_installed(name: str) -> None:
    """Raise ConfigError when a backend's package is not there."""
    _, module, command = BACKENDS[name]
    if importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"The backend {name} is not installed: there is no module {module}.",
            "It is only a baseline to compare with; robotd itself does not need it.",
            f"Install it: {command()}; or leave it out: robotd bench bus --backend own.",
        )
