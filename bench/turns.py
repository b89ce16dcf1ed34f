"""A running daemon and a bare loop, measured in turns. See `bench.bare` for why in turns."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import bare
from bench.bare import Slices
from bench.figures import Spread
from bench.goal_writes import Ticks
from bench.rig import BARE_PRIORITY, helper, sleep_until_ns
from bench.ticklog import TickLog
from robotd.client import Robot
from robotd.clock import NS_PER_S
from robotd.errors import DaemonError
from robotd.states import State

Said = Callable[[str], None]

_SLICE_S = 5.0
_LEAD_S = 2.0  # from the start of the load to the first slice
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Turns:
    """The daemon's ticks with the slices in which they count, and the bare loop's figures."""

    ticks: Ticks
    slices: Slices
    bare: Spread
    bare_missed: int
    schedulers: dict[str, str]


def in_turns(
    folder: Path, robot: Robot, seconds: float, said: Said, between: Callable[[int], None]
) -> Turns:
    """Measure the daemon of `robot`, which is at its work already, and a bare loop at its rate, for
    `seconds` each. `between(k)` is called after the daemon's k-th slice.

    Raises DaemonError when the arm did not move all the time.
    """
    hz = robot.instance.tick_hz
    obtained = json.loads((robot.runtime / "realtime.json").read_bytes())
    out = folder / "bare.json"
    log = TickLog(robot.runtime, len(robot.instance.joints))
    try:
        start_ns = time.monotonic_ns() + round(_LEAD_S * NS_PER_S)
        ours, theirs = bare.alternate(start_ns, seconds, slice_s(seconds))
        arguments = ["--hz", str(hz), "--priority", str(BARE_PRIORITY), "--out", str(out)]
        if obtained["cpu"] is not None:
            arguments += ["--cpu", str(obtained["cpu"])]
        with helper(folder, "bench.bare", [*arguments, "--slices", json.dumps(theirs)]) as loop:
            scheduler = loop.ready()
            for number, (_, end_ns) in enumerate(ours):
                said(f"measuring, slice {number + 1} of {len(ours)}, then the bare loop")
                sleep_until_ns(end_ns)
                between(number)
            sleep_until_ns(theirs[-1][1])
            loop.finish(_PATIENCE_S)
    finally:
        log.stop()
    ticks = log.close()
    _check_moved(ticks, ours)
    stamped = json.loads(out.read_text())
    return Turns(
        ticks,
        ours,
        bare.judge(np.asarray(stamped["stamps"], np.int64), theirs, hz),
        int(stamped["missed"]),
        {"control": str(obtained["scheduler"]), "bare": scheduler},
    )


def slice_s(seconds: float) -> float:
    """How long one slice is: five seconds, or a third of a short run."""
    return min(_SLICE_S, max(1.0, seconds / 3))


def _check_moved(ticks: Ticks, slices: Slices) -> None:
    """Raise DaemonError unless somebody's goals moved the arm in every tick of the slices."""
    for begin, end in slices:
        inside = ticks[(ticks["deadline_ns"] >= begin) & (ticks["deadline_ns"] < end)]
        states = {State(int(state)) for state in np.unique(inside["state"])}
        still = [state.name.lower() for state in states if not state.moving]
        if still or not len(inside):
            raise DaemonError(
                f"The arm did not move all the time: {', '.join(still) or 'no tick was seen'}.",
                "Something took the arm from the benchmark, or a limit or fault stopped it.",
                "Run it again; if it stays so, make the same motion by hand and look at "
                "robotd status.",
            )
