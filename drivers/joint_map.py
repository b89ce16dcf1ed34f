"""One arm's three ways to say where its joints are: ticks, radians of the model, LeRobot's units.

    ticks          what the servo counts, 0..4095
    position_rad   what robotd, the gate and the twin think in: the MJCF's joint angles
    LeRobot units  what datasets and policies hold: degrees (or -100..100) and gripper 0..100

Body joints: `position_rad = radians(lerobot_degrees) + offset_rad`, where the offset (default 0)
says how the middle of the recorded range stands to the model's zero. Gripper: 0 (closed) is the
model's -10 degrees and 100 (open) its 100 degrees, linearly (SO-101 MJCF joint range).

Radians are not clamped, so a joint pushed past its recorded range reads true; LeRobot units clamp
where LeRobot clamps. Arrays are float64 [6] (or [..., 6]) in the order of `JOINT_NAMES`, ticks
int64.

Rounding: radians to goal ticks goes to the nearest tick (ties to even), bounded to the recorded
range, because the servo bounds to it anyway (registers 9 and 11). What is recorded as `action` is
`lerobot_from_ticks(goal_ticks)`: the value that was sent, not the one that was wished for.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers.calibration import JOINT_NAMES, MAX_TICK, Calibration, NormMode, unnormalize
from robotd.errors import CalibrationError

FloatArray = NDArray[np.float64]
TickArray = NDArray[np.int64]

GRIPPER_CLOSED_RAD: Final = -0.17453  # SO-101 MJCF, gripper joint range -10..100 degrees
GRIPPER_SPAN_RAD: Final = 1.91986
_GRIPPER: Final = JOINT_NAMES.index("gripper")
_NOT_FINITE: Final = "a joint position that is not finite never reaches a servo"


class JointMap:
    """Converts one arm's joint values.

    `offsets_rad` are the five body joints' (or all six joints') offsets to the model's zero.
    `body_mode` is the dataset unit of the body joints: DEGREES or RANGE_M100_100.
    """

    def __init__(
        self,
        calibration: Calibration,
        offsets_rad: Sequence[float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        body_mode: NormMode = NormMode.DEGREES,
    ) -> None:
        if body_mode is NormMode.RANGE_0_100:
            raise ValueError("body joints are in degrees or -100..100")
        if len(offsets_rad) not in (len(JOINT_NAMES) - 1, len(JOINT_NAMES)):
            raise ValueError(f"six joint offsets are needed, not {len(offsets_rad)}")
        motors = [calibration[name] for name in JOINT_NAMES]
        self.calibration = calibration
        self.body_mode = body_mode
        self.modes = (body_mode,) * _GRIPPER + (NormMode.RANGE_0_100,)
        self._motors = motors
        self._low = np.array([motor.range_min for motor in motors], dtype=np.int64)
        self._high = np.array([motor.range_max for motor in motors], dtype=np.int64)
        self._span = self._high - self._low
        self._middle = (self._low + self._high) / 2
        self._inverted = np.array([bool(motor.drive_mode) for motor in motors])

        # position_rad = slope * (ticks - middle) + centre, one line per joint.
        offsets = np.zeros(len(JOINT_NAMES))
        offsets[: len(offsets_rad)] = offsets_rad
        self._slope = np.full(len(JOINT_NAMES), math.radians(360 / MAX_TICK))
        self._centre = offsets.copy()
        direction = -1.0 if motors[_GRIPPER].drive_mode else 1.0
        self._slope[_GRIPPER] = direction * GRIPPER_SPAN_RAD / float(self._span[_GRIPPER])
        self._centre[_GRIPPER] += GRIPPER_CLOSED_RAD + GRIPPER_SPAN_RAD / 2
        # The same line joint by joint, for the tick: on six numbers an array costs more than it saves.
        self._lines: tuple[tuple[float, float, float, int, int], ...] = tuple(
            zip(
                self._slope.tolist(),
                self._middle.tolist(),
                self._centre.tolist(),
                self._low.tolist(),
                self._high.tolist(),
                strict=True,
            )
        )

    def pose_rad(self, ticks: Sequence[int]) -> list[float]:
        """One pose: `rad_from_ticks` to the last bit, without an array."""
        return [
            slope * (count - middle) + centre
            for count, (slope, middle, centre, _, _) in zip(ticks, self._lines, strict=True)
        ]

    def goal_ticks(self, pose_rad: Sequence[float]) -> list[int]:
        """One pose: `ticks_from_rad` to the last bit, without an array.

        Raises ValueError when a value is not finite.
        """
        goal: list[int] = []
        for angle, (slope, middle, centre, low, high) in zip(pose_rad, self._lines, strict=True):
            if not math.isfinite(angle):
                raise ValueError(_NOT_FINITE)
            goal.append(round(min(max((angle - centre) / slope + middle, low), high)))
        return goal

    def rad_from_ticks(self, ticks: ArrayLike) -> FloatArray:
        """Return model radians for ticks [..., 6]; not clamped."""
        return self._slope * (np.asarray(ticks) - self._middle) + self._centre

    def ticks_from_rad(self, position_rad: ArrayLike) -> TickArray:
        """Return goal ticks [..., 6]: nearest tick, bounded to the recorded range.

        Raises ValueError when a value is not finite.
        """
        position = _finite(position_rad)
        exact = (position - self._centre) / self._slope + self._middle
        # Bounded before the cast: a float beyond int64 would wrap.
        ticks: TickArray = np.rint(np.clip(exact, self._low, self._high)).astype(np.int64)
        return ticks

    def lerobot_from_ticks(self, ticks: ArrayLike) -> FloatArray:
        """Return LeRobot units for ticks [..., 6], equal to LeRobot's own to the last bit."""
        counts = np.asarray(ticks)
        bounded = np.clip(counts, self._low, self._high)
        share = (bounded - self._low) / self._span
        opening = share * 100
        values: FloatArray
        if self.body_mode is NormMode.DEGREES:
            values = (counts - self._middle) * 360 / MAX_TICK
        else:
            values = share * 200 - 100
            values = np.where(self._inverted, -values, values)
        values[..., _GRIPPER] = opening[..., _GRIPPER]
        if self._inverted[_GRIPPER]:
            values[..., _GRIPPER] = 100 - opening[..., _GRIPPER]
        return values

    def ticks_from_lerobot(self, values: Sequence[float]) -> list[int]:
        """Return the ticks LeRobot would send for six values: truncated, degrees not clamped.

        robotd's own way to a motor is `rad_from_lerobot`, the gate, `ticks_from_rad`. Raises
        ValueError when a value is not finite.
        """
        return [
            unnormalize(motor, value, mode)
            for motor, value, mode in zip(self._motors, values, self.modes, strict=True)
        ]

    def rad_from_lerobot(self, values: ArrayLike) -> FloatArray:
        """Return model radians for LeRobot units [..., 6], without rounding to ticks.

        -100..100 and 0..100 are clamped as LeRobot clamps them. Raises ValueError when a value is
        not finite.
        """
        wanted = _finite(values)
        if self.body_mode is NormMode.DEGREES:
            exact = wanted * MAX_TICK / 360 + self._middle
        else:
            share = np.clip(np.where(self._inverted, -wanted, wanted), -100, 100)
            exact = (share + 100) / 200 * self._span + self._low
        opening = wanted[..., _GRIPPER]
        opening = np.clip(100 - opening if self._inverted[_GRIPPER] else opening, 0, 100)
        exact[..., _GRIPPER] = opening / 100 * self._span[_GRIPPER] + self._low[_GRIPPER]
        return self._slope * (exact - self._middle) + self._centre

    def lerobot_from_rad(self, position_rad: ArrayLike) -> FloatArray:
        """Return LeRobot units for model radians [..., 6], without rounding to ticks.

        Raises ValueError when a value is not finite.
        """
        exact = (_finite(position_rad) - self._centre) / self._slope + self._middle
        return self.lerobot_from_ticks(exact)

    def limits_rad(
        self, model_lower_rad: ArrayLike, model_upper_rad: ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Return the joint limits [6], [6]: the recorded range within the model's.

        Raises CalibrationError when a joint has no angle that both allow.
        """
        ends = np.stack([self.rad_from_ticks(self._low), self.rad_from_ticks(self._high)])
        lower = np.maximum(ends.min(axis=0), np.asarray(model_lower_rad, dtype=np.float64))
        upper = np.minimum(ends.max(axis=0), np.asarray(model_upper_rad, dtype=np.float64))
        for name, low, high in zip(JOINT_NAMES, lower, upper, strict=True):
            if not low < high:
                raise CalibrationError(
                    f"The calibrated range of {name} lies outside what the arm's model can do.",
                    "The calibration or the joint's offset_rad belongs to another arm.",
                    "Calibrate this arm again with `lerobot-calibrate`, or correct offset_rad.",
                )
        return lower, upper


def _finite(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(_NOT_FINITE)
    return array
