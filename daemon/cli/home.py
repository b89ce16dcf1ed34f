"""Move to the home pose at the parking speed, within limits."""

import argparse

from daemon.cli.main import add_json, add_name
from daemon.cli.session import printable, wait_for
from robotd.client import Robot
from robotd.messages import Home

_TIMEOUT_S = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        robot.request(Home(), timeout_s=_TIMEOUT_S)
        status = wait_for(robot, lambda s: s.state == "holding", _TIMEOUT_S, "holding")
        print(printable({"state": status.state}) if args.json else "At home, holding.")
    return 0
