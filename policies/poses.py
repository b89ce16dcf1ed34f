"""Actions that are poses of the fingers, as joints: inverse kinematics, and what it could not reach.

On a published SO-101 experiment 28 % of such poses could not be reached exactly, 8 mm off on
average, and nobody saw it: so the best attempt is always followed, and the failures are counted and
shown. The kinematics itself is passed in, because it needs a model of the arm, which is no business
of this room: lock-step (`robotd eval`, `rehearse` in the plant) has one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from policies.border import Border
from robotd.errors import CheckpointError

Array = npt.NDArray[np.float64]

POSE_VALUES = 8  # x y z (m), quaternion w x y z, gripper 0..100
_JOINTS = 6
_NO_ROTATION = 1e-6  # a quaternion shorter than this has no direction


@dataclass(frozen=True, slots=True)
class Reached:
    """The best that inverse kinematics could do: joints [6] in radians, and how far off it is."""

    position_rad: tuple[float, ...]
    error_m: float
    reached: bool


class InverseKinematics(Protocol):
    """Finds joint angles for a pose of the fingers. Passed in by who has a model of the arm."""

    def __call__(
        self, position_m: Sequence[float], quaternion_wxyz: Sequence[float], seed_rad: Array
    ) -> Reached:
        """The best attempt, always: a hold would be a silent one. `seed_rad` [6] is where to begin."""
        ...


@dataclass(slots=True)
class PoseCount:
    """How well poses could be followed since the policy was loaded."""

    poses: int = 0
    failed: int = 0
    error_m: float = 0.0  # summed over all poses

    @property
    def mean_error_m(self) -> float:
        """Mean distance of what the joints reach from what was asked for."""
        return self.error_m / self.poses if self.poses else 0.0

    @property
    def words(self) -> str:
        """For a person; empty before the first pose."""
        if not self.poses:
            return ""
        share = 100 * self.failed / self.poses
        return (
            f"{self.failed} of {self.poses} poses were out of reach ({share:.0f} %), "
            f"{1000 * self.mean_error_m:.1f} mm off on average"
        )


class PosesToJoints:
    """Turns poses of the fingers into joint angles, and counts what could not be reached.

    `lowest_m`: fingers never below it (a learned pose may dip into the table; 3 cm is what a
    published SO-101 experiment used).
    """

    def __init__(self, solve: InverseKinematics, lowest_m: float = 0.03) -> None:
        self.count = PoseCount()
        self._solve = solve
        self._lowest_m = lowest_m

    def joints(self, poses: Array, seed_rad: Array) -> tuple[Array, Array]:
        """Poses [T, 8] to arm angles [T, 6] in radians (the gripper's is the seed's) and gripper [T].

        Each search begins where the one before it ended, so that the path keeps its branch. Rows
        that are not finite, or turn nowhere, come back as NaN.
        """
        if poses.ndim != 2 or poses.shape[1] != POSE_VALUES:
            raise CheckpointError(
                f"The policy's actions have {poses.shape[-1]} values, a pose of the fingers 8.",
                "It was trained in another action space than its embodiment says.",
                "Use the embodiment it was trained for: --embodiment NAME.",
            )
        angles = np.full((len(poses), _JOINTS), np.nan)
        seed = np.asarray(seed_rad, np.float64)
        for step, pose in enumerate(poses):
            length = float(np.linalg.norm(pose[3:7]))
            if not np.isfinite(pose).all() or length < _NO_ROTATION:
                continue
            place = (float(pose[0]), float(pose[1]), max(float(pose[2]), self._lowest_m))
            found = self._solve(place, tuple(float(v) for v in pose[3:7] / length), seed)
            self.count.poses += 1
            self.count.failed += not found.reached
            self.count.error_m += found.error_m
            seed = np.asarray(found.position_rad, np.float64)
            angles[step] = seed
        return angles, np.asarray(poses[:, 7], np.float64)


type PoseStage = Callable[[Array, Array], Array]
"""Poses [T, 8] and the robot's state [6] in LeRobot's units to actions [T, 6] in them."""


def pose_stage(poses: PosesToJoints, border: Border) -> PoseStage:
    """The stage between a model that says poses and a robot that is told joints."""

    def actions(said: Array, state: Array) -> Array:
        angles, gripper = poses.joints(said, border.actions_rad(state))
        goals = np.full((len(said), _JOINTS), np.nan)
        known = np.isfinite(angles).all(axis=1)
        if known.any():
            goals[known] = border.units_from_rad(angles[known])
        goals[known, _JOINTS - 1] = gripper[known]
        return goals

    return actions
