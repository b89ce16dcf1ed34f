"""One arm under test, ticked like control ticks it, and let down whatever happens.

The gate, the watch, the arming sequence and the governed release are control's own. What is
different: a person is asked between the steps, speeds are a fraction, and any surprise ends the
run: a selftest that goes on after one would test the surprise.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from daemon.control import watch
from daemon.control.arm import JOINTS, SERVO_IDS, FollowerArm
from daemon.control.arming import BusArming
from daemon.control.gate import Asked, Body, apply
from daemon.control.letdown import LetDown
from daemon.control.readout import Readout
from daemon.control.settings import CoreSettings
from daemon.selftest.person import Answer, Person
from daemon.supervisor.words import fault_words
from drivers.bus import ServoBus
from drivers.calibration import JOINT_NAMES, Calibration
from drivers.registers import TORQUE_ENABLE
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.errors import BusError, RobotdError, StateError
from robotd.messages import Check
from robotd.trajectory import through

log = logging.getLogger(__name__)

TICK_HZ = 120
_READ_DEADLINE_NS = 6 * NS_PER_MS  # until the adapter was measured; nothing else is in the tick
_LOST_READS = 30  # a quarter of a second, in which the arm goes 5 degrees at most
RELEASE_S = 20.0  # the longest that a governed release may take; then torque is cut as it is
_OFF_ATTEMPTS = 5
_SLOW_EVERY = 4
_ASTRAY_RAD = math.radians(15.0)  # off its goal: three times the droop of a raised arm
_ASTRAY_TICKS = 24
_RUNAWAY_RAD = math.radians(8.0)


class StoppedError(StateError):
    """The person said stop, or something happened that a selftest does not go on after."""


class RunawayError(StoppedError):
    """A joint drives itself away from its goal: only cutting its torque stops it."""


@dataclass(slots=True)
class Seen:
    """What went by in the ticks, for the facts about whole runs."""

    replies: int = 0
    lost: int = 0
    lowest_v: float = math.inf
    highest_c: list[float] = field(default_factory=lambda: [-math.inf] * JOINTS)
    speeds_ticks_s: set[int] = field(default_factory=set)
    fastest_rad_s: float = 0.0
    heaviest_permille: float = 0.0


class Rig:
    """One arm and the person beside it. Use it as a context: leaving it lets the arm down."""

    def __init__(
        self,
        arm: FollowerArm,
        calibration: Calibration,
        settings: CoreSettings,
        clock: Clock,
        person: Person,
    ) -> None:
        self.arm = arm
        self.person = person
        self.clock = clock
        self.seen = Seen()
        self.held = False
        self.read_deadline_ns = _READ_DEADLINE_NS
        self._calibration = calibration
        self._settings = settings
        self._readout = Readout([arm], [])
        self._period_ns = NS_PER_S // TICK_HZ
        self._deadline_ns = clock.now_ns()
        self._ticks = 0
        self._astray = 0

    # --- time -------------------------------------------------------------------------------------

    def tick(self, goal_rad: Sequence[float] | None = None) -> None:
        """One tick: read, judge, and while the arm is held send the gate's pose.

        Raises StoppedError when something is wrong with the arm.
        """
        self._read()
        arm = self.arm
        finding = watch.judge(arm.views(), self.held, _LOST_READS, arm.limits.stop_at_c)
        if finding is not None:
            joint = JOINT_NAMES[finding.joint] if finding.joint >= 0 else None
            what, do = fault_words(finding.fault, joint)
            raise StoppedError(f"Stopped: {what}.", "It came up during the selftest.", do)
        if self.held:
            self._drive(goal_rad)

    def _read(self) -> None:
        """Wait for the next tick and read every servo; judges nothing."""
        now_ns = self.clock.now_ns()
        # A person took their time, or the machine did: go on from now.
        self._deadline_ns = max(self._deadline_ns + self._period_ns, now_ns)
        self.clock.sleep_until_ns(self._deadline_ns)
        self._ticks += 1
        self._readout.read(self.clock.now_ns() + self.read_deadline_ns)
        self._remember()
        if self._ticks % _SLOW_EVERY == 0:
            self.arm.read_slow()

    def wait(self, seconds: float) -> None:
        """Let time pass; an arm that is held holds."""
        for _ in range(max(1, round(seconds * TICK_HZ))):
            self.tick()

    def move(self, poses_rad: Sequence[Sequence[float]], peak_rad_s: float) -> None:
        """Go through poses from where the goal is, rest to rest, and wait until it stands."""
        start = self.arm.gate.applied_rad
        began_ns = self.clock.now_ns()
        path = through([start, *poses_rad], began_ns, self._period_ns, peak_rad_s)
        while (now_ns := self.clock.now_ns()) < path.end_ns:
            self.tick(path.evaluate(now_ns))
        for _ in range(TICK_HZ // 2):
            self.tick(poses_rad[-1])

    def inward(self, joint: int) -> int:
        """The direction, 1 or -1, in which a joint has more way to go."""
        middle = 0.5 * (self.arm.limits.minimum_rad[joint] + self.arm.limits.maximum_rad[joint])
        return 1 if self.arm.position_rad[joint] < middle else -1

    def creep(self, joint: int, way: int, until_rad: float, most_rad: float, rad_s: float) -> float:
        """Lead one joint's goal away until the joint was seen to move by `until_rad`, or the goal
        is `most_rad` off; then back. Returns how far it went, in the sense of `way`. Raises
        RunawayError for one that goes the other way.

        A held joint begins to move only when its goal is a few degrees ahead: weight and friction.
        """
        start = list(self.arm.gate.applied_rad)
        before = self.arm.position_rad[joint]
        goal, moved = list(start), 0.0
        while moved < until_rad and abs(goal[joint] - start[joint]) < most_rad:
            goal[joint] += way * rad_s / TICK_HZ
            self.tick(goal)
            moved = (self.arm.position_rad[joint] - before) * way
            if moved < -0.5 * until_rad:
                raise RunawayError(
                    f"{JOINT_NAMES[joint]} moves against its goals.",
                    "Its motor turns against its sensor (Phase, register 18).",
                    "robotd doctor bus shows the registers; replace the servo if they are right.",
                )
        self.move([start], rad_s)
        return moved

    def _drive(self, goal_rad: Sequence[float] | None) -> None:
        arm = self.arm
        body = Body(arm.temperatures_c(), arm.loads_permille(), arm.limit_now_permille)
        asked = Asked(None if goal_rad is None else tuple(goal_rad))
        dt_s = self._period_ns / NS_PER_S
        arm.write_goal(apply(asked, arm.position_rad, body, arm.gate, arm.limits, dt_s))
        pairs = zip(arm.gate.applied_rad[:5], arm.position_rad[:5], strict=True)
        worst = max(range(5), key=lambda j: abs(arm.gate.applied_rad[j] - arm.position_rad[j]))
        astray = any(abs(goal - here) > _ASTRAY_RAD for goal, here in pairs)
        self._astray = self._astray + 1 if astray else 0
        if self._astray > _ASTRAY_TICKS:
            raise StoppedError(
                f"{JOINT_NAMES[worst]} is more than 15° off its goal.",
                "Something holds it, or it turns the wrong way round.",
                "Free it. If nothing is in the way: lerobot-calibrate, then the selftest again.",
            )

    def _remember(self) -> None:
        seen = self.seen
        for joint, reading in enumerate(self.arm.telemetry):
            seen.replies += 1
            if reading is None or self.arm.misses[joint] > 0:
                seen.lost += 1
                continue
            seen.highest_c[joint] = max(seen.highest_c[joint], float(reading.temperature_c))
            if self.held:
                seen.lowest_v = min(seen.lowest_v, reading.voltage_v)
                seen.speeds_ticks_s.add(reading.velocity_ticks_s)
                seen.heaviest_permille = max(seen.heaviest_permille, abs(reading.load_permille))
        seen.fastest_rad_s = max(seen.fastest_rad_s, *map(abs, self.arm.velocity_rad_s[:5]))

    # --- the person -------------------------------------------------------------------------------

    def consent(self, what_happens: str) -> bool:
        """Say what is going to happen and ask for it; False: skip it. Raises StoppedError."""
        self.person.ask(what_happens, seen=False)
        return self._answered() is Answer.YES

    def look(self, question: str) -> Answer:
        """Ask what the person saw: YES, NO or UNSEEN. Raises StoppedError."""
        self.person.ask(question, seen=True)
        return self._answered()

    def _answered(self) -> Answer:
        while (answer := self.person.answer()) is None:
            self.tick()
        if answer is Answer.STOP:
            raise StoppedError(
                "Stopped by the person at the arm.",
                "They said so.",
                "Start again when you are ready: robotd selftest --hardware.",
            )
        return answer

    # --- the arm ----------------------------------------------------------------------------------

    @property
    def bus(self) -> ServoBus:
        """The arm's bus. Raises BusError when it is closed."""
        return self.arm.open_bus()

    def connect(self) -> None:
        """Hear every servo once. Raises the BusError that keeps it from that."""
        for _ in range(TICK_HZ):
            self._readout.read(self.clock.now_ns() + self.read_deadline_ns)
            if self.arm.seen:
                break
            if self.arm.link.error is not None:
                raise self.arm.link.error
            self.clock.sleep_until_ns(self.clock.now_ns() + self._period_ns)
        self.arm.read_back_all()

    def check(self) -> tuple[Check, ...]:
        """The arming list; writes nothing. Raises BusError."""
        return self._arming(consent=False)

    def take(self) -> None:
        """Arm as control does: registers, torque low, goal := present, ramp. Raises StoppedError
        with the line of the list that forbids it."""
        wrong = [check for check in self._arming(consent=True) if check.outcome == "fail"]
        if wrong:
            raise StoppedError(
                f"The arm was not armed: {wrong[0].name}: {wrong[0].detail}.",
                "The arming list looks at the same things as robotd arm.",
                wrong[0].do or "Mend what it names.",
            )
        self.held = True

    def _arming(self, consent: bool) -> tuple[Check, ...]:
        arming = BusArming({self.arm.name: self._calibration}, {})
        steps = arming.begin([self.arm], [], self._settings, consent)
        before = list(self.arm.position_rad)
        for _ in steps:
            self.tick()
            if steps.wrote_goal:
                self._still(before)
        return steps.checks

    def _still(self, before_rad: Sequence[float]) -> None:
        """Raises StoppedError for a folded arm that moves while it is taken: a servo whose motor
        turns against its own sensor runs away from any goal, faster the more torque it gets."""
        for joint, (then, now) in enumerate(zip(before_rad, self.arm.position_rad, strict=True)):
            if abs(now - then) > _RUNAWAY_RAD:
                raise RunawayError(
                    f"{JOINT_NAMES[joint]} moved away while the arm was taken.",
                    "Its motor turns against its sensor (Phase, register 18), or the arm was not "
                    "folded and sank.",
                    "Fold the arm. If it was folded: robotd doctor bus shows the registers.",
                )

    # --- the way out ------------------------------------------------------------------------------

    def release(self) -> float:
        """Let the arm down: governed, then torque off, then read back. Returns the fastest joint,
        rad/s. Raises BusError when a servo does not confirm."""
        arm = self.arm
        self.held = False
        self.seen.fastest_rad_s = 0.0
        down = LetDown([arm], self._settings.release_speed_rad_s, self._period_ns / NS_PER_S)
        down.begin()
        for _ in range(round(RELEASE_S * TICK_HZ)):
            self._read()  # a silent servo does not keep the others up
            if down.step():
                break
        fastest_rad_s = self.seen.fastest_rad_s
        self._off()
        return fastest_rad_s

    def _off(self) -> None:
        """Torque off on all six, insisted on, and read back."""
        for _ in range(_OFF_ATTEMPTS):
            self.arm.write_torque_off()
            on = self.bus.sync_read(TORQUE_ENABLE)
            if not any(value != 0 for value in on.values()):
                self.arm.read_back_all()
                return
        driven = [
            name for name, servo in zip(JOINT_NAMES, SERVO_IDS, strict=True) if on.get(servo) != 0
        ]
        raise BusError(
            f"Torque off is not confirmed by {', '.join(driven)}.",
            "A cable came loose, or the servo hangs.",
            "Support the arm and pull the plug.",
        )

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None and issubclass(kind, RunawayError):
                self._off()  # it was folded, and holding on is what drives the joint away
            elif self.arm.link.opened:
                self._let_go()
        except BusError as error:
            raise BusError(
                error.what,
                f"{error.likely} Torque may be on.",
                "Support the arm and pull the plug of the servo supply.",
            ) from error
        finally:
            self._readout.close()

    def _let_go(self) -> None:
        """Whatever happened, the arm comes down; what cannot be said politely is still done."""
        try:
            self.arm.read_back_answering()
            if not self.arm.released:
                self.release()
                return
        except RobotdError as error:
            # The governed way did not work (a servo is silent, a fault came up on the way).
            log.error("%s", error)
        self._off()
