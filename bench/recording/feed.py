"""Who feeds a recorder in `bench record`: `python -m bench.recording.feed OPTIONS`, a camera or the loop.

A camera process paints numbered pictures and appends them to its ring, each stamped with the moment
at which it was due; the loop process appends a tick record 120 times a second, whose joints say which
tick it is, and counts those it missed. Both ask for real-time priority, because a camera and a control loop do not
wait for an encoder either. On SIGTERM they leave what they did as JSON in `out`.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from bench.recording.scene import HEIGHT, WIDTH, Scene, positions
from robotd.clock import NS_PER_S
from robotd.frames import FrameRingWriter
from robotd.layouts import TICKS_KEPT, tick_layout
from robotd.shm import RingWriter
from robotd.states import Source, State, Torque

_KEPT_PICTURES = 60  # two seconds, as `daemon.camera` keeps
_JOINTS = 6


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What one feeder does. `camera` empty: the loop. Number n is due at `began_ns` + n / `hz`."""

    ring: str
    out: str
    camera: str
    hz: int
    began_ns: int
    priority: int


class Fed(msgspec.Struct, frozen=True, kw_only=True):
    """What it did: the numbers of a camera's pictures; how many ticks came, how many not."""

    numbers: list[int] = []
    ticks: int = 0
    missed: int = 0
    scheduler: str = "other"


def main() -> int:
    options = msgspec.json.decode(sys.argv[1], type=Options)
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    scheduler = "other"
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(options.priority))
        scheduler = f"fifo:{options.priority}"
    fed = _film(options, ending) if options.camera else _tick(options, ending)
    fed = msgspec.structs.replace(fed, scheduler=scheduler)
    Path(options.out).write_bytes(msgspec.json.encode(fed))
    return 0


def _film(options: Options, ending: list[int]) -> Fed:
    scene = Scene()
    ring = FrameRingWriter(Path(options.ring), WIDTH, HEIGHT, _KEPT_PICTURES)
    numbers: list[int] = []
    for number in _due(options, ending):
        ring.append(_when_ns(options, number), number, memoryview(scene.picture(number)).cast("B"))
        numbers.append(number)
    ring.close()
    return Fed(numbers=numbers)


def _tick(options: Options, ending: list[int]) -> Fed:
    layout = tick_layout(_JOINTS)
    ring = RingWriter(Path(options.ring), layout, TICKS_KEPT)
    still: dict[str, Any] = {
        field.name: 0 if field.count == 1 else [0] * field.count for field in layout.fields
    }
    still |= {"state": State.HOLDING, "torque": Torque.ON, "source": Source.NONE, "plan_index": -1}
    ticks, first, last = 0, -1, -1
    for number in _due(options, ending):
        there = positions(number)
        ring.append(
            still
            | {
                "index": number,
                "deadline_ns": _when_ns(options, number),
                "present_position_ticks": there,
                "goal_ticks": there,
            }
        )
        first, last, ticks = (number if first < 0 else first), number, ticks + 1
    ring.close()
    return Fed(ticks=ticks, missed=last - first + 1 - ticks)


def _due(options: Options, ending: list[int]) -> Any:
    """Each number at its time, until the end or until nobody is left who wants them; those whose
    time has passed are skipped."""
    number, parent = 0, os.getppid()
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    while not ending and os.getppid() == parent:
        elapsed_ns = time.monotonic_ns() - options.began_ns
        number = max(number + 1, elapsed_ns * options.hz // NS_PER_S)
        wait_ns = _when_ns(options, number) - time.monotonic_ns()
        time.sleep(max(0, wait_ns) / NS_PER_S)
        yield number


def _when_ns(options: Options, number: int) -> int:
    return options.began_ns + round(number * NS_PER_S / options.hz)


if __name__ == "__main__":
    sys.exit(main())
