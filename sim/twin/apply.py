"""One way to put a pose or a plan on the model: for pre-flight, mirror, whiskers and offline views.

A plan is a list of goals; where the arm will be is another thing, because a servo trails its goal and sags under the
arm's weight. `TwinBody.follow` is that difference, in one place: a first-order lag behind the goal, less the sag that
gravity asks for at LeRobot's gains. Objects are not part of it: the twin knows the arms, the table and what the
configuration says stands around them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from config.schema import Config
from sim.model.parameters import FRICTION_NM
from sim.model.scene import (
    ArmPlacement,
    Obstacle,
    SceneIndex,
    SceneOptions,
    build,
    scene_index,
)
from sim.twin.drive import DRIVES, Drive, gains_nm_per_rad, lags_s

Vector = npt.NDArray[np.float64]

BACKLASH_RAD = math.radians(0.4)
"""Half of the play of a geared joint: 0.87-1.3 degrees were measured (servo-and-twin facts 3.1), 0.5 are specified.
With friction it is the band around goal and sag in which a joint stays where it is (`band_rad`: 1.9 degrees)."""


def placements(config: Config) -> tuple[ArmPlacement, ...]:
    """Where the configured arms stand, as the model wants it. One arm carries no prefix."""
    names = list(config.arms)
    return tuple(
        ArmPlacement(
            prefix="" if len(names) == 1 else f"{name}_",
            x_m=arm.base_xyz_m[0],
            y_m=arm.base_xyz_m[1],
            yaw_rad=math.radians(arm.base_yaw_deg),
        )
        for name, arm in config.arms.items()
    )


def obstacles(config: Config) -> tuple[Obstacle, ...]:
    """What the configuration says stands around the arms, as the model wants it."""
    return tuple(
        Obstacle(
            name=name,
            shape=each.shape,
            foot_m=each.foot_m,
            size_m=each.size_m,
            yaw_rad=math.radians(each.yaw_deg),
            fingers=each.fingers,
        )
        for name, each in config.twin.obstacles.items()
    )


def apply_position(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    index: SceneIndex,
    position_rad: Sequence[float] | Vector,
) -> None:
    """Put all arms' joints (float [6 * arms], bus order, arm after arm) on the model and derive its geometry."""
    data.qpos[index.qpos] = position_rad
    mujoco.mj_kinematics(model, data)


@dataclass(frozen=True, slots=True)
class FollowState:
    """Where the followed model stands: joint angles without sag [n], and what the real arm differs by [n].

    `offset_rad` is measured minus modelled: friction, backlash and payload.
    """

    unloaded_rad: Vector
    offset_rad: Vector


class TwinBody:
    """The arms of one robot as a model, with `obstacles` but no objects. Not for use from several threads at once."""

    def __init__(
        self,
        arms: Sequence[ArmPlacement],
        obstacles: Sequence[Obstacle] = (),
        drives: Sequence[Drive] = (),
    ) -> None:
        """`drives`: each arm's servos on their supply; none given: 12 V ones."""
        self.model = build(
            SceneOptions(use="twin", arms=tuple(arms), objects=False, obstacles=tuple(obstacles))
        )
        self.data: Any = mujoco.MjData(self.model)
        self.index = scene_index(self.model)
        self.joints = len(self.index.qpos)
        fitted = drives or (DRIVES["12V"],) * len(arms)
        self._gain_nm_per_rad = gains_nm_per_rad(fitted)
        self.lag_s: Vector = lags_s(fitted)
        self.band_rad: Vector = FRICTION_NM / self._gain_nm_per_rad + BACKLASH_RAD
        ranges = self.model.jnt_range[[self.model.dof_jntid[dof] for dof in self.index.dof]]
        self.minimum_rad: Vector = ranges[:, 0].copy()
        self.maximum_rad: Vector = ranges[:, 1].copy()

    def place(self, position_rad: Sequence[float] | Vector) -> None:
        """Put the joints there and derive the geometry."""
        apply_position(self.model, self.data, self.index, position_rad)

    def collide(self) -> None:
        """Find what touches in the pose the model stands in."""
        mujoco.mj_collision(self.model, self.data)

    def pairs(self) -> tuple[npt.NDArray[np.int32], Vector]:
        """After `collide`: the geoms of each contact [N, 2] and how deep they stand in each other [N], metres."""
        count = self.data.ncon
        return self.data.contact.geom[:count], -self.data.contact.dist[:count]

    def sag_rad(self, position_rad: Sequence[float] | Vector) -> Vector:
        """How far [n] each joint hangs below its goal there, at rest and without friction (negative: it hangs back)."""
        self.place(position_rad)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_comVel(self.model, self.data)
        mujoco.mj_rne(self.model, self.data, 0, self.data.qfrc_bias)
        bias: Vector = self.data.qfrc_bias[self.index.dof]
        return -bias / self._gain_nm_per_rad

    def start(
        self, applied_rad: Sequence[float] | Vector, measured_rad: Sequence[float] | Vector
    ) -> FollowState:
        """The state of an arm that stands: at its last goal, off by what it now differs from that."""
        return self.measured(
            FollowState(np.asarray(applied_rad, dtype=np.float64), np.zeros(self.joints)),
            measured_rad,
        )

    def measured(self, state: FollowState, measured_rad: Sequence[float] | Vector) -> FollowState:
        """The same state, corrected by where the arm was measured to be."""
        measured = np.asarray(measured_rad, dtype=np.float64)
        modelled = state.unloaded_rad + self.sag_rad(state.unloaded_rad)
        return FollowState(state.unloaded_rad, measured - modelled)

    def follow(
        self, state: FollowState, goal_rad: Sequence[float] | Vector, step_s: float
    ) -> FollowState:
        """The state `step_s` after, while the goal is `goal_rad`."""
        share = 1.0 - np.exp(-step_s / self.lag_s)
        goal = np.asarray(goal_rad, dtype=np.float64)
        return FollowState(
            state.unloaded_rad + (goal - state.unloaded_rad) * share, state.offset_rad
        )

    def where(self, state: FollowState) -> Vector:
        """Joint angles [n] at which the arm is expected; leaves the model standing there, geometry derived."""
        at = state.unloaded_rad + self.sag_rad(state.unloaded_rad) + state.offset_rad
        self.place(at)
        return at
