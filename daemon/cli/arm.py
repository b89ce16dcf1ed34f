"""Run the arming list and, with consent, take the arm where it stands. --check only looks."""

import argparse
import contextlib
import sys

import msgspec

from daemon.cli.main import add_json, add_name, add_yes
from daemon.cli.session import ARMING_TIMEOUT_S, arm_with_consent, print_checks, printable
from robotd.client import Robot
from robotd.messages import Arm, Check


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_yes(parser)
    add_json(parser)
    parser.add_argument("--check", action="store_true", help="only run the list; writes nothing")


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        if args.check:
            data = robot.request(Arm(consent=False), timeout_s=ARMING_TIMEOUT_S)
            checks = msgspec.convert(data.get("checks", []), list[Check])
            if args.json:
                print(printable(data))
            else:
                print_checks(checks)
            return 1 if any(check.outcome == "fail" for check in checks) else 0
        # A program that asked for JSON gets that on stdout and nothing else.
        with contextlib.redirect_stdout(sys.stderr if args.json else sys.stdout):
            arm_with_consent(robot, args.yes)
        if args.json:
            print(printable({"state": robot.status().state}))
        else:
            print("Armed: the arm holds its pose.")
    return 0
