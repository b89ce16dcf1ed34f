"""LeRobot's calibration file and its unit formulas, bit for bit.

The file is what `lerobot-calibrate` writes: for each joint the servo id, the drive mode, the homing
offset and the recorded range, in ticks. The same three numbers sit in the servo's EPROM (registers
31, 9 and 11), so file and arm can be compared.

The formulas are those of LeRobot 0.6.1 (`motors_bus.py`, `_normalize` and `_unnormalize`), in
float64 and in the same order of operations, so that datasets and policies of one program mean the
same in the other. That includes their oddities: degrees ignore the drive mode and are not clamped,
and going back to ticks truncates towards zero. Whoever commands a motor must clamp for itself.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Literal

from robotd.errors import CalibrationError
from robotd.paths import calibration_dir

JOINT_NAMES: Final = (
    "shoulder_pan",
    "shoulder_lift",
    "elbow_flex",
    "wrist_flex",
    "wrist_roll",
    "gripper",
)
"""The joints of an SO-101 in bus order, servo ids 1..6."""

MAX_TICK: Final = 4095
MAX_HOMING_OFFSET: Final = 2047  # register 31 is sign-magnitude with its sign in bit 11

Role = Literal["follower", "leader"]

# Newest name first: LeRobot 0.6 files both arms under so_…, older releases under the arm's own.
_FOLDERS: Final[dict[str, tuple[str, ...]]] = {
    "follower": ("robots/so_follower", "robots/so101_follower", "robots/so100_follower"),
    "leader": (
        "teleoperators/so_leader",
        "teleoperators/so101_leader",
        "teleoperators/so100_leader",
    ),
}


class NormMode(Enum):
    """How a joint's ticks become the unit of a dataset. Names are LeRobot's MotorNormMode."""

    DEGREES = "degrees"
    RANGE_M100_100 = "range_m100_100"
    RANGE_0_100 = "range_0_100"


@dataclass(frozen=True, slots=True)
class MotorCalibration:
    """One joint's calibration. Ranges and offset in ticks; Present = Actual - homing_offset."""

    id: int
    drive_mode: int
    homing_offset: int
    range_min: int
    range_max: int


Calibration = Mapping[str, MotorCalibration]
"""An arm's calibration by joint name, in the order of `JOINT_NAMES`."""


def normalize(motor: MotorCalibration, ticks: int, mode: NormMode) -> float:
    """Return `ticks` in the unit of `mode`: degrees, or a share of the recorded range.

    The two ranges are clamped to the recorded one, degrees are not.
    """
    low, high = motor.range_min, motor.range_max
    bounded = min(high, max(low, ticks))
    if mode is NormMode.RANGE_M100_100:
        share = (((bounded - low) / (high - low)) * 200) - 100
        return -share if motor.drive_mode else share
    if mode is NormMode.RANGE_0_100:
        share = ((bounded - low) / (high - low)) * 100
        return 100 - share if motor.drive_mode else share
    return (ticks - (low + high) / 2) * 360 / MAX_TICK


