"""Park where the way is clear, let the arm down slowly, close every file, end the daemon."""

import argparse
import time

from daemon.cli.main import add_name
from robotd.client import Robot, running_instances
from robotd.errors import DaemonError
from robotd.messages import Shutdown


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    parser.add_argument("--timeout", type=float, default=90.0, help="seconds to wait")


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        name = robot.instance.name
        robot.request(Shutdown(), timeout_s=args.timeout)
    deadline_s = time.monotonic() + args.timeout
    while name in running_instances():
        if time.monotonic() > deadline_s:
            raise DaemonError(
                f"{name} has not ended after {args.timeout:g} s.",
                "The arm is being parked, or a process hangs.",
                "Look: robotd status, robotd logs.",
            )
        time.sleep(0.05)
    print(f"{name} has stopped; the arm is down.")
    return 0
