"""Park where the twin sees the way clear, then let the arm down slowly."""

import argparse

from daemon.cli.main import add_json, add_name
from daemon.cli.session import printable, wait_for
from robotd.client import Robot
from robotd.messages import Disarm

_TIMEOUT_S = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_json(parser)
    parser.add_argument("--in-place", action="store_true", help="do not park first")


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        robot.request(Disarm(in_place=args.in_place), timeout_s=_TIMEOUT_S)
        status = wait_for(robot, lambda s: s.state == "disarmed", _TIMEOUT_S, "disarmed")
        if args.json:
            print(printable({"state": status.state, "torque": status.torque}))
        else:
            print(f"The arm is down, torque {status.torque}.")
    return 0
