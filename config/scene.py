"""What stands on the simulated table: a task's own things, and what the twin is told of them.

A twin has no eyes. The bowl or the cabinet of a task is an obstacle to it only because it is told, so another task is
other obstacles; a person's own stay.
"""

import difflib
from importlib import resources
from typing import Any

import msgspec
import yaml

from config.schema import Config, Obstacle
from robotd.errors import ConfigError


def with_task(config: Config, name: str) -> Config:
    """The simulated robot `config` with the things of the shipped task `name` on its table.

    Raises ConfigError for a task that there is not, or a robot whose body is real.
    """
    if config.simulation is None:
        raise ConfigError(
            f"{config.name} is a real arm, and {name} is a task of the simulated table.",
            "--task chooses what stands there, which on a real table a person does.",
            "Leave --task out, or add --sim.",
        )
    before = _obstacles(config.simulation.task)
    own = {key: each for key, each in config.twin.obstacles.items() if before.get(key) != each}
    twin = msgspec.structs.replace(config.twin, obstacles=own | _obstacles(name))
    simulation = msgspec.structs.replace(config.simulation, task=name)
    return msgspec.structs.replace(config, twin=twin, simulation=simulation)


def told_things(config: Config) -> str:
    """What `observation.environment_state` tells of on this robot's table, in words: `block and bowl`."""
    if config.simulation is None:
        return ""
    return str(_task(config.simulation.task)["things"])


def _obstacles(task: str) -> dict[str, Obstacle]:
    return msgspec.convert(_task(task).get("obstacles", {}), dict[str, Obstacle])


def _task(task: str) -> dict[str, Any]:
    folder = resources.files("config").joinpath("tasks")
    known = sorted(each.name.removesuffix(".yaml") for each in folder.iterdir())
    if task not in known:
        near = difflib.get_close_matches(task, known, n=1)
        raise ConfigError(
            f"There is no task named {task!r}.",
            f"Did you mean {near[0]!r}?" if near else "The name was mistyped.",
            f"Use one of: {', '.join(known)}.",
        )
    content: dict[str, Any] = yaml.safe_load(
        folder.joinpath(f"{task}.yaml").read_text(encoding="utf-8")
    )
    return content