def unnormalize(motor: MotorCalibration, value: float, mode: NormMode) -> int:
    """Return the ticks for `value` as LeRobot would send them: truncated, degrees not clamped.

    Raises ValueError for NaN and infinities, which LeRobot would clamp or crash on.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is no position")
    low, high = motor.range_min, motor.range_max
    if mode is NormMode.RANGE_M100_100:
        value = -value if motor.drive_mode else value
        bounded = min(100.0, max(-100.0, value))
        return int(((bounded + 100) / 200) * (high - low) + low)
    if mode is NormMode.RANGE_0_100:
        value = 100 - value if motor.drive_mode else value
        bounded = min(100.0, max(0.0, value))
        return int((bounded / 100) * (high - low) + low)
    return int((value * MAX_TICK / 360) + (low + high) / 2)


def find_calibration(arm_id: str, role: Role = "follower", root: Path | None = None) -> Path:
    """Return the calibration file of an arm, looking where LeRobot keeps them.

    `root` is by default LeRobot's calibration folder. Raises CalibrationError when there is none.
    """
    folder = calibration_dir() if root is None else root
    candidates = [folder / name / f"{arm_id}.json" for name in _FOLDERS[role]]
    for path in candidates:
        if path.is_file():
            return path
    others = sorted(path.stem for name in _FOLDERS[role] for path in (folder / name).glob("*.json"))
    known = f" Calibrated under other names: {', '.join(others)}." if others else ""
    raise CalibrationError(
        f"There is no calibration for {role} '{arm_id}'.",
        f"It was never calibrated on this machine, or under another id: looked for "
        f"{candidates[0]} and LeRobot's older folders.{known}",
        f"{_calibrate_command(arm_id, role)}, or copy the file of this arm there, "
        "or set the id under `arms` in the robot's profile.",
    )


def load_calibration(path: Path) -> dict[str, MotorCalibration]:
    """Read and check a calibration file. Raises CalibrationError naming the file and the fault."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CalibrationError(
            f"There is no calibration file {path}.",
            "The path in the robot's profile is wrong, or the arm was never calibrated here.",
            f"{_calibrate_command(path.stem, 'follower')}, or correct the path.",
        ) from error
    except (OSError, ValueError) as error:
        raise _unusable(path, f"it is not readable JSON ({error})") from error
    if not isinstance(content, dict):
        raise _unusable(path, "it is not a table of joints")
    missing = [name for name in JOINT_NAMES if name not in content]
    surplus = [name for name in content if name not in JOINT_NAMES]
    if missing or surplus:
        raise _unusable(path, f"joints missing: {missing or 'none'}; unknown: {surplus or 'none'}")
    calibration = {name: _motor(path, name, content[name]) for name in JOINT_NAMES}
    ids = [motor.id for motor in calibration.values()]
    if len(set(ids)) != len(ids):
        raise _unusable(path, f"two joints share a servo id ({ids})")
    return calibration


def load_robot_calibration(arm_id: str, root: Path | None = None) -> dict[str, MotorCalibration]:
    """Find and load a follower's calibration. Raises CalibrationError."""
    return load_calibration(find_calibration(arm_id, "follower", root))


def load_teleoperator_calibration(
    arm_id: str, root: Path | None = None
) -> dict[str, MotorCalibration]:
    """Find and load a leader's calibration. Raises CalibrationError."""
    return load_calibration(find_calibration(arm_id, "leader", root))


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write a file LeRobot reads, atomically: readers see the old or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps({name: asdict(motor) for name, motor in calibration.items()}, indent=4)
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def fingerprint(calibration: Calibration) -> str:
    """Return a short hash of what a calibration says, whatever its file looks like."""
    rows = [[name, *asdict(motor).values()] for name, motor in sorted(calibration.items())]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def _motor(path: Path, joint: str, entry: object) -> MotorCalibration:
    fields = MotorCalibration.__slots__
    if not isinstance(entry, dict) or set(entry) != set(fields):
        raise _unusable(path, f"{joint} must have exactly the keys {', '.join(fields)}")
    if not all(type(entry[name]) is int for name in fields):
        raise _unusable(path, f"{joint} holds something that is not a whole number")
    motor = MotorCalibration(**entry)
    if not 0 <= motor.range_min < motor.range_max <= MAX_TICK:
        raise _unusable(
            path,
            f"{joint} has the range {motor.range_min}..{motor.range_max}, "
            f"which is not a rising one within 0..{MAX_TICK}",
        )
    if abs(motor.homing_offset) > MAX_HOMING_OFFSET:
        raise _unusable(
            path, f"{joint} has homing_offset {motor.homing_offset}, beyond ±{MAX_HOMING_OFFSET}"
        )
    if motor.drive_mode not in (0, 1):
        raise _unusable(path, f"{joint} has drive_mode {motor.drive_mode}, which is not 0 or 1")
    if not 0 <= motor.id <= 253:
        raise _unusable(path, f"{joint} has servo id {motor.id}, which is not 0..253")
    return motor


def _unusable(path: Path, reason: str) -> CalibrationError:
    return CalibrationError(
        f"The calibration file {path} cannot be used: {reason}.",
        "It was edited by hand, cut off, or belongs to another kind of robot.",
        f"{_calibrate_command(path.stem, 'follower')}, or restore the file from a copy.",
    )


def _calibrate_command(arm_id: str, role: str) -> str:
    kind, name = ("robot", "so101_follower") if role == "follower" else ("teleop", "so101_leader")
    return f"Run `lerobot-calibrate --{kind}.type={name} --{kind}.port=PORT --{kind}.id={arm_id}`"
