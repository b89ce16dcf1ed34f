"""`bench tick --robot NAME`: the same figures on an arm that a person configured.

No process can stand on a real wire, so the goal writes are stamped by control itself, as it hands
them to the kernel, and the report says so. The arm stays where it is; only wrist_roll swings by
five degrees to each side, within the robot's own limits.
"""

import math
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from bench.goal_writes import kept_time
from bench.robotd_side import Measured, sway_about_here
from bench.turns import in_turns
from config.joints import ARM_JOINTS
from daemon.cli.session import arm_with_consent
from daemon.cli.start import start_daemon, stop_daemon
from robotd.client import Robot, running_instances
from robotd.errors import DaemonError, StateError

_WRIST_ROLL = ARM_JOINTS.index("wrist_roll")
_SWING_RAD = math.radians(5.0)

Said = Callable[[str], None]


def measure(name: str, seconds: float, yes: bool, said: Said) -> tuple[int, Measured]:
    """Start that robot's daemon, measure, stop it; returns its tick rate and the figures.

    Raises StateError without `yes`, DaemonError when a robot is running already.
    """
    if not yes:
        raise StateError(
            f"{name} would be armed and moved.",
            "A benchmark asks nobody while it runs.",
            "Clear the cell, keep the plug in reach, and run it again with --yes.",
        )
    running = running_instances()
    if running:
        raise DaemonError(
            f"A robot is running: {', '.join(running)}.",
            "The benchmark starts the daemon itself, so that it knows what else is going on.",
            f"Stop it first: robotd stop --name {next(iter(running))}.",
        )
    said(f"starting {name}")
    chosen = str(start_daemon(name, simulated=False)["name"])
    try:
        with Robot.connect(chosen) as robot, tempfile.TemporaryDirectory() as folder:
            with redirect_stdout(sys.stderr):  # the arming list, beside the result
                arm_with_consent(robot, yes=True)
            hz = robot.instance.tick_hz
            with sway_about_here(robot, (_WRIST_ROLL, _WRIST_ROLL), _SWING_RAD):
                turns = in_turns(Path(folder), robot, seconds, said, lambda _: None)
    finally:
        said("parking, letting the arm down, ending the daemon")
        stop_daemon(chosen)
    writes = turns.ticks["write_ns"][np.flatnonzero(turns.ticks["write_ns"])].astype(np.int64)
    measured = Measured(
        kept_time(writes, turns.ticks, turns.slices, hz),
        np.zeros(0, np.int64),
        turns.bare,
        turns.bare_missed,
        turns.schedulers,
        len(turns.slices),
    )
    return hz, measured
