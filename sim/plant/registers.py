"""The control table of an STS3215 as the plant emulates it: addresses, sizes, defaults, what
persists.

The plant's own table, written from the servo's documentation and firmware behaviour (servo-and-
twin facts, section 2); the drivers have theirs, and a test compares both with LeRobot's. Multi-
byte registers are little-endian.
"""

from dataclasses import dataclass
from enum import Enum

MEMORY_SIZE = 88
LAST_READABLE = 86
"""READ is clamped here; an address behind it gets no reply."""


class Access(Enum):
    """Who may write a register and what survives a power cycle."""

    READ_ONLY = "read only"
    EPROM = "persistent"  # written through to flash only while Lock is 0
    SRAM = "volatile"


@dataclass(frozen=True, slots=True)
class Register:
    """One entry of the control table. `default` is the value of a 12 V unit at its first power-
    on."""

    name: str
    address: int
    size: int
    access: Access
    default: int = 0
    sign_bit: int | None = None  # sign-magnitude encoding, never two's complement


_RO, _EP, _RAM = Access.READ_ONLY, Access.EPROM, Access.SRAM

TABLE = (
    Register("firmware_major", 0, 1, _RO, 3),
    Register("firmware_minor", 1, 1, _RO, 10),
    Register("model_number", 3, 2, _RO, 777),
    Register("id", 5, 1, _EP, 1),
    Register("baud_rate", 6, 1, _EP, 0),
    Register("return_delay", 7, 1, _EP, 0),
    Register("response_status_level", 8, 1, _EP, 1),
    Register("min_position_limit", 9, 2, _EP, 0),
    Register("max_position_limit", 11, 2, _EP, 4095),
    Register("max_temperature_limit", 13, 1, _EP, 70),
    Register("max_voltage_limit", 14, 1, _EP, 140),
    Register("min_voltage_limit", 15, 1, _EP, 40),
    Register("max_torque_limit", 16, 2, _EP, 1000),
    Register("phase", 18, 1, _EP, 0x0C),
    Register("unloading_condition", 19, 1, _EP, 0x2C),
    Register("led_alarm_condition", 20, 1, _EP, 0x2F),
    Register("p_coefficient", 21, 1, _EP, 32),
    Register("d_coefficient", 22, 1, _EP, 32),
    Register("i_coefficient", 23, 1, _EP, 0),
    Register("minimum_startup_force", 24, 1, _EP, 16),
    Register("integral_limit", 25, 1, _EP, 0),
    Register("cw_dead_zone", 26, 1, _EP, 1),
    Register("ccw_dead_zone", 27, 1, _EP, 1),
    Register("protection_current", 28, 2, _EP, 500),
    Register("angular_resolution", 30, 1, _EP, 1),
    Register("homing_offset", 31, 2, _EP, 0, sign_bit=11),
    Register("operating_mode", 33, 1, _EP, 0),
    Register("protective_torque", 34, 1, _EP, 20),
    Register("protection_time", 35, 1, _EP, 200),
    Register("overload_torque", 36, 1, _EP, 80),
    Register("velocity_p", 37, 1, _EP, 10),
    Register("over_current_time", 38, 1, _EP, 200),
    Register("velocity_i", 39, 1, _EP, 10),
    Register("torque_enable", 40, 1, _RAM, 0),
    Register("acceleration", 41, 1, _RAM, 0),
    Register("goal_position", 42, 2, _RAM, 0, sign_bit=15),
    Register("goal_time", 44, 2, _RAM, 0, sign_bit=10),
    Register("goal_velocity", 46, 2, _RAM, 0, sign_bit=15),
    Register("torque_limit", 48, 2, _RAM, 1000),
    Register("lock", 55, 1, _RAM, 1),
    Register("present_position", 56, 2, _RO, 0, sign_bit=15),
    Register("present_velocity", 58, 2, _RO, 0, sign_bit=15),
    Register("present_load", 60, 2, _RO, 0, sign_bit=10),
    Register("present_voltage", 62, 1, _RO, 120),
    Register("present_temperature", 63, 1, _RO, 25),
    Register("asynchronous_write", 64, 1, _RO, 0),
    Register("status", 65, 1, _RO, 0),
    Register("moving", 66, 1, _RO, 0),
    Register("interpolated_goal", 67, 2, _RO, 0, sign_bit=15),
    Register("present_current", 69, 2, _RO, 0, sign_bit=15),
    Register("profile_velocity", 71, 2, _RO, 0, sign_bit=15),
    Register("moving_threshold", 80, 1, _EP, 1),
    Register("derivative_time", 81, 1, _EP, 20),
    Register("velocity_unit_factor", 82, 1, _EP, 50),
    Register("minimum_velocity", 83, 1, _EP, 0),
    Register("maximum_velocity", 84, 1, _EP, 150),
    Register("maximum_acceleration", 85, 1, _EP, 100),
    Register("acceleration_multiplier", 86, 1, _EP, 1),
)

