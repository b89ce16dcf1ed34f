"""A bare loop: what this machine can do at best, for the control loop to be compared with.

`python -m bench.bare --hz N --priority P [--cpu C] --slices JSON --out FILE` does in each slice of time what
control does, less all work: it asks for the same scheduler and core, locks its memory, freezes the garbage
collector, sleeps to the same absolute deadlines by the same clock and stamps. Prints READY with the
scheduler it got.

The slices lie between those in which robotd is measured, with the same daemon at the same work the
whole time: beside it, both would wait for each other; half a minute later, the host may be another
one. It runs at a priority just above control's, because a loop that waits for control would make
control look good. So it sees the machine as control does: with nobody of its own kind in the way.
"""

import argparse
import json
import sys
from array import array
from pathlib import Path

import numpy as np

from bench.figures import Spread, Stamps, period_errors_ns, spread, within
from daemon.control import realtime
from daemon.control.timing import Schedule, missed_between
from robotd.clock import NS_PER_S, Clock, MonotonicClock

Slices = tuple[tuple[int, int], ...]
"""Begin and end of each slice of time, monotonic ns."""


def alternate(start_ns: int, seconds: float, slice_s: float) -> tuple[Slices, Slices]:
    """Slices for robotd and for the bare loop in turns, each `seconds` in all."""
    count = max(1, round(seconds / slice_s))
    length_ns = round(seconds * NS_PER_S / count)
    begins = [start_ns + 2 * k * length_ns for k in range(count)]
    ours = tuple((begin, begin + length_ns) for begin in begins)
    bare = tuple((begin + length_ns, begin + 2 * length_ns) for begin in begins)
    return ours, bare


def loop(slices: Slices, hz: int, clock: Clock, stamps: array[int]) -> int:
    """Stamp every deadline of every slice; returns how many were skipped."""
    missed = 0
    for begin_ns, end_ns in slices:
        schedule = Schedule(begin_ns, hz)
        index = 0
        while (deadline_ns := schedule.deadline_ns(index)) < end_ns:
            clock.sleep_until_ns(deadline_ns)
            now_ns = clock.now_ns()
            stamps.append(now_ns)
            following = schedule.next_index(index, now_ns)
            missed += missed_between(index, following)
            index = following
    return missed


def judge(stamps: Stamps, slices: Slices, hz: int) -> Spread:
    """The period errors within the slices."""
    errors = [period_errors_ns(within(stamps, begin, end), NS_PER_S / hz) for begin, end in slices]
    return spread(np.concatenate(errors) if errors else [])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=__doc__)
    parser.add_argument("--hz", type=int, required=True)
    parser.add_argument("--priority", type=int, required=True)
    parser.add_argument("--cpu", type=int, help="the core that control has, if it has one")
    parser.add_argument("--slices", required=True, help="[[begin_ns, end_ns], …]")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    slices: Slices = tuple((int(a), int(b)) for a, b in json.loads(arguments.slices))
    obtained = realtime.take(arguments.priority, arguments.cpu)
    realtime.freeze_garbage_collector()
    sys.stdout.write(f"READY {obtained.scheduler}\n")
    sys.stdout.flush()
    stamps: array[int] = array("q")
    missed = loop(slices, arguments.hz, MonotonicClock(), stamps)
    partial = arguments.out.with_name(f".{arguments.out.name}")
    partial.write_text(json.dumps({"missed": missed, "stamps": stamps.tolist()}))
    partial.replace(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
