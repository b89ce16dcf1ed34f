"""Play a recorded episode on the arm, through the twin and the gate, from a soft start.

Arms after the list and one consent. Esc or q: hold. x: software stop.
"""

import argparse

from daemon.cli.checkpoint import UNITS, absolute
from daemon.cli.keys import Keys
from daemon.cli.main import add_name, add_yes
from daemon.cli.session import arm_with_consent
from robotd.client import Robot
from robotd.messages import Hold, Replay

_START_TIMEOUT_S = 30.0


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_yes(parser)
    parser.add_argument("dataset", help="owner/name, or a folder")
    parser.add_argument("--episode", type=int, required=True)
    parser.add_argument("--fps", type=int, help="play at another rate than it was recorded at")
    parser.add_argument(
        "--units", choices=UNITS, default="", help="of its actions, when the dataset is silent"
    )


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        arm_with_consent(robot, args.yes)
        request = Replay(
            dataset=absolute(args.dataset), episode=args.episode, fps=args.fps, units=args.units
        )
        robot.request(request, timeout_s=_START_TIMEOUT_S)
        print(f"Replaying episode {args.episode}. q: hold, x: software stop.", flush=True)
        with Keys() as keys:
            started = False
            while True:
                key = keys.read(timeout_s=0.1)
                if key == "estop":
                    robot.estop()
                    return 1
                if key == "stop":
                    robot.request(Hold())
                    break
                status = robot.watch(timeout_s=0.5)
                if status is None:
                    continue
                started = started or status.state == "replay"
                if started and status.state != "replay":
                    if status.state != "holding":
                        print(f"{status.state}: {status.fault or status.message}")
                        return 1
                    break
    print("Done; holding.")
    return 0
