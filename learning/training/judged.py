"""How the checkpoints of a run are judged: `robotd eval`, on the task and with the pictures that the
dataset has.

The best checkpoint is rarely the last, so every run ends with such a command, and `--sweep` runs it.
Only what the plant can play is judged there: its own robot, its tasks, its cameras. Of any other
dataset that is found out before the first step, not after the night.
"""

import argparse
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from config.schema import Config
from daemon.cli.numbers import picture_size
from daemon.recorder.layout import read_tasks
from learning.training.plan import PRETRAINED, TrainPlan, last_checkpoint
from learning.training.provenance import camera_setups
from policies.border import ACTION, ENVIRONMENT, IMAGES, robot_features
from policies.checkpoint.evidence import joint_names
from policies.checkpoint.folder import read_json
from robotd.errors import CheckpointError, DatasetError
from sim.tasks.spec import load_task, task_names

_SO_FOLLOWERS = ("so101_follower", "so100_follower")  # so_follower's names in older LeRobots


@dataclass(frozen=True, slots=True)
class Judged:
    """How a run's checkpoints are judged. `options` are robotd eval's in the plant; with `why_not`
    the plant cannot, and a person judges on the arm, told `instruction`."""

    instruction: str
    options: tuple[str, ...] = ()
    why_not: str = ""

    def words(self, run: str) -> str:
        """The command for a person, for the run in the folder `run`."""
        if self.why_not:
            newest = f"{run}/checkpoints/last/{PRETRAINED}"
            said = ["--policy", newest, "--task", self.instruction]
            return shlex.join(["robotd", "eval", "--arm", *said])
        return shlex.join(["robotd", *self.sweep(run, 50)])

    def sweep(self, run: str, episodes: int) -> list[str]:
        """The arguments of robotd that judge every checkpoint of the run in the plant."""
        return ["eval", "--checkpoints", run, *self.options, "--episodes", str(episodes)]


def judged(plan: TrainPlan, root: Path, plant: Config) -> Judged:
    """How checkpoints of `plan`, trained on the dataset in `root`, are judged. `plant` is the
    simulated robot. Raises CheckpointError for a dataset without info.json, or a rename_map that is none."""
    info = read_json(root / "meta/info.json")
    try:
        instructions = read_tasks(root)
    except DatasetError as error:  # it may be trained on all the same (--unchecked)
        return Judged("", why_not=error.what.rstrip("."))
    instruction = instructions[0] if instructions else ""
    tasks = {load_task(name).instruction: name for name in task_names()}
    if len(instructions) != 1:
        why = f"the dataset has {len(instructions)} instructions, and a sweep is of one task"
        return Judged(instruction, why_not=why)
    if instruction not in tasks:
        why = f"no simulated task is {instruction!r}; there are: {', '.join(map(repr, tasks))}"
        return Judged(instruction, why_not=why)
    why = _other_robot(info, plant) or _other_senses(info, plant)
    options = ["--task", tasks[instruction]]
    if not why:
        sizes = {f"{each.width}x{each.height}" for each in camera_setups(root, info).values()}
        why = _unlike_pictures(sizes)
        options += [word for size in sizes for word in ("--picture-size", size)]
    if why:
        return Judged(instruction, why_not=why)
    for key, own in _renamed(plan).items():
        options += ["--rename", f"{own}={key}"]
    return Judged(instruction, tuple(options))


def check_sweep(how: Judged, *, bundle: bool) -> None:
    """Whether `--sweep` can be done at all. Raises DatasetError before anything is trained."""
    if bundle:
        raise DatasetError(
            "--sweep judges what is trained here, and --bundle trains elsewhere.",
            "Both were said.",
            f"Leave --sweep out; when the run is copied back: {how.words('RUN')}",
        )
    if how.why_not:
        raise DatasetError(
            f"--sweep cannot judge this run: {how.why_not}.",
            "It plays each checkpoint in the plant, which has robotd's own arm, tasks and cameras.",
            f"Train without --sweep, then judge on the arm: {how.words('RUN')}",
        )


def _other_robot(info: Mapping[str, Any], plant: Config) -> str:
    kind = info.get("robot_type") or ""
    if kind and kind not in (plant.recording.robot_type, *_SO_FOLLOWERS):
        return f"the dataset is of a {kind}, and the plant is an SO-101"
    wanted = robot_features(plant).joints
    names = joint_names(info.get("features", {}).get(ACTION, {}))
    if names and names != wanted:
        return f"the dataset's joints are {', '.join(names)}, the plant's {', '.join(wanted)}"
    return ""


def _other_senses(info: Mapping[str, Any], plant: Config) -> str:
    """What a policy learns from every row and would not get in the plant."""
    robot = robot_features(plant)
    features: Mapping[str, Mapping[str, Any]] = info.get("features", {})
    lacking = [
        key.removeprefix(IMAGES)
        for key in features
        if key.startswith("observation.") and key not in robot.keys
    ]
    if lacking:
        return f"the plant has no {', no '.join(lacking)} (its cameras: {', '.join(robot.cameras)})"
    told = features.get(ENVIRONMENT)
    if told is not None and tuple(told["shape"]) != robot.shape(ENVIRONMENT):
        return f"the dataset tells {told['shape'][0]} numbers of the table, the plant 7"
    return ""


def _unlike_pictures(sizes: set[str]) -> str:
    if len(sizes) > 1:
        return f"its cameras have several sizes ({', '.join(sorted(sizes))}), the plant's have one"
    for size in sizes:
        try:
            picture_size(size)
        except argparse.ArgumentTypeError as error:
            return str(error)
    return ""


def _renamed(plan: TrainPlan) -> dict[str, str]:
    """The dataset's keys that the policy knows by other names (LeRobot's `rename_map`). Raises
    CheckpointError for what is no table."""
    if "rename_map" in plan.options:
        try:
            said = yaml.safe_load(plan.options["rename_map"])  # as LeRobot's own parser does
        except yaml.YAMLError as error:
            raise CheckpointError(
                "--set rename_map=… is no table of names.",
                "A quote or a bracket is missing.",
                'Write it like --set \'rename_map={"observation.images.overhead": '
                '"observation.images.camera1"}\'.',
            ) from error
    elif plan.resume:
        noted = json.loads((last_checkpoint(plan.output) / "train_config.json").read_text())
        said = noted.get("rename_map")
    else:
        said = None
    return {str(key): str(own) for key, own in said.items()} if isinstance(said, dict) else {}
