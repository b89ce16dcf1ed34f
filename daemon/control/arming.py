"""Arming on the bus: look first, write registers, then take the arm where it stands.

A sequence of single bounded transactions, one a tick, so that telemetry goes on meanwhile. Nothing
is written before everything was read and found right; the first write that moves anything is the
goal, and it is the pose just measured. In this order:

1. who is there (ids, model, firmware), registers, calibration, supply, temperature;
2. registers that differ are written, only while torque is off (a raised arm must not fall);
3. torque limit low, goal := present (this write is torque on), torque on, read back;
4. the torque limit ramps up to its working value; the sag of the droop is expected.
"""

from collections.abc import Iterator, Mapping, Sequence

from daemon.control.arm import JOINTS, SERVO_IDS, FollowerArm
from daemon.control.gate import Applied, GateState
from daemon.control.settings import CoreSettings
from drivers import registers
from drivers.arm_registers import (
    RegisterDifference,
    calibration_settings,
    find_differences,
    follower_settings,
)
from drivers.bus import ServoBus
from drivers.calibration import JOINT_NAMES, Calibration
from drivers.identity import Presence, ServoIdentity, identify_servo
from drivers.registers import Memory, Register
from drivers.so101 import So101Follower
from robotd.errors import BusError
from robotd.messages import Check
from robotd.states import LimitedBy, Torque

_EPROM_LENGTH = 40
_RAMP_STEPS_HZ = 20
_NONE = (LimitedBy.NOTHING,) * JOINTS
_CALIBRATED = (
    registers.HOMING_OFFSET,
    registers.MIN_POSITION_LIMIT,
    registers.MAX_POSITION_LIMIT,
)


class BusArming:
    """Makes arming sequences for arms with these calibrations (by arm name)."""

    def __init__(self, calibrations: Mapping[str, Calibration]) -> None:
        self._calibrations = calibrations

    def begin(
        self, arms: Sequence[FollowerArm], settings: CoreSettings, consent: bool
    ) -> "BusArmingSteps":
        """Start arming; without consent only look. Nothing happens before the first `next`."""
        return BusArmingSteps(arms, settings, self._calibrations, consent)


