"""What a person says stands around the arm: boxes and cylinders on the twin's table, never moving.

The twin has no cameras and no objects of its own. A bowl's rim, a camera's foot or a wall is known to
it only because the configuration names it (`twin.obstacles`).
"""

import math
from dataclasses import dataclass
from typing import Literal

import mujoco

_CONTACT_GROUP = 3
PREFIX = "obstacle:"
"""Begins the name of every obstacle's geom."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A thing that stands still. `foot_m` [3] is the middle of its underside in the world frame;
    `size_m` [3] its width, depth and height before it is turned by `yaw_rad`. A cylinder stands
    upright, its width is its diameter. `fingers`: whether fingers may touch it as they may touch
    the table."""

    name: str
    shape: Literal["box", "cylinder"]
    foot_m: tuple[float, ...]
    size_m: tuple[float, ...]
    yaw_rad: float = 0.0
    fingers: bool = False


def add_obstacle(spec: mujoco.MjSpec, obstacle: Obstacle) -> None:
    """Put `obstacle` into the scene."""
    x, y, z = obstacle.foot_m
    width, depth, height = obstacle.size_m
    box = obstacle.shape == "box"
    spec.worldbody.add_geom(
        name=PREFIX + obstacle.name,
        type=mujoco.mjtGeom.mjGEOM_BOX if box else mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[x, y, z + height / 2.0],
        quat=[math.cos(obstacle.yaw_rad / 2.0), 0.0, 0.0, math.sin(obstacle.yaw_rad / 2.0)],
        size=[width / 2.0, depth / 2.0, height / 2.0] if box else [width / 2.0, height / 2.0, 0.0],
        group=_CONTACT_GROUP,
        rgba=[0.9, 0.4, 0.2, 0.4],
    )
