"""What a person may change in a policy's actions before they become goals: bias, clip, pose to joints.

Everything here comes after the model and its embodiment, and before the units border, the executor,
the twin and the gate: limits are always last, so no modifier can lift one. Values are LeRobot's:
the gripper 0 closed .. 100 open. What is not finite stays so and is refused later, by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from robotd.errors import CheckpointError

Array = npt.NDArray[np.float64]

POSE_VALUES = 8  # x y z (m), quaternion w x y z, gripper 0..100
_JOINTS = 6
_NO_ROTATION = 1e-6  # a quaternion shorter than this has no direction


@dataclass(frozen=True, slots=True)
class GripperChange:
    """Opens or closes the gripper more than the policy asks: first `bias`, then the bounds.

    In percent of its opening; a negative bias grips harder. With nothing set nothing changes.
    """

    bias: float = 0.0
    low: float = 0.0
    high: float = 100.0

    def __post_init__(self) -> None:
        if not (-100 <= self.bias <= 100 and 0 <= self.low <= self.high <= 100):
            raise CheckpointError(
                f"The gripper cannot be changed by {self.bias:g} within {self.low:g} to "
                f"{self.high:g}.",
                "Bias is -100 to 100 percent of the opening, the bounds 0 (closed) to 100 (open), "
                "the lower first.",
                "For example --gripper-bias -5 --gripper-clip 0:80.",
            )

    @property
    def nothing(self) -> bool:
        """Whether it changes no action that a calibrated gripper can follow."""
        return self.bias == 0 and self.low == 0 and self.high == 100

    def apply(self, actions: Array, grippers: Sequence[int]) -> Array:
        """Actions [T, A] with the values at `grippers` changed; the others are left as they are."""
        if self.nothing:
            return actions
        changed = np.array(actions)
        where = list(grippers)
        changed[..., where] = np.clip(changed[..., where] + self.bias, self.low, self.high)
        return changed


def parse_clip(text: str) -> tuple[float, float]:
    """Read `LOW:HIGH` in percent of the gripper's opening; empty: all of it.

    Raises CheckpointError for anything else.
    """
    if not text:
        return (0.0, 100.0)
    low, colon, high = text.partition(":")
    try:
        return (float(low), float(high if colon else ""))
    except ValueError as error:
        raise CheckpointError(
            f"{text!r} says no bounds of the gripper.",
            "It needs two numbers and a colon, in percent of its opening.",
            "Write it like 0:80 (0 closed, 100 open).",
        ) from error


def gripper_indices(joints: Sequence[str]) -> tuple[int, ...]:
    """Where the grippers stand among joint names (`gripper.pos`, `left_gripper.pos`)."""
    return tuple(i for i, name in enumerate(joints) if name.split(".")[0].endswith("gripper"))


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