class BusArmingSteps:
    """One arming under way: an iterator whose `next` does one transaction, or a few short ones."""

    def __init__(
        self,
        arms: Sequence[FollowerArm],
        settings: CoreSettings,
        calibrations: Mapping[str, Calibration],
        consent: bool,
    ) -> None:
        self.checks: tuple[Check, ...] = ()
        self.wrote_goal = False
        self.passed = False
        self._arms = arms
        self._settings = settings
        self._calibrations = calibrations
        self._consent = consent
        self._differences: dict[str, list[RegisterDifference]] = {}
        self._sequence = self._run()

    def __next__(self) -> None:
        next(self._sequence)

    def __iter__(self) -> Iterator[None]:
        return self

    @property
    def _failed(self) -> bool:
        return any(check.outcome == "fail" for check in self.checks)

    def _run(self) -> Iterator[None]:
        for arm in self._arms:
            yield from self._look(arm)
        if self._failed or not self._consent:
            return
        for arm in self._arms:
            for difference in self._differences[arm.name]:
                So101Follower(_bus(arm)).write_registers([difference])
                yield
        for arm in self._arms:
            yield from self._take(arm)
        yield from self._ramp()
        self.passed = True

    # --- looking ----------------------------------------------------------------------------------

    def _look(self, arm: FollowerArm) -> Iterator[None]:
        """Read everything; write nothing."""
        if arm.link.bus is None:
            error = arm.link.error or BusError(
                f"The bus of {arm.name} is closed.", "It has just been unplugged.", "Plug it in."
            )
            self._add(arm, "bus", "fail", error.what, error.do)
            return
        servos: list[ServoIdentity] = []
        for joint, servo_id in zip(JOINT_NAMES, SERVO_IDS, strict=True):
            servos.append(identify_servo(_bus(arm), joint, servo_id))
            yield
        if not self._who_is_there(arm, servos):
            return
        supply: list[str] = []
        for joint, servo_id in zip(JOINT_NAMES, SERVO_IDS, strict=True):
            eprom = _bus(arm).read_block(servo_id, 0, _EPROM_LENGTH)
            yield
            self._compare(arm, joint, servo_id, eprom)
            supply += _supply(arm, joint, servo_id, eprom)
            yield
        arm.read_back_all()
        yield
        self._registers(arm)
        self._calibrated(arm)
        low = "; ".join(supply)
        if supply:
            self._add(arm, "supply", "warn", low, "Check the supply: 7.4 V or 12 V servos?")
        else:
            volts = min(r.voltage_v for r in arm.telemetry if r is not None)
            self._add(arm, "supply", "pass", f"{volts:.1f} V")
        self._warm(arm)
        self._posed(arm)

    def _who_is_there(self, arm: FollowerArm, servos: Sequence[ServoIdentity]) -> bool:
        answered = True
        for servo in servos:
            problem = servo.problem()
            if problem is None:
                continue
            faulted = servo.presence is Presence.FAULTED
            outcome = "warn" if faulted else "fail"
            answered = answered and faulted
            self._add(arm, f"servo {servo.joint}", outcome, problem.what, problem.do)
        versions = {servo.firmware for servo in servos if servo.firmware is not None}
        if answered:
            words = ", ".join(f"{major}.{minor}" for major, minor in sorted(versions))
            if len(versions) == 1:
                self._add(arm, "servos", "pass", f"six STS3215, firmware {words}")
            else:
                self._add(
                    arm,
                    "firmware",
                    "warn",
                    f"mixed firmware: {words}",
                    "LeRobot refuses such an arm; update with Feetech's FD software.",
                )
        return answered

    def _compare(self, arm: FollowerArm, joint: str, servo_id: int, eprom: bytes) -> None:
        settings = (
            *follower_settings(joint),
            *calibration_settings(self._calibrations[arm.name][joint]),
        )
        found: dict[Register, int] = {}
        for setting in settings:
            register = setting.register
            end = register.address + register.size
            found[register] = (
                register.decode(eprom[register.address : end])
                if end <= _EPROM_LENGTH
                else _bus(arm).read(servo_id, register)
            )
        here = self._differences.setdefault(arm.name, [])
        here += find_differences(joint, servo_id, settings, found)

    def _registers(self, arm: FollowerArm) -> None:
        settings = [d for d in self._differences[arm.name] if d.register not in _CALIBRATED]
        if not settings:
            self._add(arm, "registers", "pass", "as LeRobot sets them")
            return
        names = str(settings[0])
        more = f", and {len(settings) - 1} more" if len(settings) > 1 else ""
        kept = any(d.register.memory is not Memory.SRAM for d in settings)
        if kept and arm.torque_word is not Torque.OFF:
            self._add(
                arm,
                "registers",
                "fail",
                f"{names}{more}, and torque is on",
                "Writing them needs a limp arm: robotd disarm, then arm again.",
            )
        else:
            self._add(arm, "registers", "warn", f"{names}{more}", "robotd writes them on arming.")

    def _calibrated(self, arm: FollowerArm) -> None:
        wrong = [d for d in self._differences[arm.name] if d.register in _CALIBRATED]
        if not wrong:
            self._add(arm, "calibration", "pass", "file and servos agree")
            return
        self._add(
            arm,
            "calibration",
            "fail",
            f"{wrong[0].joint}: {wrong[0].register.name} is {wrong[0].found} in the servo and "
            f"{wrong[0].wanted} in the file ({len(wrong)} such values)",
            "Another arm's file, or calibrated since: run lerobot-calibrate, or put this arm's "
            "id into the configuration.",
        )

    def _warm(self, arm: FollowerArm) -> None:
        hottest = max(range(JOINTS), key=lambda joint: arm.temperatures_c()[joint])
        celsius = arm.temperatures_c()[hottest]
        where = f"{JOINT_NAMES[hottest]} {celsius:.0f} °C"
        if celsius >= arm.limits.stop_at_c:
            self._add(arm, "temperature", "fail", where, "Let it cool for ten minutes.")
        elif celsius >= arm.limits.derate_from_c:
            self._add(arm, "temperature", "warn", where, "It will move slower until it is cool.")
        else:
            self._add(arm, "temperature", "pass", where)

    def _posed(self, arm: FollowerArm) -> None:
        if not arm.seen:
            self._add(arm, "pose", "fail", "not every servo told its position", "Check the cables.")
            return
        low, high = arm.limits.minimum_rad, arm.limits.maximum_rad
        for joint, name in enumerate(JOINT_NAMES):
            here = arm.position_rad[joint]
            if not low[joint] - 0.3 <= here <= high[joint] + 0.3:
                self._add(
                    arm,
                    "pose",
                    "fail",
                    f"{name} reads {here:.2f} rad, far outside {low[joint]:.2f}…{high[joint]:.2f}",
                    "The calibration is not this arm's, or the joint slipped: lerobot-calibrate.",
                )
                return
        self._add(arm, "pose", "pass", "every joint inside its range")

    def _add(self, arm: FollowerArm, name: str, outcome: str, detail: str, todo: str = "") -> None:
        label = name if len(self._arms) == 1 else f"{arm.name}: {name}"
        self.checks = (*self.checks, Check(name=label, outcome=outcome, detail=detail, do=todo))

    # --- taking the arm ---------------------------------------------------------------------------

    def _take(self, arm: FollowerArm) -> Iterator[None]:
        """Torque limit low, goal := where the arm is, torque on, read back."""
        bus = _bus(arm)
        held = [word is Torque.ON for word in arm.torque]
        pose = list(arm.position_rad)
        if any(held):
            # A stiff joint keeps its own goal. Taking the measured pose instead would take away
            # what holds it against gravity, and it would dip (LeRobot PR 4610).
            goals = [
                registers.GOAL_POSITION.decode(
                    bus.read_block(servo_id, registers.GOAL_POSITION.address, 2)
                )
                for servo_id in SERVO_IDS
            ]
            yield
            kept = arm.joint_map.rad_from_ticks(goals).tolist()
            pose = [
                goal if stiff and abs(goal - here) < arm.limits.step_rad else here
                for stiff, goal, here in zip(held, kept, arm.position_rad, strict=True)
            ]
        # A limp joint is taken gently, whatever the others are.
        low = self._settings.arming_torque_permille
        arm.write_torque_limit(
            [
                max(limit, low) if stiff else low
                for stiff, limit in zip(held, arm.limit_now_permille, strict=True)
            ]
        )
        yield
        self.wrote_goal = True
        arm.goal_ticks = [-1] * JOINTS
        arm.write_goal(Applied(GateState.at_rest(pose), _NONE))
        arm.write_torque_on()
        yield
        arm.read_back_all()
        yield
        if arm.torque_word is not Torque.ON:
            raise BusError(
                f"{arm.name} did not take torque on every joint.",
                "A servo is in protection, or its supply sags when it is switched on.",
                "Look at the servo that blinks; cut its power for five seconds and arm again.",
            )

    def _ramp(self) -> Iterator[None]:
        """Raise the torque limits to their working values over the ramp time."""
        rate = max(1, self._settings.tick_hz // _RAMP_STEPS_HZ)
        ticks = max(1, int(self._settings.arming_ramp_s * self._settings.tick_hz))
        begin = [list(arm.limit_now_permille) for arm in self._arms]
        for tick in range(1, ticks + 1):
            if tick % rate == 0 or tick == ticks:
                for arm, low in zip(self._arms, begin, strict=True):
                    arm.write_torque_limit(
                        [
                            a + (b - a) * tick / ticks
                            for a, b in zip(low, arm.torque_limit_permille, strict=True)
                        ]
                    )
            yield
        for arm in self._arms:
            arm.read_back_all()
            if list(arm.limit_now_permille) != list(arm.torque_limit_permille):
                raise BusError(
                    f"{arm.name}: the torque limit did not take ({arm.limit_now_permille}).",
                    "A write was lost, or a servo restarted while it was being switched on.",
                    "Arm again; if it stays, check the supply and the cables.",
                )
            arm.mark()


def _supply(arm: FollowerArm, joint: str, servo_id: int, eprom: bytes) -> list[str]:
    """What is wrong with one servo's supply, in its own limits; nothing when it is fine."""
    telemetry = arm.telemetry[SERVO_IDS.index(servo_id)]
    low = eprom[registers.MIN_VOLTAGE_LIMIT.address] / 10
    high = eprom[registers.MAX_VOLTAGE_LIMIT.address] / 10
    if telemetry is None or low <= telemetry.voltage_v <= high:
        return []
    return [f"{joint} sees {telemetry.voltage_v:.1f} V, its limits are {low:.1f}…{high:.1f} V"]


def _bus(arm: FollowerArm) -> ServoBus:
    return arm.open_bus()
