"""One follower arm as control sees it: the newest telemetry of its servos, and the writes to them.

Everything that was read is kept with its age, so a lost read changes a stamp and nothing else. The
only goal writes of the whole program are here (`write_goal`), and they take the gate's result.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from daemon.control.belief import Belief
from daemon.control.gate import Applied, ArmLimits, GateState
from daemon.control.link import BusLink
from daemon.control.supply import Window
from daemon.control.watch import ServoView
from drivers.bus import ServoBus, Telemetry
from drivers.joint_map import JointMap
from drivers.registers import GOAL_POSITION, MAX_TORQUE_LIMIT, TORQUE_ENABLE, TORQUE_LIMIT
from drivers.variant import Variant
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.errors import BusError
from robotd.states import Torque

JOINTS = 6
SERVO_IDS = (1, 2, 3, 4, 5, 6)
_VELOCITY_S = 0.05  # one encoder tick in 10 ms already reads as 0.15 rad/s
_READ_BACK_NS = 3 * NS_PER_MS
_REFRESH_HZ = 10  # an unchanged goal is written again: writes are unacknowledged
_SILENT_S = 1.0  # then what is known of a servo's torque is of the past
_CONTROL_BLOCK = 40  # torque enable, acceleration, goal, time, speed, torque limit
_CONTROL_LENGTH = 10


class FollowerArm:
    """Six servos, their calibration and limits, and the gate's memory."""

    def __init__(
        self,
        name: str,
        link: BusLink,
        joint_map: JointMap,
        limits: ArmLimits,
        torque_limit_permille: Sequence[int],
        tick_hz: int,
        reset_torque_permille: Sequence[int] = (1000,) * JOINTS,
        variant: Variant | None = None,
    ) -> None:
        """`variant`: the servos that limits and twin were made for; None: whichever they are."""
        self.name = name
        self.link = link
        self.joint_map = joint_map
        self.limits = limits
        self.torque_limit_permille = tuple(torque_limit_permille)
        self.reset_torque_permille = tuple(reset_torque_permille)
        self.variant = variant
        self.voltage_window_v: list[Window | None] = [None] * JOINTS  # registers 15 and 14
        self.gate = GateState.at_rest((0.0,) * JOINTS)
        self.telemetry: list[Telemetry | None] = [None] * JOINTS
        self.position_rad = [0.0] * JOINTS
        self.position_ticks = [0] * JOINTS
        self.velocity_rad_s = [0.0] * JOINTS
        self.misses = [0] * JOINTS
        self.beliefs = [Belief() for _ in SERVO_IDS]
        self.torque = [Torque.UNKNOWN] * JOINTS
        self.goal_ticks = [-1] * JOINTS
        self.limit_now_permille = [-1] * JOINTS
        self.restarted = [False] * JOINTS
        self._acceleration_now = [-1] * JOINTS
        self._acceleration = [-1] * JOINTS  # register 41 as arming left it; -1: not armed by us
        window = 1 + max(1, round(_VELOCITY_S * tick_hz))
        self._history: list[deque[tuple[int, float]]] = [deque(maxlen=window) for _ in SERVO_IDS]
        self._refresh_ticks = max(1, tick_hz // _REFRESH_HZ)
        self._silent_reads = round(_SILENT_S * tick_hz)
        self._unwritten_ticks = 0
        self._next_slow = 0

    @property
    def seen(self) -> bool:
        """Whether every servo has answered at least once since the bus was opened."""
        return all(reading is not None for reading in self.telemetry)

    @property
    def torque_word(self) -> Torque:
        """The six Torque_Enable registers in one word."""
        if Torque.UNKNOWN in self.torque:
            return Torque.UNKNOWN
        words = set(self.torque)
        return words.pop() if len(words) == 1 else Torque.MIXED

    def silent(self, joint: int) -> bool:
        """Whether a servo has not answered for so long that its state is not known any more."""
        return self.misses[joint] > self._silent_reads

    @property
    def released(self) -> bool:
        """Whether every servo that answers, and at least one does, says that its torque is off."""
        said = [self.torque[joint] for joint in range(JOINTS) if not self.silent(joint)]
        return bool(said) and all(word is Torque.OFF for word in said)

    def forget(self) -> None:
        """The bus was opened anew: nothing that was known of the registers still holds."""
        self.telemetry = [None] * JOINTS
        self.misses = [0] * JOINTS
        self.torque = [Torque.UNKNOWN] * JOINTS
        self.goal_ticks = [-1] * JOINTS
        self.limit_now_permille = [-1] * JOINTS
        self.restarted = [False] * JOINTS
        self._acceleration = [-1] * JOINTS
        for history in self._history:
            history.clear()
        for belief in self.beliefs:
            belief.forget()

    def take(self, answers: Mapping[int, Telemetry | None]) -> bool:
        """Take one tick's answers; returns whether every servo told a position to go by."""
        complete = True
        for joint, servo in enumerate(SERVO_IDS):
            reading = answers.get(servo)
            if reading is None:
                complete = False
                self.misses[joint] += 1
                continue
            self.misses[joint] = 0
            doubted = self.beliefs[joint].doubts > 0
            believed = self.beliefs[joint].judge(reading.position_ticks, reading.stamp_ns)
            if doubted == believed:
                self._history[joint].clear()  # the jump itself is no speed
            if not believed:
                complete = False
                last = self.telemetry[joint]
                if last is not None:  # all but where it says it is
                    where, when_ns = last.position_ticks, last.stamp_ns
                    reading = replace(reading, position_ticks=where, stamp_ns=when_ns)
                    self.telemetry[joint] = reading
                continue
            self.telemetry[joint] = reading
            self.position_ticks[joint] = reading.position_ticks
        here = self.joint_map.pose_rad(self.position_ticks)
        told = here
        if any(belief.doubts for belief in self.beliefs):
            told = self.joint_map.pose_rad([belief.told for belief in self.beliefs])
        for joint, servo in enumerate(SERVO_IDS):
            answer = answers.get(servo)
            if answer is None:
                continue
            if self.beliefs[joint].doubts == 0:
                self.position_rad[joint] = here[joint]
            # How fast a joint sinks can be told even while where it is cannot.
            self._differentiate(joint, told[joint], answer.stamp_ns)
        return complete

    def missed_all(self) -> None:
        """No answer at all in this tick (bus closed or silent)."""
        self.misses = [count + 1 for count in self.misses]

    def ages_ns(self, now_ns: int) -> list[int]:
        """How old each joint's position is; -1 when never read."""
        return [-1 if r is None else now_ns - r.stamp_ns for r in self.telemetry]

    def views(self) -> list[ServoView]:
        """The servos as the watch judges them."""
        return [
            ServoView(
                self.misses[joint],
                0 if reading is None else reading.status | reading.error,
                0.0 if reading is None else float(reading.temperature_c),
                self.torque[joint],
                self.restarted[joint],
                self.beliefs[joint].doubts,
            )
            for joint, reading in enumerate(self.telemetry)
        ]

    def temperatures_c(self) -> list[float]:
        return [0.0 if r is None else float(r.temperature_c) for r in self.telemetry]

    def voltages_v(self) -> list[float | None]:
        return [None if r is None else r.voltage_v for r in self.telemetry]

    def loads_permille(self) -> list[int]:
        return [0 if r is None else r.load_permille for r in self.telemetry]

    def write_goal(self, applied: Applied) -> bool:
        """Send the gate's pose; only when a tick changed or a refresh is due.

        Writing a goal energises a servo, so a goal that did not change is not streamed. Returns
        whether anything was sent.
        """
        self.gate = applied.state
        goal = self.joint_map.goal_ticks(applied.goal_rad)
        self._unwritten_ticks += 1
        if goal == self.goal_ticks and self._unwritten_ticks < self._refresh_ticks:
            return False
        self.open_bus().sync_write(GOAL_POSITION, dict(zip(SERVO_IDS, goal, strict=True)))
        self.goal_ticks = goal
        self._unwritten_ticks = 0
        return True

    def write_torque_limit(self, permille: Sequence[float]) -> None:
        """Write register 48 (not 16: that one only counts at power-on) where it changed."""
        wanted = [round(value) for value in permille]
        changed = {
            SERVO_IDS[joint]: value
            for joint, value in enumerate(wanted)
            if value != self.limit_now_permille[joint]
        }
        if changed:
            self.open_bus().sync_write(TORQUE_LIMIT, changed)
            self.limit_now_permille = wanted

    def write_torque_off(self) -> None:
        """Cut torque on all six. Unacknowledged on purpose: a servo in fault must not keep the
        others stiff. `read_slow` confirms."""
        self.open_bus().sync_write(TORQUE_ENABLE, dict.fromkeys(SERVO_IDS, 0))

    def write_torque_on(self) -> None:
        """Energise all six. The goal and the torque limit must have been written before."""
        self.open_bus().sync_write(TORQUE_ENABLE, dict.fromkeys(SERVO_IDS, 1))

    def read_slow(self) -> None:
        """Read torque and limit back from one servo, the next in turn (block 40…55)."""
        joint = self._next_slow
        if self.link.bus is None or self.misses[joint] > 0:
            self._next_slow = (joint + 1) % JOINTS
            return
        self._next_slow = (joint + 1) % JOINTS
        self._read_back(joint, retries=0)

    def read_back_all(self) -> None:
        """Read torque and limit back from all six. Raises BusError."""
        for joint in range(JOINTS):
            self._read_back(joint, retries=2)

    def read_back_answering(self) -> None:
        """Read torque and limit back from the servos that answered last. Raises BusError."""
        for joint in range(JOINTS):
            if self.misses[joint] == 0:
                self._read_back(joint, retries=2)

    def restore_torque_limit(self) -> None:
        """Give register 48 back what it holds at power-on (16), on a limp arm. Raises BusError.

        Other programs never write 48: after our release they would find an arm without strength.
        """
        limits = {
            SERVO_IDS[joint]: self.open_bus().read(SERVO_IDS[joint], MAX_TORQUE_LIMIT)
            for joint in range(JOINTS)
            if self.misses[joint] == 0
        }
        self.open_bus().sync_write(TORQUE_LIMIT, limits)
        self.read_back_answering()

    def mark(self) -> None:
        """Remember what a servo that restarts would forget: see `restarted`."""
        self.restarted = [False] * JOINTS
        self._acceleration = list(self._acceleration_now)

    def _read_back(self, joint: int, retries: int) -> None:
        try:
            # A lost reply may cost this tick a little, never the next one.
            block = self.open_bus().read_block(
                SERVO_IDS[joint],
                _CONTROL_BLOCK,
                _CONTROL_LENGTH,
                retries,
                timeout_ns=_READ_BACK_NS,
            )
        except BusError:
            if retries:
                raise
            return  # one lost read of six a second: the telemetry misses tell a silent servo
        self.torque[joint] = Torque.ON if block[0] else Torque.OFF
        self.limit_now_permille[joint] = block[8] | block[9] << 8
        self._acceleration_now[joint] = block[1]
        # A restarted servo comes back limp, and the next goal would drive it at full torque; by
        # the time that 40 is read it may say "on" again. Acceleration lives in its RAM too.
        known = self._acceleration[joint]
        self.restarted[joint] |= known >= 0 and block[1] != known

    def open_bus(self) -> ServoBus:
        """The bus, or the BusError that says that it is closed."""
        return self.link.require()

    def _differentiate(self, joint: int, position_rad: float, stamp_ns: int) -> None:
        history = self._history[joint]
        history.append((stamp_ns, position_rad))
        began_ns, then_rad = history[0]
        if stamp_ns > began_ns:
            moved_rad = position_rad - then_rad
            self.velocity_rad_s[joint] = moved_rad * NS_PER_S / (stamp_ns - began_ns)
