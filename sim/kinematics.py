"""Where the fingers are, and which joint angles bring them somewhere: kinematics of one SO-101.

The arm has five joints before the gripper, so a pose is a point, a lean of the fingers away from straight down,
and a turn about them: the pan angle follows from the point. `solve` uses differential IK (mink) on the model's
`tcp` site from a fixed start, so that the same target always gives the same answer. `holding_torque_nm` is what
gravity asks of each joint, from which a person who knows the arm guesses how far it will sag.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mink
import mujoco
import numpy as np
import numpy.typing as npt

from sim.model.arm import POSITION_GAIN_NM_PER_RAD
from sim.model.scene import SceneOptions, build, scene_index

Vector = npt.NDArray[np.float64]
BODY_JOINTS = 5  # all but the gripper

_ITERATIONS = 60
_STEP_S = 0.25  # a Newton-like step: the solver integrates this share of the remaining way
_CLOSE_ENOUGH_M = 2e-4
_CLOSE_ENOUGH_RAD = 2e-3
_START_RAD = (0.0, -0.3, 0.4, 1.45, 0.0, 0.2)  # elbow up, fingers down: the branch that is kept


@dataclass(frozen=True, slots=True)
class Reach:
    """A target for the fingers, in the arm's base frame.

    lean_rad tips the fingers outwards from straight down, away from the base. turn_rad is wrist_roll: at 0 the
    jaws close along the radius, at pi/2 across it.
    """

    x_m: float
    y_m: float
    z_m: float
    lean_rad: float
    turn_rad: float

    @property
    def radius_m(self) -> float:
        """Distance from the pan axis, which stands 3.9 cm in front of the base's origin."""
        return math.hypot(self.x_m - PAN_AXIS_X_M, self.y_m)


PAN_AXIS_X_M = 0.0388353  # `shoulder` body of so101_new_calib.xml


@dataclass(frozen=True, slots=True)
class Solution:
    """`position_rad` float [6]; the gripper is the seed's. Errors are those left when the solver stopped."""

    position_rad: tuple[float, ...]
    error_m: float
    error_rad: float

    @property
    def reached(self) -> bool:
        """Within 3 mm and 5 degrees."""
        return self.error_m < 0.003 and self.error_rad < math.radians(5.0)


class ArmKinematics:
    """One arm's model, without objects. Not for use from several threads at once."""

    def __init__(self) -> None:
        self._model = build(SceneOptions(use="twin", objects=False))
        self._data = mujoco.MjData(self._model)
        index = scene_index(self._model)
        self._arm = index.arms[0]
        self._configuration = mink.Configuration(self._model)
        self._task = mink.FrameTask(
            frame_name=self._model.site(self._arm.tcp_site).name,
            frame_type="site",
            position_cost=1.0,
            orientation_cost=0.1,
            lm_damping=1e-4,
        )
        self._limits = [mink.ConfigurationLimit(self._model)]

    @property
    def range_rad(self) -> tuple[tuple[float, float], ...]:
        """(low, high) of each of the six joints."""
        return tuple((float(low), float(high)) for low, high in self._model.jnt_range[:6])

    def tcp(self, position_rad: Sequence[float]) -> tuple[Vector, Vector]:
        """The tool centre point: position [3] in metres and axes [3, 3] (columns: closing, across, approach)."""
        self._place(position_rad)
        mujoco.mj_kinematics(self._model, self._data)
        site = self._arm.tcp_site
        return self._data.site_xpos[site].copy(), self._data.site_xmat[site].reshape(3, 3).copy()

    def holding_torque_nm(self, position_rad: Sequence[float]) -> Vector:
        """Torque [6] that each joint must give to stand still there, from the model's own masses."""
        self._place(position_rad)
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_comVel(self._model, self._data)
        mujoco.mj_rne(self._model, self._data, 0, self._data.qfrc_bias)
        bias: Vector = self._data.qfrc_bias[self._arm.dof].copy()
        return bias

    def sag_rad(self, position_rad: Sequence[float]) -> Vector:
        """How far [6] each joint stands behind its goal at rest there, at LeRobot's gain and without friction."""
        return -self.holding_torque_nm(position_rad) / POSITION_GAIN_NM_PER_RAD

    def solve(self, reach: Reach, seed_rad: Sequence[float] | None = None) -> Solution:
        """Joint angles that bring the fingers to `reach`. The best attempt is always returned, with its error.

        `seed_rad` only chooses where the search starts (and the gripper's angle, which moves nothing here).
        """
        seed = list(_START_RAD if seed_rad is None else seed_rad)
        seed[0] = -math.atan2(reach.y_m, reach.x_m - PAN_AXIS_X_M)
        seed[4] = reach.turn_rad
        target = _axes(-seed[0], reach)
        goal = mink.SE3.from_rotation_and_translation(
            mink.SO3.from_matrix(target), np.array([reach.x_m, reach.y_m, reach.z_m])
        )
        self._task.set_target(goal)
        self._place(seed)
        self._configuration.update(self._data.qpos)
        error_m = error_rad = math.inf
        for _ in range(_ITERATIONS):
            error = self._task.compute_error(self._configuration)
            error_m = float(np.linalg.norm(error[:3]))
            error_rad = float(np.linalg.norm(error[3:]))
            if error_m < _CLOSE_ENOUGH_M and error_rad < _CLOSE_ENOUGH_RAD:
                break
            velocity = mink.solve_ik(
                self._configuration,
                [self._task],
                _STEP_S,
                solver="daqp",
                damping=1e-6,
                limits=self._limits,
            )
            self._configuration.integrate_inplace(velocity, _STEP_S)
        position = self._configuration.q[self._arm.qpos].copy()
        position[BODY_JOINTS] = seed[BODY_JOINTS]
        return Solution(tuple(float(value) for value in position), error_m, error_rad)

    def _place(self, position_rad: Sequence[float]) -> None:
        self._data.qpos[self._arm.qpos] = position_rad


def _axes(azimuth_rad: float, reach: Reach) -> Vector:
    """The tcp's axes [3, 3] for a lean and a turn at an azimuth: turn about the fingers, lean, then pan."""
    c, s = math.cos(azimuth_rad), math.sin(azimuth_rad)
    outward = np.array([c, s, 0.0])
    approach = math.sin(reach.lean_rad) * outward - np.array([0.0, 0.0, math.cos(reach.lean_rad)])
    radial = math.cos(reach.lean_rad) * outward + np.array([0.0, 0.0, math.sin(reach.lean_rad)])
    across = np.cross(approach, radial)
    ct, st = math.cos(reach.turn_rad), math.sin(reach.turn_rad)
    closing = ct * radial - st * across
    return np.stack([closing, np.cross(approach, closing), approach], axis=1)
