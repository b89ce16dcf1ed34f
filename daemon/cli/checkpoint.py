"""The options that say which policy is to be loaded and how, and the request they make."""

import argparse

from robotd.client import Robot
from robotd.errors import CheckpointError
from robotd.messages import LoadPolicy
from robotd.paths import absolute

UNITS = ("degrees", "range_m100_100")
_LOAD_TIMEOUT_S = 180.0


def add_policy_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """`--policy` and what a checkpoint may be silent about."""
    parser.add_argument("--policy", required=required, help="a LeRobot pretrained_model folder")
    parser.add_argument("--fps", type=int, help="the policy's rate, when the checkpoint is silent")
    parser.add_argument(
        "--units",
        choices=UNITS,
        default="",
        help="of the joints, when a checkpoint or dataset is silent",
    )
    parser.add_argument("--n-action-steps", type=int, help="actions played of each chunk")
    parser.add_argument(
        "--ensemble",
        default="",
        metavar="newest|oldest[:COEFFICIENT]",
        help="temporal ensembling: which chunk counts most",
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="CHECKPOINT_KEY=ROBOT_KEY",
        help="which of the robot's features a checkpoint's feature means; may be repeated",
    )


def load_policy(robot: Robot, args: argparse.Namespace) -> None:
    """Load the policy that `args` names, and say what it is.

    Raises CheckpointError when it cannot be loaded or does not fit the robot. Moves nothing.
    """
    request = LoadPolicy(
        path=absolute(args.policy),
        task=args.task,
        n_action_steps=args.n_action_steps,
        fps=args.fps,
        units=args.units,
        ensemble=args.ensemble,
        rename=renames(args.rename),
    )
    loaded = robot.request(request, timeout_s=_LOAD_TIMEOUT_S)
    if not getattr(args, "json", False):
        print(f"  {loaded.get('kind', 'policy')} at {loaded.get('fps', '?')} fps")
        if loaded.get("told"):
            print(f"  it is told: {loaded['told']}")


def renames(pairs: list[str]) -> dict[str, str]:
    """`--rename A=B` as a table. Raises CheckpointError for what is no such pair."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not (key and sign and value):
            raise CheckpointError(
                f"--rename {pair} says nothing.",
                "It needs the checkpoint's name, an equals sign and the robot's name.",
                "Write it like --rename observation.images.top=observation.images.overhead",
            )
        found[key] = value
    return found
