"""When ticks are due: absolute deadlines, a missed one is skipped and counted, the phase is kept.

Pure, so that the rule can be tested without a loop. Catching up (bursts) would send several goals
in a row after a stall; shifting the phase (delay) would let dataset rows drift off their grid.
"""

from dataclasses import dataclass

from robotd.clock import NS_PER_S


@dataclass(frozen=True, slots=True)
class Schedule:
    """Tick k is due at `start_ns + k / tick_hz`, rounded down; exact over any time."""

    start_ns: int
    tick_hz: int

    def deadline_ns(self, index: int) -> int:
        """When tick `index` is due."""
        return self.start_ns + index * NS_PER_S // self.tick_hz

    def next_index(self, done: int, now_ns: int) -> int:
        """The tick to run after `done`: the next one, or the next still ahead when some were
        missed. One that is due this very moment, or late by less than a period, still counts."""
        latest_due = (now_ns - self.start_ns) * self.tick_hz // NS_PER_S
        return max(done + 1, latest_due)


def missed_between(done: int, upcoming: int) -> int:
    """How many ticks were skipped between two that ran."""
    return max(0, upcoming - done - 1)
