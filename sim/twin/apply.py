"""One way to put a pose or a plan on the model: for pre-flight, mirror, whiskers and offline views.

A plan is a list of goals; where the arm will be is another thing, because a servo trails its goal and sags under the
arm's weight. `TwinBody.follow` is that difference, in one place: a first-order lag behind the goal, less the sag that
gravity asks for at LeRobot's gains. Objects are not part of it: the twin knows the arms and the table only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from config.schema import Config
from robotd.clock import NS_PER_S
from robotd.trajectory import Trajectory
from sim.model.arm import POSITION_GAIN_NM_PER_RAD
from sim.model.scene import ArmPlacement, SceneIndex, SceneOptions, build, scene_index

Vector = npt.NDArray[np.float64]

LAG_S = 0.09
"""First-order lag of a servo at P = 16: viscous friction and back-EMF (0.06 + 0.62 N.m.s) over 7.7 N.m/rad. A
30 degree step of the emulated servo reaches 90 % after 273-305 ms (servo-and-twin facts 3.3), its profile included."""


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

    `offset_rad` is measured minus modelled: friction and payload, which stay about the same over a plan.
    """

    unloaded_rad: Vector
    offset_rad: Vector


class TwinBody:
    """The arms of one robot as a model, without objects. Not for use from several threads at once."""

    def __init__(self, arms: Sequence[ArmPlacement]) -> None:
        self.model = build(SceneOptions(use="twin", arms=tuple(arms), objects=False))
        self.data: Any = mujoco.MjData(self.model)
        self.index = scene_index(self.model)
        self.joints = len(self.index.qpos)
        ranges = self.model.jnt_range[[self.model.dof_jntid[dof] for dof in self.index.dof]]
        self.minimum_rad: Vector = ranges[:, 0].copy()
        self.maximum_rad: Vector = ranges[:, 1].copy()

    def place(self, position_rad: Sequence[float] | Vector) -> None:
        """Put the joints there and derive the geometry."""
        apply_position(self.model, self.data, self.index, position_rad)

    def collide(self) -> None:
        """Find what touches in the pose the model stands in."""
        mujoco.mj_collision(self.model, self.data)

    def contacts(self) -> list[tuple[tuple[int, int], float]]:
        """After `collide`: pairs of geoms (lower id first) with their distance in metres, negative inside."""
        count = self.data.ncon
        if count == 0:
            return []
        pairs = self.data.contact.geom[:count].tolist()
        distances = self.data.contact.dist[:count].tolist()
        return [
            ((min(pair), max(pair)), float(distance))
            for pair, distance in zip(pairs, distances, strict=True)
        ]

    def sag_rad(self, position_rad: Sequence[float] | Vector) -> Vector:
        """How far [n] each joint hangs below its goal there, at rest and without friction (negative: it hangs back)."""
        self.place(position_rad)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_comVel(self.model, self.data)
        mujoco.mj_rne(self.model, self.data, 0, self.data.qfrc_bias)
        bias: Vector = self.data.qfrc_bias[self.index.dof]
        return -bias / POSITION_GAIN_NM_PER_RAD

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
        share = 1.0 - math.exp(-step_s / LAG_S)
        goal = np.asarray(goal_rad, dtype=np.float64)
        return FollowState(
            state.unloaded_rad + (goal - state.unloaded_rad) * share, state.offset_rad
        )

    def where(self, state: FollowState) -> Vector:
        """Joint angles [n] at which the arm is expected; leaves the model standing there, geometry derived."""
        at = state.unloaded_rad + self.sag_rad(state.unloaded_rad) + state.offset_rad
        self.place(at)
        return at

    def follow_plan(
        self, plan: Trajectory, state: FollowState, from_ns: int, step_ns: int
    ) -> "PlanWalk":
        """Walk `plan` from `from_ns` to its end in steps of `step_ns`: an iterator over the expected poses."""
        return PlanWalk(self, plan, state, from_ns, step_ns)


class PlanWalk:
    """Iterates over (time_ns, goal_rad, expected position_rad [n]) along a plan.

    At each turn the body's model stands in the expected position. The last turn is one lag after the plan's end,
    where the arm has come to rest.
    """

    def __init__(
        self, body: TwinBody, plan: Trajectory, state: FollowState, from_ns: int, step_ns: int
    ) -> None:
        self._body = body
        self._plan = plan
        self._state = state
        self._at_ns = max(from_ns, plan.start_ns)
        self._step_ns = step_ns
        self._end_ns = plan.end_ns + round(LAG_S * NS_PER_S)

    def __iter__(self) -> "PlanWalk":
        return self

    def __next__(self) -> tuple[int, tuple[float, ...], Vector]:
        if self._at_ns > self._end_ns:
            raise StopIteration
        at_ns = self._at_ns
        goal = self._plan.evaluate(min(at_ns, self._plan.end_ns))
        assert goal is not None  # within the plan's time
        self._state = self._body.follow(self._state, goal, self._step_ns / NS_PER_S)
        # The last turn stands at the end itself, whatever the step.
        self._at_ns = at_ns + self._step_ns
        if at_ns < self._end_ns < self._at_ns:
            self._at_ns = self._end_ns
        return at_ns, goal, self._body.where(self._state)
