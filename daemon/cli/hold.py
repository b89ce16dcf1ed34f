"""End whatever moves the arm (leader, policy, replay, a move) and hold the pose."""

import argparse

from daemon.cli.main import add_json, add_name
from daemon.cli.session import printable
from robotd.client import Robot
from robotd.messages import Hold


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        state = robot.request(Hold())["state"]
        print(printable({"state": state}) if args.json else f"State: {state}.")
    return 0
