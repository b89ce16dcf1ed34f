"""SO-101 arms on a servo bus: what must be known before arming, and the few writes that move one.

Looking at an arm (`identify`, `check_…`, `read_…`) writes nothing. `write_registers` writes
settings, never a goal or torque. Only `write_goal_ticks` and `write_torque_enable` can make an arm
move: note that **a goal write turns torque on** in the servo's own firmware.

A leader is read and let go; it has no call that could stiffen it.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drivers import registers as r
from drivers.arm_registers import (
    GRIPPER_MAX_TORQUE_PERMILLE,
    RegisterDifference,
    Setting,
    calibration_settings,
    find_differences,
    follower_settings,
    leader_settings,
)
from drivers.bus import ServoBus
from drivers.calibration import JOINT_NAMES, MAX_TICK, Calibration
from drivers.identity import ServoIdentity, identify_servo
from drivers.registers import Memory, Register
from drivers.serial_port import SERIAL_BY_ID, PySerialPort, resolve_serial_device
from robotd.clock import Clock
from robotd.errors import BusError

SERVO_IDS: Final = (1, 2, 3, 4, 5, 6)
FULL_TORQUE_PERMILLE: Final = 1000
_TORQUE_OFF_ATTEMPTS: Final = 3
_EPROM_LENGTH: Final = 40  # registers 0..39 in one read


@dataclass(frozen=True, slots=True)
class VoltageReading:
    """One servo's supply voltage and the limits in its EPROM."""

    joint: str
    servo_id: int
    present_v: float
    minimum_v: float
    maximum_v: float

    @property
    def within_limits(self) -> bool:
        """Whether the servo itself is content; outside, it sets its status bit 0."""
        return self.minimum_v <= self.present_v <= self.maximum_v


def open_bus(setting: str, clock: Clock, root: Path = SERIAL_BY_ID) -> ServoBus:
    """Open the bus of one arm by device path or by-id name. Raises BusError, PortInUseError."""
    return ServoBus(PySerialPort(resolve_serial_device(setting, root)), SERVO_IDS, clock)


class So101Arm:
    """What leader and follower share: six joints, in the bus's id order."""

    def __init__(self, bus: ServoBus) -> None:
        if len(bus.ids) != len(JOINT_NAMES):
            raise ValueError(f"an SO-101 has {len(JOINT_NAMES)} servos, not {len(bus.ids)}")
        self.bus = bus
        self.joints = dict(zip(JOINT_NAMES, bus.ids, strict=True))

    def settings(self, joint: str) -> tuple[Setting, ...]:
        """Return what a joint's registers should hold."""
        raise NotImplementedError

    def identify(self) -> tuple[ServoIdentity, ...]:
        """Return who answers under each id. Raises BusError when the line is gone."""
        return tuple(identify_servo(self.bus, joint, id_) for joint, id_ in self.joints.items())

    def check_registers(self) -> list[RegisterDifference]:
        """Return the registers that are not as they should be. Raises BusError."""
        return self._compare({joint: self.settings(joint) for joint in self.joints})

    def check_calibration(self, calibration: Calibration) -> list[RegisterDifference]:
        """Compare a calibration with the servos' EPROM (registers 9, 11, 31). Raises BusError.

        A difference means: another arm's file, an arm calibrated since, or limits lost at a power
        cut. `write_registers` brings the file's values into the servos.
        """
        return self._compare(
            {joint: calibration_settings(calibration[joint]) for joint in self.joints}
        )

    def check_voltage(self) -> list[VoltageReading]:
        """Return each servo's supply voltage with its limits. Raises BusError."""
        readings = []
        for joint, servo_id in self.joints.items():
            eprom = self.bus.read_block(servo_id, 0, _EPROM_LENGTH)
            readings.append(
                VoltageReading(
                    joint,
                    servo_id,
                    self.bus.read(servo_id, r.PRESENT_VOLTAGE) / 10,
                    eprom[r.MIN_VOLTAGE_LIMIT.address] / 10,
                    eprom[r.MAX_VOLTAGE_LIMIT.address] / 10,
                )
            )
        return readings

    def read_positions(self) -> tuple[int, ...]:
        """Return the six present positions in ticks. Raises BusError naming a silent joint."""
        values = self.bus.sync_read(r.PRESENT_POSITION)
        positions = []
        for joint, servo_id in self.joints.items():
            ticks = values[servo_id]
            if ticks is None:
                raise BusError(
                    f"{joint} (servo {servo_id}) did not tell its position.",
                    "A loose daisy-chain cable, or no servo power.",
                    f"Check the cable into servo {servo_id} and the power supply, then try again.",
                )
            if not 0 <= ticks <= MAX_TICK:
                raise BusError(
                    f"{joint} (servo {servo_id}) is at {ticks} ticks, outside 0..{MAX_TICK}.",
                    "Its multi-turn mode is on (Phase, register 18, bit 4).",
                    "Let robotd correct the registers when it offers to, with the arm disarmed.",
                )
            positions.append(ticks)
        return tuple(positions)

    def read_torque_enable(self) -> dict[str, bool | None]:
        """Return for each joint whether the motor is driven; None where it does not answer."""
        values = self.bus.sync_read(r.TORQUE_ENABLE)
        return {
            joint: None if (value := values[servo_id]) is None else value != 0
            for joint, servo_id in self.joints.items()
        }

    def write_registers(self, differences: Sequence[RegisterDifference]) -> None:
        """Write what differs, keep it over a power cut, and read it back. No goal, no torque.

        Registers that need no torque-off (SRAM) are written in any state; for the others every
        concerned servo must be limp, which is checked before the first write. Raises BusError.
        """
        self._require_limp({d.servo_id for d in differences if d.register.memory != Memory.SRAM})
        for servo_id in self.bus.ids:
            own = [d for d in differences if d.servo_id == servo_id]
            if own:
                self._write_servo(servo_id, own)

    def release(self) -> dict[str, bool | None]:
        """Turn torque off at once and return what the servos say of it (None: no answer).

        Every joint is written whatever the others do; those still driven are written again. A
        raised arm falls: this is the last step of a governed release, not a way out by itself.
        """
        states = self._set_torque(dict.fromkeys(self.bus.ids, 0))
        for _ in range(_TORQUE_OFF_ATTEMPTS - 1):
            driven = {self.joints[joint]: 0 for joint, on in states.items() if on is not False}
            if not driven:
                break
            states = self._set_torque(driven)
        return states

    def _set_torque(self, values: Mapping[int, int]) -> dict[str, bool | None]:
        self.bus.sync_write(r.TORQUE_ENABLE, values)
        return self.read_torque_enable()

    def _compare(self, wanted: Mapping[str, tuple[Setting, ...]]) -> list[RegisterDifference]:
        differences = []
        for joint, settings in wanted.items():
            servo_id = self.joints[joint]
            eprom = self.bus.read_block(servo_id, 0, _EPROM_LENGTH)
            found: dict[Register, int] = {}
            for setting in settings:
                register = setting.register
                end = register.address + register.size
                found[register] = (
                    register.decode(eprom[register.address : end])
                    if end <= _EPROM_LENGTH
                    else self.bus.read(servo_id, register)
                )
            differences += find_differences(joint, servo_id, settings, found)
        return differences

    def _require_limp(self, servo_ids: set[int]) -> None:
        for joint, servo_id in self.joints.items():
            if servo_id in servo_ids and self.bus.read(servo_id, r.TORQUE_ENABLE) != 0:
                raise BusError(
                    f"The settings of {joint} (servo {servo_id}) cannot be written now.",
                    "Its torque is on, and writing flash under torque makes the joint jump.",
                    "Disarm the arm (`robotd disarm`), then try again.",
                )

    def _write_servo(self, servo_id: int, differences: Sequence[RegisterDifference]) -> None:
        kept = any(d.register.memory != Memory.SRAM for d in differences)
        for d in differences:
            if d.register is r.RESPONSE_STATUS_LEVEL:
                # A servo at level 0 acknowledges nothing, so this one goes out unacknowledged.
                self.bus.sync_write(r.LOCK, {servo_id: 0})
                self.bus.sync_write(d.register, {servo_id: d.wanted})
        if kept:
            self.bus.write(servo_id, r.LOCK, 0)
        try:
            for d in differences:
                if self.bus.read(servo_id, d.register) != d.wanted:
                    self.bus.write(servo_id, d.register, d.wanted)
                    self._require_held(d)
        finally:
            if kept:
                self.bus.write(servo_id, r.LOCK, 1)

    def _require_held(self, difference: RegisterDifference) -> None:
        held = self.bus.read(difference.servo_id, difference.register)
        if held != difference.wanted:
            raise BusError(
                f"{difference.joint} (servo {difference.servo_id}) keeps "
                f"{difference.register.name} at {held} instead of {difference.wanted}.",
                "The servo refuses the value, or two servos share this id.",
                "Cut the servo power, turn it on again and retry; if it stays, replace the servo.",
            )


