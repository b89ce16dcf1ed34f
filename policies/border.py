"""The robot as policies see it: LeRobot's names, units and pictures, several arms side by side.

One `Border` per robot and unit. State comes from encoder ticks through each arm's own calibration,
as the recorder computes it; actions go to radians in the model frame.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from config.joints import ARM_JOINTS, joint_names
from config.scene import told_things
from config.schema import Config
from drivers.calibration import Calibration, NormMode, load_robot_calibration
from drivers.joint_map import JointMap
from policies.checkpoint.evidence import Units
from robotd.layouts import ENVIRONMENT_STATE_SIZE

Array = npt.NDArray[np.float64]

STATE = "observation.state"
ENVIRONMENT = "observation.environment_state"
IMAGES = "observation.images."
ACTION = "action"


@dataclass(frozen=True, slots=True)
class RobotFeatures:
    """What this robot offers a policy. `joints` in LeRobot's names (`shoulder_pan.pos`, …);
    `cameras` by name: (height, width) in pixels. `told_things`: what its environment state is of."""

    joints: tuple[str, ...]
    cameras: Mapping[str, tuple[int, int]]
    environment_state: bool
    told_things: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The observation keys, as a dataset recorded on this robot has them."""
        keys = [STATE, *(IMAGES + name for name in self.cameras)]
        return (*keys, ENVIRONMENT) if self.environment_state else tuple(keys)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of one observation; pictures as [3, height, width], like in a config.json."""
        if key == STATE:
            return (len(self.joints),)
        if key == ENVIRONMENT:
            return (ENVIRONMENT_STATE_SIZE,)
        return (3, *self.cameras[key.removeprefix(IMAGES)])


def robot_features(config: Config) -> RobotFeatures:
    """What the configured robot offers a policy."""
    return RobotFeatures(
        joints=tuple(f"{name}.pos" for name in joint_names(config)),
        cameras={name: (c.height, c.width) for name, c in config.cameras.items()},
        environment_state=config.recording.environment_state,
        told_things=told_things(config),
    )


def load_calibrations(config: Config) -> dict[str, Calibration]:
    """Each arm's calibration by its id. Raises CalibrationError."""
    return {arm.id: load_robot_calibration(arm.id) for arm in config.arms.values()}


class Border:
    """Converts the joints of all arms, in the robot's joint order.

    `calibrations` is by the ids that the arms name (`load_calibrations`).
    """

    def __init__(
        self, config: Config, calibrations: Mapping[str, Calibration], units: Units = "degrees"
    ) -> None:
        mode = NormMode(units)
        self.units: Units = units
        self._maps = [
            JointMap(
                calibrations[arm.id], tuple(math.radians(d) for d in arm.joint_offset_deg), mode
            )
            for arm in config.arms.values()
        ]
        self.joints = len(ARM_JOINTS) * len(self._maps)

    def state(self, ticks: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """`observation.state` [joints] in LeRobot's units, from encoder ticks."""
        arms = self._split(np.asarray(ticks))
        values = [m.lerobot_from_ticks(arm) for m, arm in zip(self._maps, arms, strict=True)]
        return np.concatenate(values, axis=-1).astype(np.float32)

    def actions_rad(self, actions: npt.ArrayLike) -> Array:
        """Actions [..., joints] in LeRobot's units to radians. ValueError when not finite."""
        arms = self._split(np.asarray(actions, np.float64))
        values = [m.rad_from_lerobot(arm) for m, arm in zip(self._maps, arms, strict=True)]
        return np.concatenate(values, axis=-1)

    def units_from_rad(self, pose_rad: npt.ArrayLike) -> Array:
        """Radians [..., joints] in LeRobot's units: the inverse of `actions_rad` within the ranges.

        ValueError when not finite.
        """
        arms = self._split(np.asarray(pose_rad, np.float64))
        values = [m.lerobot_from_rad(arm) for m, arm in zip(self._maps, arms, strict=True)]
        return np.concatenate(values, axis=-1)

    def _split(self, values: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
        if values.shape[-1] != self.joints:
            raise ValueError(f"{values.shape[-1]} joint values where the robot has {self.joints}")
        return np.split(values, len(self._maps), axis=-1)
