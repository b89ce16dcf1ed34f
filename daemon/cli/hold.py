"""End whatever moves the arm (leader, policy, replay, a move) and hold the pose."""

import argparse

from daemon.cli.main import add_name
from robotd.client import Robot
from robotd.messages import Hold


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        print(f"State: {robot.request(Hold())['state']}.")
    return 0
