"""The record screen: what a person looks at while a session runs. Leaving it changes nothing on the
robot.

Keys stand in its footer; ? lists them all. F12 is the software stop everywhere (the plug is the
emergency stop).
"""

import argparse
import os
import sys

from robotd.errors import StateError
from robotd.sound import MODES
from tui.app import main


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--name", help="which robot, when several run (or $ROBOTD_NAME)")
    parser.add_argument(
        "--ascii", action="store_true", help="plain ASCII and 16 colours (also with NO_COLOR)"
    )
    parser.add_argument(
        "--sound",
        choices=MODES,
        default="bell",
        help="what is heard of start, last seconds, kept, discarded and fault (default: bell)",
    )


def run(args: argparse.Namespace) -> int:
    """Show the screen until the person leaves. Raises StateError where no screen can be shown."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        raise StateError(
            "The record screen cannot be shown here.",
            "The output is a pipe or a file, or this is an editor's shell (TERM=dumb).",
            "Open it in a terminal of its own. Without one: robotd status, record, estop.",
        )
    main(args.name, plain=args.ascii, sound=args.sound)
    return 0
