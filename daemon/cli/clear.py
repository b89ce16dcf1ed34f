"""Clear a latched fault or e-stop, after a person has looked at the arm. Moves nothing."""

import argparse

from daemon.cli.main import add_json, add_name
from daemon.cli.session import printable
from robotd.client import Robot
from robotd.messages import Clear


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        robot.request(Clear())
        state = robot.status().state
        print(printable({"state": state}) if args.json else f"Cleared. State: {state}.")
    return 0
