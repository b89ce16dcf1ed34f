"""The reading half of the arming list: who is on the bus, and is it as the files say. Writes nothing.

Each look is a sequence of single bounded transactions, one a tick, so that telemetry goes on
meanwhile. What it finds are lines for a person: outcome, detail, and what to do.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from daemon.control.arm import JOINTS, SERVO_IDS, FollowerArm
from daemon.control.leader import LeaderArm
from daemon.control.link import BusLink
from drivers import registers
from drivers.arm_registers import (
    RegisterDifference,
    Setting,
    calibration_settings,
    find_differences,
    follower_settings,
    leader_settings,
)
from drivers.bus import ServoBus
from drivers.calibration import JOINT_NAMES, Calibration
from drivers.identity import Presence, ServoIdentity, identify_servo
from drivers.registers import Memory, Register
from drivers.so101 import VoltageReading
from drivers.variant import Identified, Variant, identify
from robotd.messages import Check
from robotd.states import Torque

_EPROM_LENGTH = 40
_POSE_SLACK_RAD = 0.3
_CALIBRATED = (
    registers.HOMING_OFFSET,
    registers.MIN_POSITION_LIMIT,
    registers.MAX_POSITION_LIMIT,
)


class Look(ABC):
    """A look at six servos: iterate to the end, then read `checks` and `differences`."""

    def __init__(self, link: BusLink, calibration: Calibration, label: str) -> None:
        self.checks: list[Check] = []
        self.differences: list[RegisterDifference] = []
        self._link = link
        self._calibration = calibration
        self._label = label

    @abstractmethod
    def __iter__(self) -> Iterator[None]:
        """One transaction, or a few short ones, an iteration. Raises BusError."""

    @abstractmethod
    def _settings(self, joint: str) -> tuple[Setting, ...]:
        """What a joint's registers should hold besides its calibration."""

    def _add(self, name: str, outcome: str, detail: str, todo: str = "") -> None:
        label = f"{self._label}{name}"
        self.checks.append(Check(name=label, outcome=outcome, detail=detail, do=todo))

    @property
    def _bus(self) -> ServoBus:
        return self._link.require()

    def _identify(self) -> Iterator[None]:
        """Look who is there; `present` says afterwards whether going on makes sense."""
        self.present = False
        servos: list[ServoIdentity] = []
        for joint, servo_id in zip(JOINT_NAMES, SERVO_IDS, strict=True):
            servos.append(identify_servo(self._bus, joint, servo_id))
            yield
        self.present = self._who_is_there(servos)

    def _who_is_there(self, servos: Sequence[ServoIdentity]) -> bool:
        answered = True
        for servo in servos:
            problem = servo.problem()
            if problem is None:
                continue
            faulted = servo.presence is Presence.FAULTED
            outcome = "warn" if faulted else "fail"
            answered = answered and faulted
            self._add(f"servo {servo.joint}", outcome, problem.what, problem.do)
        versions = {servo.firmware for servo in servos if servo.firmware is not None}
        if answered:
            words = ", ".join(f"{major}.{minor}" for major, minor in sorted(versions))
            if len(versions) == 1:
                self._add("servos", "pass", f"six STS3215, firmware {words}")
            else:
                self._add(
                    "firmware",
                    "warn",
                    f"mixed firmware: {words}",
                    "LeRobot refuses such an arm; update with Feetech's FD software.",
                )
        return answered

    def _compare(self, joint: str, servo_id: int, eprom: bytes) -> None:
        settings = (*self._settings(joint), *calibration_settings(self._calibration[joint]))
        found: dict[Register, int] = {}
        for setting in settings:
            register = setting.register
            end = register.address + register.size
            found[register] = (
                register.decode(eprom[register.address : end])
                if end <= _EPROM_LENGTH
                else self._bus.read(servo_id, register)
            )
        self.differences += find_differences(joint, servo_id, settings, found)

    def _calibrated(self) -> None:
        wrong = [d for d in self.differences if d.register in _CALIBRATED]
        if not wrong:
            self._add("calibration", "pass", "file and servos agree")
            return
        self._add(
            "calibration",
            "fail",
            f"{wrong[0].joint}: {wrong[0].register.name} is {wrong[0].found} in the servo and "
            f"{wrong[0].wanted} in the file ({len(wrong)} such values)",
            "Another arm's file, or calibrated since: run lerobot-calibrate, or put this arm's "
            "id into the configuration.",
        )


