"""When ticks are due, and when in a tick its goal leaves: absolute deadlines, a missed one is skipped
and counted, the phase is kept.

Pure, so that the rule can be tested without a loop. Catching up (bursts) would send several goals
in a row after a stall; shifting the phase (delay) would let dataset rows drift off their grid.
"""

from dataclasses import dataclass

from robotd.clock import NS_PER_MS, NS_PER_S


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


_GATE_NS = NS_PER_MS // 2
_AFTER_NS = NS_PER_MS
"""What is kept of a period for what comes after the goal: one servo's registers, and the record."""


def goal_phase_ns(read_deadline_ns: int, tick_hz: int) -> int:
    """How long after its tick's deadline a goal leaves: when no reply is waited for any more, and
    the gate has had half a millisecond.

    Sent as soon as it is known, a goal would leave with all the jitter of six replies (on the
    virtual arm's line 2 ms p99). Held until then it leaves as evenly as the ticks themselves, some
    2 ms later; the servo's own lag is 90 ms. A rate that leaves no room for that sends earlier.
    """
    return max(0, min(read_deadline_ns + _GATE_NS, NS_PER_S // tick_hz - _AFTER_NS))
