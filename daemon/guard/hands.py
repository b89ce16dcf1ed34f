"""The guard's hands: every arm's port taken, read, and let down. Driven a tick at a time.

Each arm goes its own way: one whose adapter is gone must not keep the other up. A port is taken by
the same flock as control's, so the two can never both write.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from daemon.control.letdown import LetDown
from daemon.control.link import BusLink
from daemon.guard.arm import SERVO_IDS, GuardedArm
from drivers.bus import collect
from drivers.serial_port import SerialPort
from robotd.clock import NS_PER_MS, Clock
from robotd.errors import BusError
from robotd.states import Torque

log = logging.getLogger(__name__)

_READ_NS = 6 * NS_PER_MS  # a block read takes 2 ms on hardware; there is no tick to be late for
TAKE_HZ = 120

OpenPort = Callable[[str], SerialPort]
"""Opens the serial device of an arm, by its name in the configuration. Raises BusError."""


class Hands:
    """All follower arms of one robot. Opens nothing before `begin`."""

    def __init__(
        self, names: Sequence[str], open_port: OpenPort, clock: Clock, release_speed_rad_s: float
    ) -> None:
        self._names = tuple(names)
        self._open_port = open_port
        self._clock = clock
        self._speed_rad_s = release_speed_rad_s
        self._arms: dict[str, GuardedArm] = {}
        self._opened: dict[str, int] = {}
        self._releases: dict[str, LetDown] = {}
        self._down: dict[str, list[str]] = {}  # with the joints that did not confirm it
        self._complaints: dict[str, str] = {}

    @property
    def in_hand(self) -> bool:
        """Whether an arm answers and is driven."""
        return bool(self._driven())

    @property
    def missing(self) -> bool:
        """Whether an arm neither answers nor was let down."""
        return any(
            name not in self._down and not (name in self._arms and self._arms[name].known)
            for name in self._names
        )

    @property
    def torque(self) -> Torque:
        """The torque of all arms as the servos said it, in one word."""
        words = {self._torque_of(name) for name in self._names}
        if Torque.UNKNOWN in words:
            return Torque.UNKNOWN
        return words.pop() if len(words) == 1 else Torque.MIXED

    def mute(self) -> list[str]:
        """The joints that did not confirm that their torque is off, of the arms that are down."""
        several = len(self._names) > 1
        return [
            f"{name} {joint}" if several else joint
            for name, joints in self._down.items()
            for joint in joints
        ]

    def forget(self) -> None:
        """A new control has been at the arms: nothing that was let down is known to be down."""
        self.close()
        self._down.clear()

    def begin(self) -> None:
        """Set out to take every arm that is not down."""
        self.close()
        for name in self._names:
            if name not in self._down:
                port = partial(self._open_port, name)
                link = BusLink(f"{name} (guard)", port, SERVO_IDS, self._clock)
                self._arms[name] = GuardedArm(name, link, TAKE_HZ)
        self._opened = dict.fromkeys(self._arms, 0)

    def look(self) -> None:
        """Open what can be opened, and read every arm that is open. Never raises for a line."""
        for arm in self._arms.values():
            arm.link.open_if_due()
            if arm.link.opened != self._opened[arm.name]:
                self._opened[arm.name] = arm.link.opened
                arm.forget()
                self._releases.pop(arm.name, None)
        buses = [arm.link.bus for arm in self._arms.values() if arm.link.bus is not None]
        readings = iter(collect(buses, self._clock.now_ns() + _READ_NS))
        for arm in self._arms.values():
            if arm.link.bus is None:
                arm.missed_all()
                continue
            reading = next(readings)
            if reading.fault is not None:
                self._lost(arm, reading.fault)
                continue
            arm.take(reading.telemetry)
            self._try(arm, arm.read_next)

    def lower(self) -> None:
        """One tick of the governed release of every arm in hand."""
        for arm in self._driven():
            stepped = self._try(arm, self._release(arm).step)
            if not stepped:
                self._give_back(arm)

    def limp_now(self) -> None:
        """Torque off at once: a person pressed e-stop twice with the arm in our hands."""
        for arm in self._driven():
            self._release(arm).limp_now()

    def why(self) -> tuple[str, str]:
        """Why an arm is not in hand: what, and what to do."""
        for name in self._names:
            arm = self._arms.get(name)
            if name in self._down or arm is None or arm.known:
                continue
            if arm.link.error is not None:
                return arm.link.error.what, arm.link.error.do
            return (
                f"No servo of {name} answers.",
                "Check the servo supply and the cable into the first servo.",
            )
        return "The servos do not confirm that their torque is off.", ""

    def close(self) -> None:
        """Note which arms are down, and give every port back."""
        for arm in self._arms.values():
            if arm.known and arm.released:
                self._down[arm.name] = arm.mute
            arm.link.close()
        self._arms = {}
        self._releases = {}

    def _torque_of(self, name: str) -> Torque:
        if name in self._down:
            return Torque.MIXED if self._down[name] else Torque.OFF
        return self._arms[name].torque_word if name in self._arms else Torque.UNKNOWN

    def _driven(self) -> list[GuardedArm]:
        return [arm for arm in self._arms.values() if arm.known and not arm.released]

    def _give_back(self, arm: GuardedArm) -> None:
        """A step broke off: where torque is off already, register 48 may still be low."""
        if arm.released:
            self._try(arm, arm.restore_torque_limit)

    def _release(self, arm: GuardedArm) -> LetDown:
        """The arm's release; begun from what its joints need now."""
        if arm.name not in self._releases:
            release = LetDown([arm], self._speed_rad_s, 1.0 / TAKE_HZ)
            release.begin()
            self._releases[arm.name] = release
        return self._releases[arm.name]

    def _lost(self, arm: GuardedArm, error: BusError) -> None:
        arm.link.lost(error)
        arm.forget()
        arm.missed_all()

    def _try(self, arm: GuardedArm, work: Callable[[], object]) -> bool:
        """Do something on the line; a servo that does not answer is said once. Returns success."""
        try:
            work()
        except BusError as error:
            if self._complaints.get(arm.name) != error.what:
                self._complaints[arm.name] = error.what
                log.warning("%s: %s", arm.name, error)
            return False
        return True
