"""The options that say which policy is to be loaded and how, and the request they make."""

import argparse
from collections.abc import Callable
from typing import Any

import msgspec

from daemon.cli.session import ask
from robotd.client import Robot
from robotd.errors import CheckpointError, StateError
from robotd.messages import LoadPolicy, PolicyStatus
from robotd.paths import absolute
from robotd.policy_channel import MODES

UNITS = ("degrees", "range_m100_100")
# how chunks are played: what an evaluation may be given several values of
WAYS = ("n_action_steps", "ensemble", "gripper_bias", "gripper_clip")
_LOAD_TIMEOUT_S = 600.0


def add_policy_options(
    parser: argparse.ArgumentParser, *, required: bool, several: bool = False
) -> None:
    """`--policy` and what a checkpoint may be silent about.

    `several`: what decides how chunks are played may be given more than once, with commas between
    (`--n-action-steps 10,20`); its value is then a list, or the default where nothing was given.
    """
    kind = _several if several else _one
    parser.add_argument(
        "--policy",
        required=required,
        help="a checkpoint folder, or ws://HOST:PORT of a policy server",
    )
    parser.add_argument("--fps", type=int, help="the policy's rate, when the checkpoint is silent")
    parser.add_argument(
        "--units",
        choices=UNITS,
        default="",
        help="of the joints, where a checkpoint or dataset is silent or wrong",
    )
    parser.add_argument("--n-action-steps", type=kind(int), help="actions played of each chunk")
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="",
        help="how chunks follow one another (default: policy.mode of the configuration)",
    )
    parser.add_argument(
        "--ensemble",
        type=kind(str),
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
    parser.add_argument(
        "--embodiment",
        default="",
        metavar="NAME|FILE",
        help="the convention a Pi0 was trained in (so101, so101-radians, …), when nothing tells",
    )
    parser.add_argument(
        "--tokenizer",
        default="",
        metavar="FILE|FOLDER",
        help="PaliGemma's tokenizer for a Pi0, where it is neither beside it nor in a cache",
    )
    parser.add_argument(
        "--backend",
        choices=("torch", "jax"),
        default="",
        help="what computes a Pi0 (default: policy.backend of the configuration)",
    )
    parser.add_argument(
        "--time-scale",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="play chunks at another speed than they were trained at (0.5: half as fast)",
    )
    parser.add_argument(
        "--gripper-bias",
        type=kind(float),
        default=0.0,
        metavar="PERCENT",
        help="added to the gripper's goals (-5 grips harder)",
    )
    parser.add_argument(
        "--gripper-clip",
        type=kind(str),
        default="",
        metavar="LOW:HIGH",
        help="bounds of the gripper's goals, percent open",
    )


def _one[T](kind: Callable[[str], T]) -> Callable[[str], Any]:
    return kind


def _several[T](kind: Callable[[str], T]) -> Callable[[str], Any]:
    """Values with commas between; `none` is the empty one of words."""

    def values(text: str) -> list[T]:
        return [kind("" if word.strip() == "none" else word.strip()) for word in text.split(",")]

    values.__name__ = f"list of {kind.__name__}"  # what argparse calls a value that is none
    return values


def policy_options(args: argparse.Namespace) -> dict[str, Any]:
    """Every option of `add_policy_options`, each with one value: fields of a request that loads.

    Raises CheckpointError when one of them is nothing that can be meant.
    """
    return {**one_value_options(args), **{field: getattr(args, field) for field in WAYS}}


def one_value_options(args: argparse.Namespace) -> dict[str, Any]:
    """The same without what `several` makes lists of, which `WAYS` names."""
    return {
        "fps": args.fps,
        "units": args.units,
        "mode": args.mode,
        "rename": renames(args.rename),
        "embodiment": args.embodiment,
        "tokenizer": absolute(args.tokenizer) if args.tokenizer else "",
        "backend": args.backend,
        "time_scale": args.time_scale,
    }


def load_policy(robot: Robot, args: argparse.Namespace) -> PolicyStatus:
    """Load the policy that `args` names, and say what it is.

    Raises CheckpointError when it cannot be loaded or does not fit the robot. Moves nothing.
    """
    request = LoadPolicy(path=absolute(args.policy), task=args.task, **policy_options(args))
    loaded = msgspec.convert(robot.request(request, timeout_s=_LOAD_TIMEOUT_S), PolicyStatus)
    if not getattr(args, "json", False):
        print(
            f"  {loaded.kind} at {loaded.fps:g} fps, played as {loaded.mode}, "
            f"{loaded.n_action_steps} actions of each chunk"
        )
        if loaded.told:
            print(f"  it is told: {loaded.told}")
        for line in played_differently(loaded):
            print(f"  {line}")
    return loaded


def played_differently(loaded: PolicyStatus) -> list[str]:
    """What a person has to know before a policy moves the arm: each is one line."""
    lines = []
    if loaded.embodiment:
        lines.append(f"as {loaded.embodiment}")
    if loaded.time_scale != 1.0:
        lines.append(f"at {loaded.time_scale:g} times the speed it was trained at")
    if loaded.changed:
        lines.append(f"changed: {loaded.changed}")
    if loaded.pauses:
        lines.append(loaded.pauses)
    lines += [f"camera {difference}" for difference in loaded.camera_differences]
    if loaded.camera_do:
        lines.append(f"  do: {loaded.camera_do}")
    return lines


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
