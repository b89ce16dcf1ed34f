"""The STS3215's control table as data: where a value lives, how wide it is, how its sign is coded.

Addresses and names are Feetech's SMS/STS table as LeRobot 0.6.1 spells it, so that a person who
knows one knows the other. Where the servo's firmware is known to differ from LeRobot's table, the
difference is listed in `DIFFERENCES_FROM_LEROBOT` with its reason, and a test holds both together.

Values are little-endian. Signed values are sign-magnitude (a sign bit above a magnitude), never
two's complement.
"""

from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Final


class Memory(Enum):
    """Where a register lives, which decides what a write costs."""

    EPROM = "eprom"  # kept over a power cut only when Lock (55) is 0; a flash write costs ms
    SRAM = "sram"  # lost at power-off
    FACTORY = "factory"  # kept like EPROM; not meant to change in use


class ServoStatus(IntFlag):
    """Register 65, and the error byte of every reply: what the servo complains about now."""

    VOLTAGE = 0x01
    ENCODER = 0x02
    OVER_TEMPERATURE = 0x04
    OVER_CURRENT = 0x08
    OVERLOAD = 0x20


@dataclass(frozen=True, slots=True)
class Register:
    """One value of the control table.

    `sign_bit` is the index of the sign-magnitude sign bit, None for an unsigned value. `unit`
    names what one count of the decoded value is.
    """

    name: str
    address: int
    size: int
    memory: Memory
    unit: str = ""
    sign_bit: int | None = None
    writable: bool = True

    @property
    def minimum(self) -> int:
        """The smallest value the register can hold."""
        return 0 if self.sign_bit is None else -((1 << self.sign_bit) - 1)

    @property
    def maximum(self) -> int:
        """The largest value the register can hold."""
        return (1 << (8 * self.size if self.sign_bit is None else self.sign_bit)) - 1

    def encode(self, value: int) -> bytes:
        """Return the bytes that go on the wire. Raises ValueError when `value` does not fit."""
        if not self.minimum <= value <= self.maximum:
            raise ValueError(
                f"{self.name} holds {self.minimum}..{self.maximum}, so {value} cannot be written"
            )
        return encode_sign_magnitude(value, self.sign_bit).to_bytes(self.size, "little")

    def decode(self, data: bytes) -> int:
        """Return the value of `size` bytes from the wire. Raises ValueError on another length."""
        if len(data) != self.size:
            raise ValueError(f"{self.name} is {self.size} bytes wide, not {len(data)}")
        return decode_sign_magnitude(int.from_bytes(data, "little"), self.sign_bit)


def encode_sign_magnitude(value: int, sign_bit: int | None) -> int:
    """Return the unsigned word for `value`; `sign_bit` None means the word is the value."""
    if sign_bit is None or value >= 0:
        return value
    return (1 << sign_bit) | -value


def decode_sign_magnitude(word: int, sign_bit: int | None) -> int:
    """Return the value of an unsigned word. Bits above the sign bit carry nothing and are cut."""
    if sign_bit is None:
        return word
    magnitude = word & ((1 << sign_bit) - 1)
    return -magnitude if word >> sign_bit & 1 else magnitude


def _eprom(
    name: str,
    address: int,
    size: int = 1,
    unit: str = "",
    *,
    sign_bit: int | None = None,
    writable: bool = True,
) -> Register:
    return Register(name, address, size, Memory.EPROM, unit, sign_bit, writable)


def _sram(
    name: str, address: int, size: int = 1, unit: str = "", *, sign_bit: int | None = None
) -> Register:
    return Register(name, address, size, Memory.SRAM, unit, sign_bit)


def _measured(
    name: str, address: int, size: int = 1, unit: str = "", *, sign_bit: int | None = None
) -> Register:
    return Register(name, address, size, Memory.SRAM, unit, sign_bit, writable=False)


FIRMWARE_MAJOR: Final = _eprom("Firmware_Major_Version", 0, writable=False)
FIRMWARE_MINOR: Final = _eprom("Firmware_Minor_Version", 1, writable=False)
MODEL_NUMBER: Final = _eprom("Model_Number", 3, 2, writable=False)
ID: Final = _eprom("ID", 5)
BAUD_RATE: Final = _eprom("Baud_Rate", 6, unit="code, see BAUD_CODES")
RETURN_DELAY_TIME: Final = _eprom("Return_Delay_Time", 7, unit="2 us")
RESPONSE_STATUS_LEVEL: Final = _eprom("Response_Status_Level", 8)
MIN_POSITION_LIMIT: Final = _eprom("Min_Position_Limit", 9, 2, "ticks")
MAX_POSITION_LIMIT: Final = _eprom("Max_Position_Limit", 11, 2, "ticks")
MAX_TEMPERATURE_LIMIT: Final = _eprom("Max_Temperature_Limit", 13, unit="degC")
MAX_VOLTAGE_LIMIT: Final = _eprom("Max_Voltage_Limit", 14, unit="0.1 V")
MIN_VOLTAGE_LIMIT: Final = _eprom("Min_Voltage_Limit", 15, unit="0.1 V")
MAX_TORQUE_LIMIT: Final = _eprom("Max_Torque_Limit", 16, 2, "0.1 %, copied to 48 at power-on")
PHASE: Final = _eprom("Phase", 18, unit="bits")
UNLOADING_CONDITION: Final = _eprom("Unloading_Condition", 19, unit="ServoStatus mask")
LED_ALARM_CONDITION: Final = _eprom("LED_Alarm_Condition", 20, unit="ServoStatus mask")
P_COEFFICIENT: Final = _eprom("P_Coefficient", 21)
D_COEFFICIENT: Final = _eprom("D_Coefficient", 22)
I_COEFFICIENT: Final = _eprom("I_Coefficient", 23)
MINIMUM_STARTUP_FORCE: Final = _eprom("Minimum_Startup_Force", 24, 2, "0.1 %")
CW_DEAD_ZONE: Final = _eprom("CW_Dead_Zone", 26, unit="ticks")
CCW_DEAD_ZONE: Final = _eprom("CCW_Dead_Zone", 27, unit="ticks")
PROTECTION_CURRENT: Final = _eprom("Protection_Current", 28, 2, "6.5 mA")
ANGULAR_RESOLUTION: Final = _eprom("Angular_Resolution", 30)
HOMING_OFFSET: Final = _eprom("Homing_Offset", 31, 2, "ticks", sign_bit=11)
OPERATING_MODE: Final = _eprom("Operating_Mode", 33, unit="0 position")
PROTECTIVE_TORQUE: Final = _eprom("Protective_Torque", 34, unit="%")
PROTECTION_TIME: Final = _eprom("Protection_Time", 35, unit="10 ms")
OVERLOAD_TORQUE: Final = _eprom("Overload_Torque", 36, unit="%")
VELOCITY_P: Final = _eprom("Velocity_closed_loop_P_proportional_coefficient", 37)
OVER_CURRENT_PROTECTION_TIME: Final = _eprom("Over_Current_Protection_Time", 38, unit="10 ms")
VELOCITY_I: Final = _eprom("Velocity_closed_loop_I_integral_coefficient", 39)

