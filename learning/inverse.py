"""Inverse kinematics for policies that say poses of the fingers: the arm's own model, in lock-step.

A pose is that of the `tcp` site in the arm's base frame, a quaternion of its axes (columns: closing,
across, approach). The arm has five joints before the gripper, so an orientation becomes the two
angles it can follow, lean and turn, and the rest of it is given up.
"""

import math
from collections.abc import Sequence

import mujoco
import numpy as np

from policies.poses import PosesToJoints, Reached
from sim.kinematics import PAN_AXIS_X_M, ArmKinematics, Reach, Vector


def inverse_kinematics() -> PosesToJoints:
    """A stage of its own for one loaded policy: it counts what that one asks for."""
    return PosesToJoints(ArmInverse())


class ArmInverse:
    """`policies.poses.InverseKinematics` on the arm's model. Not for several threads at once."""

    def __init__(self) -> None:
        self._arm: ArmKinematics | None = None  # built with the first pose: few policies say any

    def __call__(
        self, position_m: Sequence[float], quaternion_wxyz: Sequence[float], seed_rad: Vector
    ) -> Reached:
        """The best attempt, with how far the fingers stay away from it."""
        self._arm = self._arm or ArmKinematics()
        found = self._arm.solve(_reach(position_m, quaternion_wxyz), seed_rad.tolist())
        return Reached(found.position_rad, found.error_m, found.reached)


def _reach(position_m: Sequence[float], quaternion_wxyz: Sequence[float]) -> Reach:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion_wxyz, np.float64))
    axes = matrix.reshape(3, 3)
    closing, approach = axes[:, 0], axes[:, 2]
    x, y, z = position_m
    azimuth = math.atan2(y, x - PAN_AXIS_X_M)
    outward = np.array([math.cos(azimuth), math.sin(azimuth), 0.0])
    lean = math.atan2(float(approach @ outward), float(-approach[2]))
    radial = math.cos(lean) * outward + np.array([0.0, 0.0, math.sin(lean)])
    leant = math.sin(lean) * outward - np.array([0.0, 0.0, math.cos(lean)])
    across = np.cross(leant, radial)
    turn = math.atan2(float(-closing @ across), float(closing @ radial))
    return Reach(x, y, z, lean, turn)
