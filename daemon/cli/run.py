"""Let a policy move the arm. Loads and warms it, arms after the list and one consent, runs.

Esc or q: hold. x: software stop. Every chunk passes the twin before its first action leaves. On a
real arm it asks when the policy was never rehearsed there (robotd rehearse).
"""

import argparse
import time

from daemon.cli.between import add_reset_seconds, set_the_scene
from daemon.cli.checkpoint import (
    add_policy_options,
    add_unrehearsed,
    consent_unrehearsed,
    load_policy,
)
from daemon.cli.keys import Keys
from daemon.cli.main import add_name, add_yes
from daemon.cli.numbers import positive_count, positive_number
from daemon.cli.operator import source
from daemon.cli.played import Played
from daemon.cli.probed import add_despite_probe, consent_probe
from daemon.cli.session import STOP_WORDS, arm_with_consent
from robotd.client import Robot
from robotd.errors import StateError
from robotd.messages import Status


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_yes(parser)
    add_policy_options(parser, required=True)
    add_unrehearsed(parser)
    add_despite_probe(parser)
    add_reset_seconds(parser)
    parser.add_argument("--task", default="", help="the instruction, for policies that read one")
    parser.add_argument("--episodes", type=positive_count, default=1)
    parser.add_argument(
        "--seconds", type=positive_number, default=30.0, help="length of an episode"
    )


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        print("Loading the policy …", flush=True)
        policy = load_policy(robot, args)
        args.despite_probe = consent_probe(policy, args)
        unrehearsed = consent_unrehearsed(robot, policy, args)
        print(STOP_WORDS)
        arm_with_consent(robot, args.yes)
        with Keys() as keys:
            for episode in range(args.episodes):
                anew = episode > 0 or robot.instance.simulated
                if anew and not set_the_scene(robot, keys, args.reset_seconds):
                    break
                if not _episode(robot, keys, episode, args, unrehearsed):
                    break
    print("Holding. robotd disarm lets the arm down.")
    return 0


def _episode(
    robot: Robot, keys: Keys, episode: int, args: argparse.Namespace, unrehearsed: bool
) -> bool:
    """Run one episode; False when the person wants no more, or somebody took the arm.

    Raises StateError when the policy failed, the arm stopped itself, or nothing moved it.
    """
    print(f"episode {episode + 1} of {args.episodes}  (q: hold, x: software stop)", flush=True)
    despite = args.despite_probe
    played = Played(args.policy)
    with source(robot, "policy", args.seconds, unrehearsed=unrehearsed, despite_probe=despite):
        began_ns = time.monotonic_ns()  # what was published before shows the arm without it
        end_s = time.monotonic() + args.seconds
        while time.monotonic() < end_s:
            key = keys.read(timeout_s=0.1)
            if key == "estop":
                robot.estop()
                return False
            if key == "stop":
                return False
            status = robot.watch(timeout_s=0.2)
            if status is None or status.stamp_ns < began_ns:
                continue
            if status.state == "policy":
                if line := played.see(status):
                    print(line, flush=True)
                continue
            raise_if_failed(status)
            print(f"  {status.state}: {status.message or 'taken over'}")
            return False
    print(played.summary())
    played.raise_if_nothing()
    return True


def raise_if_failed(status: Status) -> None:
    """Raise StateError when the arm is not the policy's because one of both failed."""
    if status.state in ("fault", "estop"):
        raise StateError(
            f"The arm went to {status.state}: {status.fault or 'software stop pressed'}.",
            status.message or "The arm stopped itself, or a person stopped it.",
            status.fault_do or "Look at the arm, then: robotd clear.",
        )
    if status.policy.phase == "failed":
        raise StateError(status.policy.error, status.policy.likely, status.policy.do)
