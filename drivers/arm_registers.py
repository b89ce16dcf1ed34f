"""What an SO-101's servos should be set to, and how a servo differs from it. Pure.

The values are the ones LeRobot 0.6.1 writes at every connect (`so_follower.configure`,
`configure_motors`), so that an arm behaves the same under both programs. robotd compares first and
writes only differences: most of these live in flash, which wears and keeps the servo silent while
it is written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from drivers import registers as r
from drivers.calibration import MotorCalibration
from drivers.registers import Register

GRIPPER_MAX_TORQUE_PERMILLE: Final = 500
"""LeRobot's cap against a burnt gripper. The servo copies register 16 to Torque_Limit (48) only at
power-on, so whoever writes register 48 has to keep to it as well."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One register's wanted value, as a function of the one found, and the reason for it."""

    register: Register
    wanted: Callable[[int], int]
    why: str


@dataclass(frozen=True, slots=True)
class RegisterDifference:
    """A register that holds `found` where `wanted` is needed."""

    joint: str
    servo_id: int
    register: Register
    found: int
    wanted: int
    why: str

    def __str__(self) -> str:
        return (
            f"{self.joint} (servo {self.servo_id}): {self.register.name} is {self.found}, "
            f"should be {self.wanted}: {self.why}"
        )


def _exactly(register: Register, value: int, why: str) -> Setting:
    return Setting(register, lambda _found: value, why)


_ALL_JOINTS: Final = (
    _exactly(r.RESPONSE_STATUS_LEVEL, 1, "at 0 the servo acknowledges no write"),
    _exactly(r.RETURN_DELAY_TIME, 0, "the factory's 250 adds 0.5 ms to every reply"),
    Setting(
        r.PHASE,
        lambda found: found & ~r.PHASE_MULTI_TURN_BIT,
        "bit 4 lets positions leave 0..4095",
    ),
    _exactly(r.OPERATING_MODE, 0, "position mode"),
    _exactly(r.P_COEFFICIENT, 16, "LeRobot's gain; the factory's 32 shakes the arm"),
    _exactly(r.I_COEFFICIENT, 0, "LeRobot's gain"),
    _exactly(r.D_COEFFICIENT, 32, "LeRobot's gain"),
    _exactly(r.MAXIMUM_ACCELERATION, 254, "the servo must follow, robotd shapes the motion"),
    _exactly(r.ACCELERATION, 254, "the servo must follow, robotd shapes the motion"),
)

_GRIPPER: Final = (
    _exactly(
        r.MAX_TORQUE_LIMIT,
        GRIPPER_MAX_TORQUE_PERMILLE,
        "half torque against a burnt gripper (taken over at the next power-on)",
    ),
    _exactly(r.PROTECTION_CURRENT, 250, "1.6 A, half of stall, against a burnt gripper"),
    _exactly(r.OVERLOAD_TORQUE, 25, "a squeeze over 25 % for 2 s falls back to 20 %"),
)

_TELLING: Final = tuple(
    setting
    for setting in _ALL_JOINTS
    if setting.register in (r.RESPONSE_STATUS_LEVEL, r.RETURN_DELAY_TIME, r.PHASE)
)


def follower_settings(joint: str) -> tuple[Setting, ...]:
    """Return what a follower's joint should hold."""
    return _ALL_JOINTS + _GRIPPER if joint == "gripper" else _ALL_JOINTS


def leader_settings(joint: str) -> tuple[Setting, ...]:
    """Return what a leader's joint should hold: it is only read, so gains do not matter."""
    del joint
    return _TELLING


def calibration_settings(motor: MotorCalibration) -> tuple[Setting, ...]:
    """Return what a joint's EPROM should hold to agree with its calibration file."""
    why = "the calibration file says so"
    return (
        _exactly(r.HOMING_OFFSET, motor.homing_offset, why),
        _exactly(r.MIN_POSITION_LIMIT, motor.range_min, why),
        _exactly(r.MAX_POSITION_LIMIT, motor.range_max, why),
    )


def find_differences(
    joint: str, servo_id: int, settings: tuple[Setting, ...], found: Mapping[Register, int]
) -> list[RegisterDifference]:
    """Compare one servo's registers with its settings."""
    return [
        RegisterDifference(joint, servo_id, setting.register, value, wanted, setting.why)
        for setting in settings
        if (wanted := setting.wanted(value := found[setting.register])) != value
    ]
