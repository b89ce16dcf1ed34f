"""`robotd bench WHAT …`: one benchmark a run, JSON on request, every ratio from the same run.

One that is asked to end (Ctrl-C, SIGTERM, SIGHUP) ends as it does on an error: its processes are stopped and its
folders, some of them in memory, are gone. `robotd bench WHAT --help` tells more.
"""

# A benchmark is a line in `BENCHMARKS`; its module has `configure(parser)` and `run(args) -> int`, imports what is
# heavy in `run`, and says in its docstring what its --help says.

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from robotd.commands import add_verbs, run_verb

BENCHMARKS: dict[str, tuple[str, str]] = {
    "preflight": ("what the twin catches, what it refuses, how long it takes", "bench.preflight"),
    "tick": ("how well the loop keeps time, beside a bare loop and LeRobot", "bench.tick"),
    "bus": ("reading six servos: the own bus, the SDK of the vendor, rustypot", "bench.bus"),
    "record": ("what becomes of every picture, beside LeRobot's dataset writer", "bench.record"),
    "pace": ("fifty episodes in a row at the keys: what is lost between them", "bench.pace"),
    "soak": ("half an hour of work: memory, descriptors, missed ticks", "bench.soak"),
    "protection": ("false alarms of protection, and what it catches", "bench.protection"),
    "scale": ("hundreds of episodes in one dataset: saving, opening, compact", "bench.scale"),
    "crash": ("kills, power losses and failing disks: is anything saved lost?", "bench.crash"),
    "uploads": ("hub faults and kills: is anything missing, doubled, tagged?", "bench.uploads"),
    "probe": ("faults planted into checkpoints: does the probe name them?", "bench.probe"),
    "policy": ("stalls and jumps at chunk seams, and what a chunk costs", "bench.policy"),
    "page": ("put results into the page of the docs", "bench.page"),
}
"""Name -> (summary, module)."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_verbs(parser, BENCHMARKS, "WHAT")


def run(args: argparse.Namespace) -> int:
    with _ending_in_order():
        return run_verb(args)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise SystemExit with the status that a shell gives them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