BY_NAME = {register.name: register for register in TABLE}

EPROM_ADDRESSES = frozenset(
    address
    for register in TABLE
    if register.access is Access.EPROM
    for address in range(register.address, register.address + register.size)
)
WRITABLE_ADDRESSES = EPROM_ADDRESSES | frozenset(
    address
    for register in TABLE
    if register.access is Access.SRAM
    for address in range(register.address, register.address + register.size)
)


class Status:
    """Bits of register 65, of the error byte of every reply, and of the masks in registers 19 and
    20."""

    VOLTAGE = 0x01
    ENCODER = 0x02
    TEMPERATURE = 0x04
    OVER_CURRENT = 0x08
    OVERLOAD = 0x20


class Phase:
    """Bits of register 18."""

    DRIVE_REVERSED = 0x01
    UNIT_STEP_PER_S = 0x04  # velocity unit: set 1 step/s, clear 50 step/s
    ZERO_IS_MAXIMUM = 0x08  # Goal_Velocity 0: set as fast as allowed, clear stop
    MULTI_TURN = 0x10
    NO_CURRENT_SENSE = 0x20
    FEEDBACK_REVERSED = 0x80


BAUD_RATES = (1_000_000, 500_000, 250_000, 128_000, 115_200, 76_800, 57_600, 38_400)
"""By code of register 6. Codes behind the last act as 0."""


def encode_sign(value: int, sign_bit: int) -> int:
    """Sign-magnitude: the magnitude, clipped to what fits below `sign_bit`, and the sign in that
    bit."""
    magnitude = min(abs(value), (1 << sign_bit) - 1)
    return magnitude | (1 << sign_bit) if value < 0 else magnitude


def decode_sign(raw: int, sign_bit: int) -> int:
    """The signed value of a sign-magnitude register; bits above `sign_bit` are ignored."""
    magnitude = raw & ((1 << sign_bit) - 1)
    return -magnitude if raw & (1 << sign_bit) else magnitude


def factory_memory() -> bytearray:
    """The 88 bytes of a servo that has just come out of its box and been powered."""
    memory = bytearray(MEMORY_SIZE)
    for register in TABLE:
        write_raw(memory, register.name, register.default)
    return memory


def read_raw(memory: bytes | bytearray, name: str) -> int:
    """The register's bits, little-endian, sign not decoded."""
    register = BY_NAME[name]
    return int.from_bytes(memory[register.address : register.address + register.size], "little")


def write_raw(memory: bytearray, name: str, value: int) -> None:
    """Store bits as they are. Raises OverflowError when they do not fit."""
    register = BY_NAME[name]
    memory[register.address : register.address + register.size] = value.to_bytes(
        register.size, "little"
    )


def read_value(memory: bytes | bytearray, name: str) -> int:
    """The register's value with its sign decoded."""
    sign_bit = BY_NAME[name].sign_bit
    raw = read_raw(memory, name)
    return raw if sign_bit is None else decode_sign(raw, sign_bit)


def write_value(memory: bytearray, name: str, value: int) -> None:
    """Store a value, encoding its sign and clipping it to the register."""
    register = BY_NAME[name]
    limit = (1 << (8 * register.size)) - 1
    raw = (
        min(max(value, 0), limit)
        if register.sign_bit is None
        else encode_sign(value, register.sign_bit)
    )
    write_raw(memory, name, raw)
