"""What the servos measure, as values: one 15-byte register block decoded, one bus's answer."""

import struct
from dataclasses import dataclass

import msgspec

from drivers.framer import Reply
from drivers.registers import CURRENT_UNIT_A
from robotd.errors import BusError

# position, velocity, load, voltage, temperature, async flag, status, moving, interpolated goal,
# current: registers 56..70.
_BLOCK = struct.Struct("<HHHBBxBBxxH")


class Telemetry(msgspec.Struct, frozen=True, gc=False):
    """What one servo measured, from registers 56..70. (A frozen dataclass takes some twenty times as
    long to make, and six are made in every tick.)

    `load_permille` is the duty cycle commanded to the motor, signed; it is not a torque.
    `velocity_ticks_s` is quantised to 50 ticks/s by the servo. `error` is the reply's error byte,
    `status` register 65, both `ServoStatus` bits. `stamp_ns` is the bus clock when the reply had
    arrived; the servo sampled up to a wire time and one USB frame earlier.
    """

    position_ticks: int
    velocity_ticks_s: int
    load_permille: int
    voltage_v: float
    temperature_c: int
    status: int
    moving: bool
    current_a: float
    error: int
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class BusReading:
    """One bus's answer to a telemetry request: None for each servo that did not answer in time.

    `fault` is set when the line itself failed.
    """

    telemetry: dict[int, Telemetry | None]
    fault: BusError | None = None

    @property
    def complete(self) -> bool:
        """Whether every servo answered."""
        return None not in self.telemetry.values()


def decode_telemetry(reply: Reply, stamp_ns: int) -> Telemetry:
    """Decode a reply that starts with the 15-byte block. Raises struct.error when it is shorter."""
    position, velocity, load, voltage, temperature, status, moving, current = _BLOCK.unpack_from(
        reply.data
    )
    # Sign-magnitude, spelled out: this runs six times per arm and tick.
    return Telemetry(
        position if position < 0x8000 else 0x8000 - position,
        velocity if velocity < 0x8000 else 0x8000 - velocity,
        load if load < 0x400 else -(load & 0x3FF) if load & 0x400 else load & 0x3FF,
        voltage / 10,
        temperature,
        status,
        moving != 0,
        (current if current < 0x8000 else 0x8000 - current) * CURRENT_UNIT_A,
        reply.error,
        stamp_ns,
    )
