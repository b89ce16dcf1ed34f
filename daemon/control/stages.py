"""What the parts of a tick take and what the line loses, counted since the loop began.

Per stage a histogram in one fixed array, so that a tick allocates nothing that stays and the whole
of it is published by copying bytes. What each stage is, in microseconds:

- `late`: from the tick's deadline to its beginning.
- `read`: hearing requests, asking every servo and waiting for the replies.
- `gate`: judging, deciding, the limits.
- `write`: the goal, or what arming and letting down write. A goal waits for its moment of the tick
  before that (`daemon.control.timing.goal_phase_ns`), and that wait counts nowhere.
- `read_back`: torque and limit read back from one servo, in the ticks that do it.
- `publish`: everything after that, the tick's record above all.
- `work`: from the tick's beginning to its end, without that wait.
- `period`: from the moment a goal may leave to the same moment of the next tick.

Ticks of the arming list are left out: looking at registers takes whole ticks on purpose, nothing
moves then, and their times would hide for ever what the loop does when it matters.
"""

from array import array
from collections.abc import Mapping, Sequence

from daemon.control.arm import JOINTS, FollowerArm
from daemon.control.leader import LeaderArm
from robotd.histogram import CELLS, Histogram
from robotd.layouts import STAGES, timing_layout

PUBLISH_HZ = 4
_STAMP, _TICKS, _MISSED, _COASTED, _REOPENED, _LOST = range(6)


class StageTimes:
    """The timing of one control process. `took` is called once a tick, at its end."""

    def __init__(
        self, arms: Sequence[FollowerArm], leaders: Sequence[LeaderArm], tick_hz: int
    ) -> None:
        self._arms = arms
        self._links = [*(arm.link for arm in arms), *(leader.link for leader in leaders)]
        self._every = max(1, tick_hz // PUBLISH_HZ)
        joints = JOINTS * len(arms)
        places = [arm.name for arm in arms]
        self._leaders = [(_LOST + joints + JOINTS * places.index(o.name), o) for o in leaders]
        first = _LOST + 2 * joints
        self._cells = array("Q", bytes(timing_layout(joints).size))
        whole = memoryview(self._cells)
        self.histograms: Mapping[str, Histogram] = {
            stage: Histogram(whole[first + k * CELLS : first + (k + 1) * CELLS])
            for k, stage in enumerate(STAGES)
        }
        each = self.histograms
        self._late, self._read, self._gate = each["late"], each["read"], each["gate"]
        self._write, self._back, self._publish = each["write"], each["read_back"], each["publish"]
        self._work, self._period = each["work"], each["period"]
        self._goal_ns = 0

    @property
    def due(self) -> bool:
        """Whether this tick publishes them: a few times a second."""
        return self._cells[_TICKS] % self._every == 0

    def packed(self, now_ns: int, missed: int) -> bytes:
        """The record for `robotd.layouts.timing_layout`, up to the tick before."""
        self._cells[_STAMP] = now_ns
        self._cells[_MISSED] = missed
        for at, leader in self._leaders:
            for joint, lost in enumerate(leader.lost):
                self._cells[at + joint] = lost
        self._cells[_REOPENED] = sum(max(0, link.opened - 1) for link in self._links)
        return self._cells.tobytes()

    def took(
        self,
        *,
        deadline_ns: int,
        began_ns: int,
        read_ns: int,
        gated_ns: int,
        waited_ns: int,
        written_ns: int,
        back_ns: int,
        ended_ns: int,
        complete: bool,
        looking: bool,
    ) -> None:
        """Count one tick by the stamps between its stages.

        `waited_ns` is when the goal's moment had come, `gated_ns` where none was waited for;
        `back_ns` is `written_ns` where no servo was read back; `looking`: a step of the arming list
        was done; `complete`: every follower servo answered.
        """
        self._cells[_TICKS] += 1
        if not complete:
            self._missing()
        if looking:
            self._goal_ns = 0
            return
        self._read.add((read_ns - began_ns) // 1000)
        self._gate.add((gated_ns - read_ns) // 1000)
        self._write.add((written_ns - waited_ns) // 1000)
        if back_ns != written_ns:
            self._back.add((back_ns - written_ns) // 1000)
        self._publish.add((ended_ns - back_ns) // 1000)
        self._work.add((ended_ns - began_ns - (waited_ns - gated_ns)) // 1000)
        if self._goal_ns:  # the first tick, and the first after a look, owe their lateness to that
            self._late.add((began_ns - deadline_ns) // 1000)
            self._period.add((written_ns - self._goal_ns) // 1000)
        self._goal_ns = written_ns

    def words(self) -> str:
        """How the loop kept time, in one line for the log."""
        cells = self._cells
        parts = [
            f"{stage} {h.percentile(0.5):.0f}/{h.percentile(0.99):.0f}/{h.percentile(0.999):.0f}"
            f"/{h.maximum}"
            for stage, h in self.histograms.items()
        ]
        return f"{cells[_TICKS]} ticks, {cells[_MISSED]} missed; p50/p99/p99.9/max in us: " + (
            ", ".join(parts)
        )

    def _missing(self) -> None:
        """A servo's value is not new. A reply is lost only where somebody could have answered: an
        unplugged adapter loses none, and a value that never came stands in for nothing."""
        coasted = False
        for number, arm in enumerate(self._arms):
            asked = arm.link.bus is not None
            for joint, misses in enumerate(arm.misses):
                if misses:
                    self._cells[_LOST + number * JOINTS + joint] += asked
                if misses or arm.beliefs[joint].doubts:
                    coasted |= arm.telemetry[joint] is not None
        self._cells[_COASTED] += coasted