def _voltage(joint: str, servo_id: int, eprom: bytes, present_v: float) -> VoltageReading:
    """A servo's window out of its first 40 registers, and what it measures."""
    low = eprom[registers.MIN_VOLTAGE_LIMIT.address] / 10
    high = eprom[registers.MAX_VOLTAGE_LIMIT.address] / 10
    return VoltageReading(joint, servo_id, present_v, low, high)


def supply_line(found: Identified, expected: Variant | None) -> tuple[str, str, str]:
    """Outcome, detail and what to do of the line about the supply.

    `expected`: the servos that limits and twin were made for; None: no such claim.
    """
    if found.variant is None:
        return (
            "fail",
            "7.4 V and 12 V servos on one wire",
            "No brick is right for both: build in six of one kind.",
        )
    name = found.variant.name
    if found.outside:
        return (
            "fail",
            "; ".join(found.outside),
            f"These are {name} servos: use the brick of their kit; a higher voltage destroys them.",
        )
    if expected is not None and found.variant != expected:
        return (
            "fail",
            f"{name} servos at {found.lowest_present_v:.1f} V; limits and twin are for "
            f"{expected.name}",
            f"Stop, write `supply: {name}` into this arm's section (or run robotd selftest "
            "--hardware), and start again.",
        )
    if found.weak:
        return "warn", found.weak, "Use the brick of the servos' kit: the arm is weak on this one."
    return "pass", f"{name} servos at {found.lowest_present_v:.1f} V", ""


