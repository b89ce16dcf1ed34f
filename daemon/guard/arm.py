"""One arm in the guard's hands: what its servos say, in ticks, and the three writes of a release.

No calibration and no goal: a file that cannot be read must not keep the arm up, and a joint's speed
needs only differences of encoder ticks.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence

from daemon.control.link import BusLink
from drivers.bus import ServoBus, Telemetry
from drivers.calibration import JOINT_NAMES
from drivers.registers import MAX_TORQUE_LIMIT, TORQUE_ENABLE, TORQUE_LIMIT
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.states import Torque

SERVO_IDS = (1, 2, 3, 4, 5, 6)
_JOINTS = len(SERVO_IDS)
_RAD_PER_TICK = 2 * math.pi / 4096
_VELOCITY_S = 0.05  # one encoder tick in 10 ms already reads as 0.15 rad/s
_SILENT_S = 0.5  # of reads missed in a row: then a servo is not waited for
_READ_BACK_NS = 5 * NS_PER_MS
_CONTROL_BLOCK = 40  # torque enable … torque limit
_CONTROL_LENGTH = 10


class GuardedArm:
    """Six servos on one line. Everything that was read is kept until the line is opened anew."""

    def __init__(self, name: str, link: BusLink, tick_hz: int) -> None:
        self.name = name
        self.link = link
        self._silent_reads = round(_SILENT_S * tick_hz)
        self._window = 1 + max(1, round(_VELOCITY_S * tick_hz))
        self._next = 0
        self.forget()

    def forget(self) -> None:
        """Nothing that was known still holds: the line was opened anew."""
        self.telemetry: list[Telemetry | None] = [None] * _JOINTS
        self.limit_now_permille = [-1] * _JOINTS
        self.misses = [0] * _JOINTS
        self.velocity_rad_s = [0.0] * _JOINTS
        self.torque = [Torque.UNKNOWN] * _JOINTS
        self._history: list[deque[tuple[int, int]]] = [
            deque(maxlen=self._window) for _ in SERVO_IDS
        ]

    @property
    def known(self) -> bool:
        """Whether a servo answers, and every one that does has told its torque and its limit."""
        answering = [joint for joint in range(_JOINTS) if not self.silent(joint)]
        return bool(answering) and all(
            self.telemetry[joint] is not None and self.torque[joint] is not Torque.UNKNOWN
            for joint in answering
        )

    @property
    def released(self) -> bool:
        """Whether every servo that answers, and at least one does, says that its torque is off."""
        said = [self.torque[joint] for joint in range(_JOINTS) if not self.silent(joint)]
        return bool(said) and all(word is Torque.OFF for word in said)

    @property
    def torque_word(self) -> Torque:
        """The torque of the six in one word; mixed where one of them is not heard any more."""
        words = {self.torque[joint] for joint in range(_JOINTS) if not self.silent(joint)}
        if not words or Torque.UNKNOWN in words:
            return Torque.UNKNOWN
        return words.pop() if len(words) == 1 and not self.mute else Torque.MIXED

    @property
    def mute(self) -> list[str]:
        """The joints whose servos are not heard any more."""
        return [name for joint, name in enumerate(JOINT_NAMES) if self.silent(joint)]

    def silent(self, joint: int) -> bool:
        """Whether a servo has not answered for so long that its state is not known any more."""
        return self.misses[joint] > self._silent_reads

    def take(self, answers: Mapping[int, Telemetry | None]) -> None:
        """Take one look's answers."""
        for joint, servo in enumerate(SERVO_IDS):
            reading = answers.get(servo)
            if reading is None:
                self.misses[joint] += 1
                continue
            self.misses[joint] = 0
            self.telemetry[joint] = reading
            history = self._history[joint]
            history.append((reading.stamp_ns, reading.position_ticks))
            began_ns, then = history[0]
            if reading.stamp_ns > began_ns:
                moved_rad = (reading.position_ticks - then) * _RAD_PER_TICK
                self.velocity_rad_s[joint] = moved_rad * NS_PER_S / (reading.stamp_ns - began_ns)

    def missed_all(self) -> None:
        """No answer at all in this look."""
        self.misses = [count + 1 for count in self.misses]

    def read_next(self) -> None:
        """Read torque and limit back from one servo that answers, the next in turn."""
        joint, self._next = self._next, (self._next + 1) % _JOINTS
        if self.misses[joint] == 0:
            self._read_back(joint, retries=1)

    def read_back_answering(self) -> None:
        """Read torque and limit back from the servos that answered last. Raises BusError."""
        for joint in range(_JOINTS):
            if self.misses[joint] == 0:
                self._read_back(joint, retries=2)

    def write_torque_limit(self, permille: Sequence[float]) -> None:
        """Write register 48 (not 16: that one only counts at power-on) where it changes."""
        wanted = [round(value) for value in permille]
        changed = {
            SERVO_IDS[joint]: value
            for joint, value in enumerate(wanted)
            if value != self.limit_now_permille[joint]
        }
        if changed:
            self._bus.sync_write(TORQUE_LIMIT, changed)
            self.limit_now_permille = wanted

    def write_torque_off(self) -> None:
        """Cut torque on all six; not acknowledged, so a servo in fault keeps no other stiff."""
        self._bus.sync_write(TORQUE_ENABLE, dict.fromkeys(SERVO_IDS, 0))

    def restore_torque_limit(self) -> None:
        """Give register 48 back what it holds at power-on (16). Raises BusError."""
        self._bus.sync_write(
            TORQUE_LIMIT,
            {
                SERVO_IDS[joint]: self._bus.read(SERVO_IDS[joint], MAX_TORQUE_LIMIT)
                for joint in range(_JOINTS)
                if self.misses[joint] == 0
            },
        )
        self.read_back_answering()

    @property
    def _bus(self) -> ServoBus:
        return self.link.require()

    def _read_back(self, joint: int, retries: int) -> None:
        block = self._bus.read_block(
            SERVO_IDS[joint], _CONTROL_BLOCK, _CONTROL_LENGTH, retries, timeout_ns=_READ_BACK_NS
        )
        self.torque[joint] = Torque.ON if block[0] else Torque.OFF
        self.limit_now_permille[joint] = block[8] | block[9] << 8
