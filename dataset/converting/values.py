"""The numbers of a conversion: units, gripper, delta actions; pure, each with its inverse.

Arrays are [rows, joints]; all arithmetic is float64. Joints are known by LeRobot's names
(`left_shoulder_pan.pos`, also older ones such as `main_shoulder_pan`); a gripper's units are its
own and never those of the other joints.

±100 is a share of the range that a joint was calibrated over, with the same middle as its degrees
(LeRobot 0.6.1, `motors_bus.py`): degrees = ±100 value * (range_max - range_min) / 200 * 360 / 4095,
turned around where the calibration's drive mode is 1, which only ±100 knows.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from daemon.recorder.convention import Gripper
from daemon.recorder.schema import JOINTS
from robotd.errors import DatasetError

type Floats = npt.NDArray[np.float64]
type Units = Literal["degrees", "radians", "range_m100_100"]
type Formula = Literal["1-x/100", "100-100x", "x/100", "100x"]

UNITS: tuple[Units, ...] = ("degrees", "radians", "range_m100_100")
FORMULAS: dict[Formula, tuple[Gripper, Gripper]] = {
    "1-x/100": ("percent_open", "fraction_closed"),
    "100-100x": ("fraction_closed", "percent_open"),
    "x/100": ("percent_open", "fraction_open"),
    "100x": ("fraction_open", "percent_open"),
}
"""What a gripper's formula makes of what; openpi's π0 was trained on `fraction_closed`."""

MAX_TICK = 4095
M100_LIMIT = 100.0

_GRIPPER = "gripper"


def gripper_mask(names: Sequence[str], feature: str) -> npt.NDArray[np.bool_]:
    """Which of a feature's values are grippers, bool [joints].

    Raises DatasetError when a name is that of no joint: its value would be converted blindly.
    """
    strange = [name for name in names if not any(joint in name for joint in JOINTS)]
    if strange or not names:
        raise DatasetError(
            f"{feature} holds {', '.join(strange) or 'values without names'}, which is no joint "
            "of an SO-101.",
            "The dataset is of another robot, or its actions are poses of the hand.",
            "Only joints can be converted; leave out --units, --gripper and --actions.",
        )
    return np.array([_GRIPPER in name for name in names])


def degrees_per_unit(
    units: Units, names: Sequence[str], ranges: Mapping[str, float] | None
) -> Floats:
    """Degrees for 1 of `units`, joint by joint; NaN for grippers.

    `ranges` maps a joint's name to the ticks it was calibrated over, negative where its drive mode
    turns ±100 around. Needed for ±100 alone.
    """
    factors = np.full(len(names), np.nan)
    for place, name in enumerate(names):
        if _GRIPPER in name:
            continue
        if units == "degrees":
            factors[place] = 1.0
        elif units == "radians":
            factors[place] = math.degrees(1.0)
        else:
            factors[place] = (ranges or {})[name] / 200 * 360 / MAX_TICK
    return factors


def rescaled(values: Floats, factors: Floats, *, limit: float = math.inf) -> tuple[Floats, int]:
    """`values` times `factors` [joints] (NaN: as it is), bounded to ±`limit`.

    Also says how many values the limit changed. LeRobot bounds ±100 to the calibrated range.
    """
    body = np.isfinite(factors)
    scaled = values.copy()
    scaled[:, body] = values[:, body] * factors[body]
    bounded = scaled.copy()
    bounded[:, body] = np.clip(scaled[:, body], -limit, limit)
    return bounded, int((bounded != scaled).sum())


def gripper_converted(values: Floats, grippers: npt.NDArray[np.bool_], formula: Formula) -> Floats:
    """`values` with `formula` applied to the grippers."""
    result = values.copy()
    x = values[:, grippers]
    if formula == "1-x/100":
        result[:, grippers] = 1 - x / 100
    elif formula == "100-100x":
        result[:, grippers] = 100 - 100 * x
    elif formula == "x/100":
        result[:, grippers] = x / 100
    else:
        result[:, grippers] = 100 * x
    return result


def delta_from_absolute(action: Floats, state: Floats, grippers: npt.NDArray[np.bool_]) -> Floats:
    """Actions minus the state of the same row; grippers stay absolute (openpi's mask (5, -1))."""
    return np.where(grippers, action, action - state)


def absolute_from_delta(action: Floats, state: Floats, grippers: npt.NDArray[np.bool_]) -> Floats:
    """The inverse of `delta_from_absolute`, with the state in the same units."""
    return np.where(grippers, action, action + state)
