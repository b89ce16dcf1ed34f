"""Move to the home pose at the parking speed, within limits."""

import argparse

from daemon.cli.main import add_name
from daemon.cli.session import wait_for
from robotd.client import Robot
from robotd.messages import Home

_TIMEOUT_S = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        robot.request(Home(), timeout_s=_TIMEOUT_S)
        wait_for(robot, lambda status: status.state == "holding", _TIMEOUT_S, "holding")
        print("At home, holding.")
    return 0
