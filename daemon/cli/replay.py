"""Play a recorded episode on the arm, through the twin and the gate, from a soft start.

Arms after the list and one consent. Esc or q: hold. x: software stop. Says Done, with exit status
0, only when the last recorded action was played; anything else that ends it is an error.
"""

import argparse
import time
from contextlib import suppress

from daemon.cli.checkpoint import UNITS
from daemon.cli.keys import Keys
from daemon.cli.main import add_name, add_yes
from daemon.cli.session import arm_with_consent
from robotd.client import Robot
from robotd.errors import DaemonError, StateError
from robotd.messages import Hold, Replay, Status
from robotd.paths import absolute

_START_TIMEOUT_S = 30.0
_SILENT_S = 3.0  # thirty published states


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
        began = robot.request(request, timeout_s=_START_TIMEOUT_S)
        if began.get("rehearsal_do") and not robot.instance.simulated:
            print(f"  {began['rehearsal']}: {began['rehearsal_do']} shows it without the arm.")
        print(f"Replaying episode {args.episode}. q: hold, x: software stop.", flush=True)
        over = False
        try:
            with Keys() as keys:
                over = follow(robot, keys, int(began["replay"]))
        finally:
            if not over:
                with suppress(StateError):  # it was stopped meanwhile, and is nobody's
                    robot.request(Hold())
    print("Done; holding.")
    return 0


def follow(robot: Robot, keys: Keys, number: int) -> bool:
    """Watch replay `number` to its end and return True; keys stop it.

    Raises RobotdError, in three parts, when it ended in any other way.
    """
    heard_s = time.monotonic()
    while True:
        key = keys.read(timeout_s=0.1)
        if key == "estop":
            robot.estop()
        if key in ("estop", "stop"):
            raise StateError(
                "The replay was stopped before its end.",
                "A key was pressed here.",
                "Clear a software stop with robotd clear; then start the replay again.",
            )
        status = robot.watch(timeout_s=0.5)
        if status is None:
            if time.monotonic() - heard_s > _SILENT_S:
                raise DaemonError(
                    f"{robot.instance.name} has said nothing for {_SILENT_S:g} s.",
                    "The daemon ended or is stuck.",
                    "Look at the arm. Then: robotd status, robotd logs.",
                )
            continue
        heard_s = time.monotonic()
        if status.replay.number >= number and _ended(status, number):
            return True


def _ended(status: Status, number: int) -> bool:
    """Whether the replay came to its end. Raises RobotdError when it ended in another way."""
    replay = status.replay
    if status.state in ("fault", "estop"):
        raise StateError(
            f"The replay did not come to its end: {status.fault or 'software stop pressed'}.",
            status.message or "The arm stopped itself, or a person stopped it.",
            status.fault_do or "Look at the arm, then: robotd clear.",
        )
    if replay.number > number:
        raise StateError(
            "The replay did not come to its end: another one took its place.",
            "Another terminal or client uses this robot too.",
            "Look at robotd status, agree who has the robot, then try again.",
        )
    if replay.phase == "failed":
        raise StateError(replay.error, replay.likely, replay.do)
    return replay.phase == "finished" and status.state != "replay"
