"""The options that say which policy is to be loaded and how, and the request they make."""

import argparse

import msgspec

from daemon.cli.session import ask
from robotd.client import Robot
from robotd.errors import CheckpointError, StateError
from robotd.messages import LoadPolicy, PolicyStatus
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


def load_policy(robot: Robot, args: argparse.Namespace) -> PolicyStatus:
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
    loaded = msgspec.convert(robot.request(request, timeout_s=_LOAD_TIMEOUT_S), PolicyStatus)
    if not getattr(args, "json", False):
        print(f"  {loaded.kind} at {loaded.fps:g} fps")
        if loaded.told:
            print(f"  it is told: {loaded.told}")
    return loaded


def add_unrehearsed(parser: argparse.ArgumentParser) -> None:
    """The option that takes a policy as it is."""
    parser.add_argument(
        "--unrehearsed",
        action="store_true",
        help="let it move a real arm though no rehearsal on it ended well; --yes does not say so",
    )


def consent_unrehearsed(robot: Robot, policy: PolicyStatus, args: argparse.Namespace) -> bool:
    """Whether a policy without a good rehearsal may move this arm; asks where it matters.

    A simulated robot and a rehearsed policy need no such consent: False. Raises StateError when it
    was not given, or nobody can be asked.
    """
    if robot.instance.simulated or policy.rehearsed:
        return False
    if args.unrehearsed:
        return True
    print(f"This policy on {robot.instance.name}: {policy.rehearsal}.")
    print(f"  {policy.rehearsal_do} shows what it would do and moves nothing.")
    if not args.yes and ask("Let it move the arm unrehearsed?"):
        return True
    raise StateError(
        f"The policy was not started: {policy.rehearsal}.",
        "It is new here, its rehearsal failed, or checkpoint, calibration or limits changed since.",
        f"{policy.rehearsal_do}; or say that you take it as it is: --unrehearsed.",
    )


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