class So101Follower(So101Arm):
    """The arm that moves."""

    torque_limit_cap_permille: Final[Mapping[str, int]] = {
        joint: GRIPPER_MAX_TORQUE_PERMILLE if joint == "gripper" else FULL_TORQUE_PERMILLE
        for joint in JOINT_NAMES
    }
    """The most `write_torque_limit` sends: register 48 knows nothing of the gripper's cap in 16."""

    def settings(self, joint: str) -> tuple[Setting, ...]:
        return follower_settings(joint)

    def write_goal_ticks(self, ticks: Sequence[int]) -> None:
        """Send six goals in ticks, in joint order. This turns torque on.

        Raises ValueError for another count, or a value that is not a whole number in 0..4095.
        """
        goals = {}
        for servo_id, value in zip(self.bus.ids, ticks, strict=True):
            goal = operator.index(value)  # accepts numpy's integers, refuses every float
            if not 0 <= goal <= MAX_TICK:
                raise ValueError(f"a goal is 0..{MAX_TICK} ticks, not {goal}")
            goals[servo_id] = goal
        self.bus.sync_write(r.GOAL_POSITION, goals)

    def write_torque_limit(self, permille: int | Sequence[int]) -> None:
        """Bound the motors' duty cycle (register 48, 0..1000), for all joints or one by one.

        The gripper never gets more than its cap. Raises ValueError for a value outside 0..1000.
        """
        limits = [permille] * len(self.bus.ids) if isinstance(permille, int) else list(permille)
        values = {}
        for (joint, servo_id), value in zip(self.joints.items(), limits, strict=True):
            limit = operator.index(value)
            if not 0 <= limit <= FULL_TORQUE_PERMILLE:
                raise ValueError(f"a torque limit is 0..{FULL_TORQUE_PERMILLE} permille")
            values[servo_id] = min(limit, self.torque_limit_cap_permille[joint])
        self.bus.sync_write(r.TORQUE_LIMIT, values)

    def write_torque_enable(self, on: bool) -> dict[str, bool | None]:
        """Turn torque on or off and return what the servos say of it (None: no answer).

        Off is insisted on, as in `release`. On is sent once: a servo that lets go again has a
        reason, and somebody has to look at it.
        """
        return self._set_torque(dict.fromkeys(self.bus.ids, 1)) if on else self.release()


class So101Leader(So101Arm):
    """The arm a person moves: read, and let go."""

    def settings(self, joint: str) -> tuple[Setting, ...]:
        return leader_settings(joint)