TORQUE_ENABLE: Final = _sram("Torque_Enable", 40, unit="0 off, 1 on")
ACCELERATION: Final = _sram("Acceleration", 41, unit="100 ticks/s^2")
GOAL_POSITION: Final = _sram("Goal_Position", 42, 2, "ticks", sign_bit=15)
GOAL_TIME: Final = _sram("Goal_Time", 44, 2)
GOAL_VELOCITY: Final = _sram("Goal_Velocity", 46, 2, "ticks/s", sign_bit=15)
TORQUE_LIMIT: Final = _sram("Torque_Limit", 48, 2, "0.1 %")
LOCK: Final = _sram("Lock", 55, unit="1 = EPROM writes are not kept")
PRESENT_POSITION: Final = _measured("Present_Position", 56, 2, "ticks", sign_bit=15)
PRESENT_VELOCITY: Final = _measured("Present_Velocity", 58, 2, "ticks/s", sign_bit=15)
PRESENT_LOAD: Final = _measured("Present_Load", 60, 2, "0.1 % duty", sign_bit=10)
PRESENT_VOLTAGE: Final = _measured("Present_Voltage", 62, unit="0.1 V")
PRESENT_TEMPERATURE: Final = _measured("Present_Temperature", 63, unit="degC")
ASYNC_WRITE_FLAG: Final = _measured("Async_Write_Flag", 64)
STATUS: Final = _measured("Status", 65, unit="ServoStatus bits")
MOVING: Final = _measured("Moving", 66)
INTERPOLATED_GOAL: Final = _measured("Interpolated_Goal", 67, 2, "ticks")
PRESENT_CURRENT: Final = _measured("Present_Current", 69, 2, "6.5 mA", sign_bit=15)

MAXIMUM_ACCELERATION: Final = Register(
    "Maximum_Acceleration", 85, 1, Memory.FACTORY, "100 ticks/s^2"
)

ALL_REGISTERS: Final[tuple[Register, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Register)
)
BY_NAME: Final[dict[str, Register]] = {register.name: register for register in ALL_REGISTERS}

TELEMETRY_ADDRESS: Final = PRESENT_POSITION.address
TELEMETRY_LENGTH: Final = PRESENT_CURRENT.address + PRESENT_CURRENT.size - TELEMETRY_ADDRESS
"""Registers 56..70: everything the servo measures, in one read of 15 bytes."""

LAST_ADDRESS: Final = 86  # a read is clamped here by the firmware
TICKS_PER_TURN: Final = 4096
STS3215_MODEL_NUMBER: Final = 777
CURRENT_UNIT_A: Final = 0.0065
PHASE_MULTI_TURN_BIT: Final = 0x10  # positions outside 0..4095 (lerobot #1296)

# Register 6. LeRobot's and rustypot's tables leave out 76,800 and are shifted from code 5 on.
BAUD_CODES: Final[dict[int, int]] = {
    0: 1_000_000,
    1: 500_000,
    2: 250_000,
    3: 128_000,
    4: 115_200,
    5: 76_800,
    6: 57_600,
    7: 38_400,
}

DIFFERENCES_FROM_LEROBOT: Final[dict[str, str]] = {
    "Present_Current": "sign-magnitude with bit 15 in the firmware; LeRobot reads it unsigned",
    "Async_Write_Flag": "register 64 (a REG_WRITE is pending) is not in LeRobot's table",
    "Interpolated_Goal": "register 67, where the servo's own profile is; not in LeRobot's table",
    "Goal_Position_2": "register 71 is the profile speed in the firmware; robotd does not use it",
    "Moving_Velocity": "second name of register 80; robotd does not use it",
    "Moving_Velocity_Threshold": "factory, not used",
    "DTs": "factory, not used",
    "Velocity_Unit_factor": "factory, not used",
    "Hts": "factory, not used",
    "Maximum_Velocity_Limit": "factory, not used",
    "Acceleration_Multiplier ": "factory, not used; LeRobot's name ends in a space",
}
