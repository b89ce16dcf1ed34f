"""Move the arm: with a leader arm, from the keyboard (opens the TUI), or by the scripted operator.

Arms the arm first, after the list and one consent. Ends with Esc, q or Ctrl-C: the arm holds.
"""

import argparse
import sys
import time
from collections.abc import Callable

from daemon.cli.keys import Keys
from daemon.cli.main import add_name, add_yes
from daemon.cli.numbers import positive_number
from daemon.cli.operator import SOURCES, source
from daemon.cli.session import STOP_WORDS, arm_with_consent
from daemon.cli.tui import open_tui
from robotd.client import Robot


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_yes(parser)
    parser.add_argument("--source", required=True, choices=SOURCES)
    parser.add_argument("--seconds", type=positive_number, help="end after this long")


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        arm_with_consent(robot, args.yes)
        if args.source == "keyboard":
            return open_tui(robot.instance.name)
        with Keys() as keys, source(robot, args.source) as finished:
            print(f"The arm follows the {args.source}. Esc or q: hold. x: software stop.")
            print(STOP_WORDS)
            _watch(robot, keys, finished, args.seconds)
        print("Holding. robotd disarm lets the arm down.")
    return 0


def _watch(robot: Robot, keys: Keys, finished: Callable[[], bool], seconds: float | None) -> None:
    end_s = time.monotonic() + (seconds or float("inf"))
    while time.monotonic() < end_s and not finished():
        key = keys.read(timeout_s=0.1)
        if key == "estop":
            robot.estop()
            return
        if key == "stop":
            return
        status = robot.watch(timeout_s=0.2)
        if status is None:
            continue
        if status.state != "teleop":
            print(f"\n{status.state}: {status.fault or status.message}")
            return
        limited = {j.name: j.limited_by for j in status.joints if j.limited_by}
        said = "; ".join(f"{name} limited by {why}" for name, why in limited.items())
        if sys.stdout.isatty():
            print(f"\r\x1b[K{status.state}  {said}", end="", flush=True)