class FollowerLook(Look):
    """The arm that is to be energised: everything has to be right."""

    def __init__(self, arm: FollowerArm, calibration: Calibration, label: str) -> None:
        super().__init__(arm.link, calibration, label)
        self._arm = arm

    def __iter__(self) -> Iterator[None]:
        if self._link.bus is None and self._link.error is not None:
            self._add("bus", "fail", self._link.error.what, self._link.error.do)
            return
        yield from self._identify()
        if not self.present:
            return
        supply: list[VoltageReading] = []
        for joint, servo_id in zip(JOINT_NAMES, SERVO_IDS, strict=True):
            eprom = self._bus.read_block(servo_id, 0, _EPROM_LENGTH)
            yield
            self._compare(joint, servo_id, eprom)
            supply += self._voltage(joint, servo_id, eprom)
            yield
        self._arm.read_back_all()
        yield
        self._registers()
        self._calibrated()
        self._supplied(supply)
        self._warm()
        self._posed()

    def _settings(self, joint: str) -> tuple[Setting, ...]:
        return follower_settings(joint)

    def _voltage(self, joint: str, servo_id: int, eprom: bytes) -> list[VoltageReading]:
        """One servo's window, kept for the watch, and what it measures; nothing if not heard."""
        number = SERVO_IDS.index(servo_id)
        telemetry = self._arm.telemetry[number]
        reading = _voltage(joint, servo_id, eprom, telemetry.voltage_v if telemetry else 0.0)
        self._arm.voltage_window_v[number] = (reading.minimum_v, reading.maximum_v)
        return [reading] if telemetry else []

    def _supplied(self, readings: Sequence[VoltageReading]) -> None:
        if readings:
            found = identify(readings)
            self._add("supply", *supply_line(found, self._arm.variant))

    def _registers(self) -> None:
        settings = [d for d in self.differences if d.register not in _CALIBRATED]
        if not settings:
            self._add("registers", "pass", "as LeRobot sets them")
            return
        names = str(settings[0])
        more = f", and {len(settings) - 1} more" if len(settings) > 1 else ""
        kept = any(d.register.memory is not Memory.SRAM for d in settings)
        if kept and self._arm.torque_word is not Torque.OFF:
            self._add(
                "registers",
                "fail",
                f"{names}{more}, and torque is on",
                "Writing them needs a limp arm: robotd disarm, then arm again.",
            )
        else:
            self._add("registers", "warn", f"{names}{more}", "robotd writes them on arming.")

    def _warm(self) -> None:
        temperatures_c = self._arm.temperatures_c()
        hottest = max(range(JOINTS), key=lambda joint: temperatures_c[joint])
        celsius = temperatures_c[hottest]
        where = f"{JOINT_NAMES[hottest]} {celsius:.0f} °C"
        if celsius >= self._arm.limits.stop_at_c:
            self._add("temperature", "fail", where, "Let it cool for ten minutes.")
        elif celsius >= self._arm.limits.derate_from_c:
            self._add("temperature", "warn", where, "It will move slower until it is cool.")
        else:
            self._add("temperature", "pass", where)

    def _posed(self) -> None:
        for joint, belief in enumerate(self._arm.beliefs):
            if belief.doubts:
                self._add(
                    "pose",
                    "fail",
                    f"{JOINT_NAMES[joint]} tells {belief.told} ticks, where it cannot be",
                    "Its encoder jumped or counts turns: cut the servo power and give it back.",
                )
                return
        if not self._arm.seen:
            self._add("pose", "fail", "not every servo told its position", "Check the cables.")
            return
        low, high = self._arm.limits.minimum_rad, self._arm.limits.maximum_rad
        for joint, name in enumerate(JOINT_NAMES):
            here = self._arm.position_rad[joint]
            if not low[joint] - _POSE_SLACK_RAD <= here <= high[joint] + _POSE_SLACK_RAD:
                self._add(
                    "pose",
                    "fail",
                    f"{name} reads {here:.2f} rad, far outside {low[joint]:.2f}…{high[joint]:.2f}",
                    "The calibration is not this arm's, or the joint slipped: lerobot-calibrate.",
                )
                return
        self._add("pose", "pass", "every joint inside its range")


class LeaderLook(Look):
    """A leader: its pose becomes goals, so it has to be the arm that its calibration is of.

    One that does not answer is no reason not to arm: other sources work without it, and the
    supervisor's part of the list says it.
    """

    def __init__(self, leader: LeaderArm, calibration: Calibration, label: str) -> None:
        super().__init__(leader.link, calibration, label)
        self._leader = leader

    def __iter__(self) -> Iterator[None]:
        if self._link.bus is None or not self._leader.seen:
            return
        yield from self._identify()
        if not self.present:
            return
        supply: list[VoltageReading] = []
        for joint, servo_id in zip(JOINT_NAMES, SERVO_IDS, strict=True):
            eprom = self._bus.read_block(servo_id, 0, _EPROM_LENGTH)
            yield
            self._compare(joint, servo_id, eprom)
            present_v = self._bus.read(servo_id, registers.PRESENT_VOLTAGE) / 10
            supply.append(_voltage(joint, servo_id, eprom, present_v))
            yield
        self._calibrated()
        self._supplied(supply)

    def _supplied(self, readings: Sequence[VoltageReading]) -> None:
        """A leader's servos are 7.4 V ones, and the follower's brick fits into the same plug."""
        outside = identify(readings).outside
        if outside:
            todo = "Unplug it: a leader runs on 5 V, and the follower's 12 V brick destroys it."
            self._add("supply", "fail", "; ".join(outside), todo)

    def _settings(self, joint: str) -> tuple[Setting, ...]:
        return leader_settings(joint)
