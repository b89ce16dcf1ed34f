"""A task as data: read from `config/tasks/<name>.yaml`, where every value's reason stands beside
it."""

import difflib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import yaml
from msgspec import Meta

import config
from robotd.errors import ConfigError

Positive = Annotated[float, Meta(gt=0)]
Rows = Annotated[int, Meta(ge=1, le=1000)]
TableCoordinate = Annotated[float, Meta(ge=-1.0, le=1.0)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are refused in every section."""


class BlockStart(_Section, frozen=True, kw_only=True):
    """Where an episode's block lies at first: uniform around a middle."""

    x_m: TableCoordinate
    y_m: TableCoordinate
    spread_m: Annotated[float, Meta(ge=0.0, le=0.2)]
    yaw_spread_rad: Annotated[float, Meta(ge=0.0, le=3.1416)]


class Goal(_Section, frozen=True, kw_only=True):
    """Where the bowl stands."""

    x_m: TableCoordinate
    y_m: TableCoordinate


class Success(_Section, frozen=True, kw_only=True):
    """When a row counts as done, and for how many rows it must."""

    half_width_m: Positive
    max_height_m: Positive
    gripper_open_rad: Annotated[float, Meta(ge=-0.17, le=1.74)]
    max_speed_m_s: Positive
    dwell_rows: Rows


class Failure(_Section, frozen=True, kw_only=True):
    """Thresholds of the failure taxonomy."""

    lifted_above_m: Positive
    dropped_below_m: Positive
    peak_margin_rows: Annotated[int, Meta(ge=0, le=1000)]
    missed_within_m: Positive


class TaskSpec(_Section, frozen=True, kw_only=True):
    """One pick-and-place task."""

    name: str
    instruction: Annotated[str, Meta(min_length=1, max_length=200)]
    time_limit_s: Annotated[float, Meta(gt=0, le=600)]
    block: BlockStart
    goal: Goal
    success: Success
    failure: Failure


@dataclass(frozen=True, slots=True)
class BlockPose:
    """A block lying on the table, world frame."""

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
        return msgspec.convert(yaml.safe_load(path.read_text()), TaskSpec)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ConfigError(
            f"The task file {path.name} cannot be used: {error}.",
            "A key is missing, unknown, misspelt or out of its range.",
            f"Compare it with the shipped tasks in {Path(config.__file__).parent / 'tasks'}.",
        ) from error


def sample_block_pose(task: TaskSpec, seed: int) -> BlockPose:
    """The block's start in episode `seed`: the same on every machine and in every version."""
    draw = random.Random(f"{task.name}-block-{seed}").uniform
    start = task.block
    return BlockPose(
        x_m=start.x_m + draw(-start.spread_m, start.spread_m),
        y_m=start.y_m + draw(-start.spread_m, start.spread_m),
        yaw_rad=draw(-start.yaw_spread_rad, start.yaw_spread_rad),
    )
