"""A task as data: read from `config/tasks/<name>.yaml`, where every value's reason stands beside
it.

There are three kinds. Each is about one object and the place where it is wanted: a block and a bowl, a block and a
mat, a drawer's handle and where it stands when the drawer is open. So all of them share features, truth and layout.
"""

import difflib
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta

import config
from config.schema import Obstacle
from robotd.errors import ConfigError

Positive = Annotated[float, Meta(gt=0)]
Rows = Annotated[int, Meta(ge=1, le=1000)]
TableCoordinate = Annotated[float, Meta(ge=-1.0, le=1.0)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are refused in every section."""


class Start(_Section, frozen=True, kw_only=True):
    """Where an episode's object lies at first: uniform around a middle."""

    x_m: TableCoordinate
    y_m: TableCoordinate
    spread_m: Annotated[float, Meta(ge=0.0, le=0.2)]
    yaw_spread_rad: Annotated[float, Meta(ge=0.0, le=3.1416)]


class Goal(_Section, frozen=True, kw_only=True):
    """Where the object is wanted: the bowl, the mat, the handle of the open drawer (of one that
    stands in the middle of its starts)."""

    x_m: TableCoordinate
    y_m: TableCoordinate


class Success(_Section, frozen=True, kw_only=True):
    """When a row counts as done, and for how many rows it must."""

    half_width_m: Positive
    max_height_m: Positive
    gripper_open_rad: Annotated[float, Meta(ge=-0.18, le=1.74)]
    max_speed_m_s: Positive
    dwell_rows: Rows


class Opened(_Section, frozen=True, kw_only=True):
    """When a row of an open drawer counts as done, and for how many rows it must. How far it has to
    be open is the way from start to goal."""

    gripper_open_rad: Annotated[float, Meta(ge=-0.18, le=1.74)]
    max_speed_m_s: Positive
    dwell_rows: Rows


class Failure(_Section, frozen=True, kw_only=True):
    """Thresholds of the failure taxonomy of a pick and place."""

    lifted_above_m: Positive
    dropped_below_m: Positive
    peak_margin_rows: Annotated[int, Meta(ge=0, le=1000)]
    missed_within_m: Positive


class PushFailure(_Section, frozen=True, kw_only=True):
    """Thresholds of the failure taxonomy of a push."""

    moved_beyond_m: Positive
    missed_within_m: Positive


class DrawerFailure(_Section, frozen=True, kw_only=True):
    """Thresholds of the failure taxonomy of a drawer."""

    moved_beyond_m: Positive


class _Task(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    name: str
    instruction: Annotated[str, Meta(min_length=1, max_length=200)]
    things: Annotated[str, Meta(min_length=1, max_length=60)]  # that a policy may be told of
    time_limit_s: Annotated[float, Meta(gt=0, le=600)]
    start: Start
    goal: Goal
    obstacles: dict[str, Obstacle] = {}  # what stands there that the twin has to be told of


class PlaceTask(_Task, frozen=True, kw_only=True, tag="place"):
    """Lift the block and put it somewhere."""

    success: Success
    failure: Failure


class PushTask(_Task, frozen=True, kw_only=True, tag="push"):
    """Push the block somewhere."""

    success: Success
    failure: PushFailure


class DrawerTask(_Task, frozen=True, kw_only=True, tag="drawer"):
    """Open a drawer by its handle."""

    success: Opened
    failure: DrawerFailure

    @property
    def open_m(self) -> float:
        """How far it has to be open."""
        return math.hypot(self.goal.x_m - self.start.x_m, self.goal.y_m - self.start.y_m)


TaskSpec = PlaceTask | PushTask | DrawerTask
"""One task."""


def kind_of(task: TaskSpec) -> Literal["place", "push", "drawer"]:
    """Whose objects the scene of this task has (`sim.model.scene.SceneKind`)."""
    match task:
        case PlaceTask():
            return "place"
        case PushTask():
            return "push"
        case DrawerTask():
            return "drawer"


@dataclass(frozen=True, slots=True)
class ObjectPose:
    """The task's object at the begin of an episode, world frame; the yaw is from how it stands in
    the middle of its starts."""

    x_m: float
    y_m: float
    yaw_rad: float


def task_names() -> list[str]:
    """The tasks that robotd ships."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def _folder() -> Path:
    return Path(config.__file__).parent / "tasks"


def load_task(name: str) -> TaskSpec:
    """The shipped task of that name. Raises ConfigError when there is none or its file is wrong."""
    path = _folder() / f"{name}.yaml"
    known = task_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise ConfigError(
            f"There is no task named {name!r}.",
            f"Did you mean {near[0]!r}?" if near else "The name was mistyped.",
            f"Use one of: {', '.join(known)}.",
        )
    return read_task(path)


def read_task(path: Path) -> TaskSpec:
    """The task in a YAML file. Raises ConfigError naming the key that is wrong."""
    try:
        task: TaskSpec = msgspec.convert(yaml.safe_load(path.read_text()), TaskSpec)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(
            f"The task file {path.name} cannot be used: {error}.",
            "A key is missing, unknown, misspelt or out of its range.",
            f"Compare it with the shipped tasks in {Path(config.__file__).parent / 'tasks'}.",
        ) from error
    return task


def sample_pose(task: TaskSpec, seed: int) -> ObjectPose:
    """Where the object lies in episode `seed`: the same on every machine and in every version."""
    draw = random.Random(f"block-{seed}").uniform
    start = task.start
    return ObjectPose(
        x_m=start.x_m + draw(-start.spread_m, start.spread_m),
        y_m=start.y_m + draw(-start.spread_m, start.spread_m),
        yaw_rad=draw(-start.yaw_spread_rad, start.yaw_spread_rad),
    )
