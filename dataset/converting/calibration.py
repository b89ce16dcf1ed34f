"""The joint ranges that ±100 is a share of, from LeRobot's calibration file.

A dataset in ±100 does not hold them, and without them its values are no angles. Only the ranges are
read: the file has to be the one the arm had when it was recorded, which robotd's episodes can tell.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from daemon.recorder.schema import JOINTS
from dataset.converting.values import MAX_TICK
from robotd.errors import CalibrationError

_FIELDS = ("id", "drive_mode", "homing_offset", "range_min", "range_max")


def joint_ranges(files: Sequence[Path], names: Sequence[str]) -> dict[str, float]:
    """Ticks that each joint of `names` was calibrated over, negative where ±100 is turned around.

    One file for one arm; for two, the files in the order in which their arms come in `names`.
    Raises CalibrationError when a file is no calibration, or there are more arms than files.
    """
    tables = [_load(path) for path in files]
    ranges: dict[str, float] = {}
    seen: dict[str, int] = {}
    for name in names:
        joint = next(each for each in JOINTS if each in name)
        arm = seen.get(joint, 0)
        seen[joint] = arm + 1
        if arm >= len(tables):
            raise CalibrationError(
                f"The dataset has more than {len(tables)} arm(s), each with its own joint ranges.",
                "It was recorded with two arms.",
                "Give --calibration once for each arm, in the order of the dataset's joints.",
            )
        motor = tables[arm][joint]
        ticks = motor["range_max"] - motor["range_min"]
        ranges[name] = float(-ticks if motor["drive_mode"] else ticks)
    return ranges


def fingerprint(files: Sequence[Path]) -> str:
    """The hash by which robotd notes the calibrations of an episode: 16 characters an arm."""
    hashes = []
    for path in files:
        table = _load(path)
        rows = [[joint, *(table[joint][name] for name in _FIELDS)] for joint in sorted(table)]
        hashes.append(hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16])
    return "+".join(hashes)


def _load(path: Path) -> dict[str, dict[str, int]]:
    try:
        content = json.loads(path.read_bytes())
        table = {joint: {name: int(content[joint][name]) for name in _FIELDS} for joint in JOINTS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CalibrationError(
            f"{path} is no calibration of an SO-101: {error!r}.",
            "Another file was named, or it was cut off.",
            "Name the file that lerobot-calibrate wrote for this arm.",
        ) from error
    for joint, motor in table.items():
        if not 0 <= motor["range_min"] < motor["range_max"] <= MAX_TICK:
            raise CalibrationError(
                f"{path} gives {joint} the range {motor['range_min']}..{motor['range_max']}.",
                "The calibration was broken off, or edited by hand.",
                "Calibrate the arm again with lerobot-calibrate.",
            )
    return table
