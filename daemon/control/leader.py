"""A leader arm: read every tick, never written. A person's hand moves it."""

from collections.abc import Mapping

from daemon.control.arm import JOINTS, SERVO_IDS
from daemon.control.belief import Belief
from daemon.control.link import BusLink
from drivers.bus import Telemetry
from drivers.joint_map import JointMap


class LeaderArm:
    """The newest pose of a leader, in the follower's model frame."""

    def __init__(self, name: str, link: BusLink, joint_map: JointMap) -> None:
        self.name = name
        self.link = link
        self.joint_map = joint_map
        self.position_rad = [0.0] * JOINTS
        self.lost = [0] * JOINTS  # replies that did not come in time
        self._ticks = [0] * JOINTS
        self._stamps_ns = [-1] * JOINTS
        self._beliefs = [Belief() for _ in SERVO_IDS]

    @property
    def seen(self) -> bool:
        """Whether every servo has answered at least once."""
        return min(self._stamps_ns) >= 0

    def take(self, answers: Mapping[int, Telemetry | None]) -> bool:
        """Take one tick's answers; returns whether every servo told a position to go by."""
        complete = True
        for joint, servo in enumerate(SERVO_IDS):
            reading = answers.get(servo)
            if reading is None:
                complete = False
                self.lost[joint] += 1
                continue
            if not self._beliefs[joint].judge(reading.position_ticks, reading.stamp_ns):
                complete = False  # its stamp grows old, and the follower holds
                continue
            self._ticks[joint] = reading.position_ticks
            self._stamps_ns[joint] = reading.stamp_ns
        if self.seen:
            self.position_rad = self.joint_map.pose_rad(self._ticks)
        return complete

    def missed_all(self) -> None:
        """No answer: the stamps simply grow old."""

    def age_ns(self, now_ns: int) -> int:
        """Age of the oldest joint; -1 before every servo has answered."""
        return now_ns - min(self._stamps_ns) if self.seen else -1
