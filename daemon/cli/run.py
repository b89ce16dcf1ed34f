"""Let a policy move the arm. Loads and warms it, arms after the list and one consent, runs.

Esc or q: hold. x: software stop. Every chunk passes the twin before its first action leaves.
"""

import argparse
import time

from daemon.cli.keys import Keys
from daemon.cli.main import add_name, add_yes
from daemon.cli.operator import source
from daemon.cli.record import LOAD_TIMEOUT_S
from daemon.cli.session import STOP_WORDS, arm_with_consent
from robotd.client import Robot
from robotd.messages import LoadPolicy


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_yes(parser)
    parser.add_argument("--policy", required=True, help="a LeRobot pretrained_model folder")
    parser.add_argument("--task", default="", help="the instruction, for policies that read one")
    parser.add_argument("--episodes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of an episode")
    parser.add_argument("--fps", type=int, help="the policy's rate, when the checkpoint is silent")
    parser.add_argument("--n-action-steps", type=int, help="actions played of each chunk")
    parser.add_argument(
        "--ensemble", choices=("newest", "oldest"), default="", help="temporal ensembling"
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="CHECKPOINT_KEY=ROBOT_KEY",
        help="which of the robot's features a checkpoint's feature means; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    request = LoadPolicy(
        path=args.policy,
        task=args.task,
        n_action_steps=args.n_action_steps,
        fps=args.fps,
        ensemble=args.ensemble,
        rename=dict(pair.split("=", 1) for pair in args.rename if "=" in pair),
    )
    with Robot.connect(args.name) as robot:
        print("Loading the policy …", flush=True)
        loaded = robot.request(request, timeout_s=LOAD_TIMEOUT_S)
        print(f"  {loaded.get('kind', 'policy')} at {loaded.get('fps', '?')} fps. {STOP_WORDS}")
        if loaded.get("told"):
            print(f"  It is told: {loaded['told']}")
        arm_with_consent(robot, args.yes)
        with Keys() as keys:
            for episode in range(args.episodes):
                if not _episode(robot, keys, episode, args):
                    break
    print("Holding. robotd disarm lets the arm down.")
    return 0


def _episode(robot: Robot, keys: Keys, episode: int, args: argparse.Namespace) -> bool:
    """Run one episode; False when the person wants no more, or the arm went to a stop."""
    print(f"episode {episode + 1} of {args.episodes}  (q: hold, x: software stop)", flush=True)
    with source(robot, "policy"):
        end_s = time.monotonic() + args.seconds
        while time.monotonic() < end_s:
            key = keys.read(timeout_s=0.1)
            if key == "estop":
                robot.estop()
                return False
            if key == "stop":
                return False
            status = robot.watch(timeout_s=0.2)
            if status is not None and status.state != "policy":
                print(f"  {status.state}: {status.fault or status.message or 'taken over'}")
                return False
    return True
