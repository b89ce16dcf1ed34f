"""One arm read twice, by our own framer and by the vendor's SDK: every register that differs.

Our bus is our own code; a mistake in framing, byte order or a sign would be invisible from inside.
Feetech's feetech-servo-sdk was written by others. It reads each register by itself where we read
blocks, and decodes signs with its own function. Nothing is written to a servo by either.

The SDK comes with LeRobot, in the policy extra, and is imported only here, when it is used.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from drivers import registers as r
from drivers.bus import ServoBus
from drivers.registers import ALL_REGISTERS, Register
from robotd.errors import BusError, PortInUseError
from robotd.installed import install_again

Values = Mapping[int, Mapping[Register, int]]
"""Every register of every servo: id, register, decoded value."""

MEASURED: Final[Mapping[Register, int]] = {
    r.PRESENT_POSITION: 8,  # ticks, 0.7 deg: a loose joint breathes by one or two
    r.PRESENT_VELOCITY: 100,  # ticks/s: the servo counts in steps of 50
    r.PRESENT_LOAD: 50,
    r.PRESENT_VOLTAGE: 3,
    r.PRESENT_TEMPERATURE: 2,
    r.MOVING: 1,
    r.INTERPOLATED_GOAL: 8,
    r.PRESENT_CURRENT: 30,  # 0.2 A
}
"""What the servo measures, with how far it may drift in the second between the two readings of a
resting arm. Everything else stands still and has to be equal."""

_BLOCKS: Final = (
    (0, 40),
    (40, 16),
    (56, 15),
    (85, 1),
)  # address and length; 71…84 hold nothing ours
_ATTEMPTS: Final = 5  # the SDK gives up after 34 ms, which a busy machine can take
_SETTLE_S: Final = 0.1  # in which a reply that the SDK gave up on still comes


@dataclass(frozen=True, slots=True)
class Difference:
    """A register that the two readings have different. `tolerance` None: it has to be equal."""

    servo_id: int
    register: Register
    own: int
    vendor: int
    tolerance: int | None

    @property
    def matters(self) -> bool:
        """Whether it is more than a measurement that went on."""
        return self.tolerance is None or abs(self.own - self.vendor) > self.tolerance


def compare(own: Values, vendor: Values) -> list[Difference]:
    """Every difference of two readings of the same servos, by id and address."""
    return [
        Difference(servo_id, register, value, vendor[servo_id][register], MEASURED.get(register))
        for servo_id, values in sorted(own.items())
        for register, value in values.items()
        if value != vendor[servo_id][register]
    ]


def read_own(bus: ServoBus) -> Values:
    """The whole table of every servo, in blocks. Raises BusError when one stays silent."""
    return {servo_id: _read_blocks(bus, servo_id) for servo_id in bus.ids}


def _read_blocks(bus: ServoBus, servo_id: int) -> dict[Register, int]:
    values: dict[Register, int] = {}
    for address, length in _BLOCKS:
        data = bus.read_block(servo_id, address, length)
        for register in ALL_REGISTERS:
            at = register.address - address
            if at >= 0 and at + register.size <= length:
                values[register] = register.decode(data[at : at + register.size])
    return values


def read_vendor(path: str, servo_ids: Sequence[int]) -> Values:
    """The whole table of every servo through feetech-servo-sdk, register by register.

    Keeps other programs off the device meanwhile, which the SDK does not do. Raises BusError when
    the SDK is not installed, cannot open the device or gets no answer.
    """
    try:
        import scservo_sdk as sdk
    except ImportError as error:
        raise BusError(
            f"The vendor's SDK cannot be used: {error}.",
            "robotd was installed without the policy extra, which feetech-servo-sdk comes with.",
            f"Install it: {install_again('policy')}; or leave --cross-check out.",
        ) from error
    with _kept(path), _opened(sdk, path) as port:
        packets = sdk.PacketHandler(0)  # 0: little-endian, the SMS/STS series
        return {
            servo_id: {
                register: _read_one(sdk, packets, port, servo_id, register)
                for register in ALL_REGISTERS
            }
            for servo_id in servo_ids
        }


def _read_one(sdk: Any, packets: Any, port: Any, servo_id: int, register: Register) -> int:
    ask = packets.read2ByteTxRx if register.size == 2 else packets.read1ByteTxRx
    result = sdk.COMM_SUCCESS
    for _ in range(_ATTEMPTS):
        word, result, _error = ask(port, servo_id, register.address)
        if result == sdk.COMM_SUCCESS:
            value: int = (
                word if register.sign_bit is None else sdk.SCS_TOHOST(word, register.sign_bit)
            )
            return value
        # The SDK takes a late reply for the answer to its next question: let it come, forget it.
        time.sleep(_SETTLE_S)
        port.ser.reset_input_buffer()
    raise BusError(
        f"The vendor's SDK got no answer for {register.name} of servo {servo_id} "
        f"({packets.getTxRxResult(result).strip()}).",
        "The cable makes bad contact, or the machine is too busy for the SDK's 34 ms.",
        "Try again on a quiet machine. Who answers at all: robotd doctor bus.",
    )


@contextmanager
def _opened(sdk: Any, path: str) -> Iterator[Any]:
    port = sdk.PortHandler(path)
    try:
        port.openPort()
    except OSError as error:  # pyserial's SerialException is one
        raise BusError(
            f"The vendor's SDK could not open {path}: {error}.",
            "The adapter was unplugged just now, or another program took it.",
            "Check the USB cable and try again.",
        ) from error
    try:
        yield port
    finally:
        port.closePort()


@contextmanager
def _kept(path: str) -> Iterator[None]:
    """Hold the lock that robotd and every pyserial program with `exclusive` ask for."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise PortInUseError(
            f"{path} was taken by another process.",
            "A program was started on this arm between the two readings.",
            f"End it (`fuser -v {path}` shows it), then try again.",
        ) from error
    finally:
        os.close(descriptor)
