"""Whether a checkpoint fits this robot: every input and output, by key, shape and joint name.

All that does not fit is said at once, with how to map what only has another name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from policies.border import ACTION, ENVIRONMENT, IMAGES, STATE, RobotFeatures
from policies.checkpoint.evidence import Evidence, names_differ
from policies.checkpoint.folder import read_folder
from policies.embodiment import NO_VIEW
from policies.model import Interface
from robotd.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Fit:
    """For each input of the checkpoint, the robot's key that feeds it."""

    inputs: Mapping[str, str]
    things: str = ""  # what the environment state tells of

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras the policy looks through, by the robot's names."""
        return tuple(k.removeprefix(IMAGES) for k in self.inputs.values() if k.startswith(IMAGES))

    @property
    def environment(self) -> bool:
        """Whether the policy is told the environment state."""
        return ENVIRONMENT in self.inputs.values()

    @property
    def told(self) -> str:
        """What the policy is told that a camera would have to see; empty when nothing."""
        if not self.environment:
            return ""
        things = self.things or "the task's things"
        return f"where {things} {'are' if ' and ' in things else 'is'} (environment_state)"


def fit(
    model: Interface, evidence: Evidence, robot: RobotFeatures, rename: Mapping[str, str]
) -> Fit:
    """Match the checkpoint's features with the robot's, or raise CheckpointError naming each one.

    `rename` maps a key of the checkpoint to one of the robot; camera names may stand for their
    whole keys (`front=overhead`). A model that does without a picture is shown none for `none`.
    What nobody renames has the name that the training's dataset had for it, then its own.
    """
    renamed = {_whole_key(a, model.inputs): _whole_key(b, robot.keys) for a, b in rename.items()}
    problems = [
        f"--rename {key}=…: the checkpoint has no input {key}"
        for key in renamed
        if key not in model.inputs
    ]
    trained = {k: own for k, own in model.renamed.items() if own in robot.keys}
    renamed = {**trained, **renamed}
    inputs: dict[str, str] = {}
    free = [key for key in robot.keys if key not in {renamed.get(k, k) for k in model.inputs}]
    mappable = False
    sizes: set[tuple[int, ...]] = set()  # of pictures that are of another size here
    for key, feature in model.inputs.items():
        source = renamed.get(key, key)
        any_picture = model.views_may_miss and feature.type == "VISUAL"
        if any_picture and source == NO_VIEW:
            continue  # masked on purpose
        if source not in robot.keys:
            pictures = [k for k in free if any_picture and k.startswith(IMAGES)]
            candidates = pictures or [k for k in free if robot.shape(k) == feature.shape]
            mappable = mappable or bool(candidates)
            problems.append(_missing(source, candidates))
        elif robot.shape(source) != feature.shape and not any_picture:
            problems.append(
                f"{key} has shape {feature.shape} in the checkpoint, "
                f"the robot's {source} has {robot.shape(source)}"
            )
            if feature.type == "VISUAL":
                sizes.add(feature.shape[-2:])
        else:
            inputs[key] = source
    action = model.outputs.get(ACTION)
    if action is None:
        problems.append("it has no output `action`")
    elif action.shape != (len(robot.joints),):
        problems.append(f"action has {action.shape} values, the robot {len(robot.joints)} joints")
    elif evidence.joints and (difference := names_differ(robot.joints, evidence.joints)):
        problems.append(f"action: {difference}")
    if problems:
        lines = "".join(f"\n    - {problem}" for problem in problems)
        raise CheckpointError(
            f"{model.name} does not fit this robot:{lines}",
            "It was trained on another robot, with other cameras, or under other names.",
            _what_to_do(model, free, mappable, sizes),
        )
    return Fit(inputs, robot.told_things)


def another_robots(source: str, robot: RobotFeatures) -> CheckpointError | None:
    """Why a LeRobot checkpoint that says too little cannot be this robot's, whatever is said for it.

    None where nothing shows that. Nobody is to look up rate and units for what then does not fit.
    """
    try:
        folder = read_folder(Path(source))
    except CheckpointError:
        return None  # another container: it has its own words
    action = folder.outputs.get(ACTION)
    if action is None or action.shape == (len(robot.joints),):
        return None
    return CheckpointError(
        f"{source} is of another robot: its action has {action.shape} values, this robot "
        f"{len(robot.joints)} joints.",
        "It was trained on another arm, on two, or on the poses of a gripper.",
        "Use a checkpoint trained on this robot's datasets: robotd ckpt inspect says what one is of.",
    )


def _whole_key(name: str, keys: Mapping[str, object] | tuple[str, ...]) -> str:
    return IMAGES + name if name not in keys and IMAGES + name in keys else name


def _missing(source: str, candidates: list[str]) -> str:
    if source == ENVIRONMENT:
        return (
            f"it wants {ENVIRONMENT} (it is told where the objects are), which only a simulated "
            "robot whose profile sets recording.environment_state can give"
        )
    like = f"; the robot's {' or '.join(candidates)} has that shape" if candidates else ""
    return f"it wants {source}, which this robot has not{like}"


def _what_to_do(
    model: Interface, free: list[str], mappable: bool, sizes: set[tuple[int, ...]]
) -> str:
    if mappable:
        wanted = next(k for k in model.inputs if k not in (STATE, ENVIRONMENT))
        example = next((k for k in free if k.startswith(IMAGES)), free[0])
        return (
            f"If it only has another name, map it: --rename {wanted}={example} "
            "(checkpoint_key=robot_key, once per key)."
        )
    # The plant draws pictures in any size, one for all cameras.
    drawn = ""
    if len(sizes) == 1:
        (height, width), *_ = sizes
        drawn = f" In the plant robotd eval draws them so: --picture-size {width}x{height}."
    return (
        "Use a checkpoint trained on this robot's datasets, or change cameras in the profile "
        f"to what the checkpoint was trained with (size and name).{drawn}"
    )
