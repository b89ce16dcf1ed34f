"""How well the control loop kept time over a whole run: every tick's lateness, from the ring."""

from pathlib import Path

from robotd.layouts import tick_layout
from robotd.shm import RingReader


class LoopWatch:
    """Follows the tick ring. Call `follow` at least once every half minute."""

    def __init__(self, runtime: Path, joints: int) -> None:
        self._ring = RingReader(runtime / "ticks", tick_layout(joints))
        self._next = self._ring.count
        self._late_us: list[int] = []
        self._missed_before: int | None = None
        self._missed = 0

    def follow(self) -> None:
        """Take every tick since the last call."""
        count = self._ring.count
        for index in range(self._next, count):
            record = self._ring.read(index)
            if record is None:
                continue  # overwritten: this reader came too late, the loop did nothing wrong
            self._late_us.append(int(record["late_us"]))
            self._missed = int(record["missed_ticks"])
            if self._missed_before is None:
                self._missed_before = self._missed
        self._next = count

    def close(self) -> dict[str, int]:
        """`ticks`, `missed_ticks` and `tick_p99_us`: start of a tick behind its deadline."""
        self.follow()
        self._ring.close()
        late = sorted(self._late_us) or [0]
        missed = self._missed - (self._missed_before or 0)
        p99 = late[min(len(late) - 1, int(0.99 * len(late)))]
        return {"ticks": len(self._late_us), "missed_ticks": missed, "tick_p99_us": p99}
