"""Clear a latched fault or e-stop, after a person has looked at the arm. Moves nothing."""

import argparse

from daemon.cli.main import add_name
from robotd.client import Robot
from robotd.messages import Clear


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        robot.request(Clear())
        print(f"Cleared. State: {robot.status().state}.")
    return 0
