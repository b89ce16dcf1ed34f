"""The calibration of the virtual arms, and the map between model angles and encoder ticks.

Ranges of the follower are a measured arm's (policy facts G2); the leader has its own, as leaders
do. The plant chooses the homing offsets. The same numbers stand in the servos' EPROM and in the
LeRobot calibration file that `plant_calibration` returns, so LeRobot connects without asking.
"""

import math
from dataclasses import dataclass

TICKS_PER_TURN = 4096
TICKS_PER_RAD = TICKS_PER_TURN / math.tau

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
"""Bus-id order 1..6."""


@dataclass(frozen=True, slots=True)
class JointMap:
    """One joint's encoder. `low_rad`..`high_rad` of the model is `range_min`..`range_max` in
    ticks."""

    name: str
    servo_id: int
    range_min: int
    range_max: int
    homing_offset: int
    low_rad: float
    high_rad: float

    @property
    def centre_ticks(self) -> float:
        """Present position at the middle of the range."""
        return (self.range_min + self.range_max) / 2.0

    @property
    def centre_rad(self) -> float:
        """Model angle at the middle of the range: zero but for wrist_roll (0.0487) and the
        gripper."""
        return (self.low_rad + self.high_rad) / 2.0

    def present_ticks(self, angle_rad: float) -> float:
        """Present position at a model angle, homing offset applied, not rounded, not wrapped."""
        return self.centre_ticks + (angle_rad - self.centre_rad) * TICKS_PER_RAD

    def angle_rad(self, present_ticks: float) -> float:
        """Model angle at a present position."""
        return self.centre_rad + (present_ticks - self.centre_ticks) / TICKS_PER_RAD

    @property
    def shaft_ticks_at_zero(self) -> float:
        """The encoder's own count (no homing offset) where the model's angle is zero: how the horn
        is mounted."""
        return self.present_ticks(0.0) + self.homing_offset


_LIMITS_RAD = (
    (-1.91986, 1.91986),
    (-1.74533, 1.74533),
    (-1.69, 1.69),
    (-1.65806, 1.65806),
    (-2.74385, 2.84121),
    (-0.17453, 1.74533),
)
_FOLLOWER_RANGES = (
    (794, 3297),
    (942, 3217),
    (956, 3159),
    (885, 3046),
    (278, 3919),
    (2047, 3298),
)
_FOLLOWER_OFFSETS = (85, -1217, 964, -143, 31, 1402)
_LEADER_RANGES = (
    (811, 3314),
    (921, 3196),
    (949, 3152),
    (893, 3054),
    (241, 3882),
    (2016, 3267),
)
_LEADER_OFFSETS = (-52, 1104, -871, 203, -88, -1315)
_RIGHT_SHIFT = (7, -11, 5, -9, 13, -4)  # no two arms are assembled alike


def joint_maps(arm: str) -> tuple[JointMap, ...]:
    """The six encoders of `follower`, `leader`, or `left_…`/`right_…` of either, in bus order.

    Raises ValueError for another name.
    """
    side, _, kind = arm.rpartition("_")
    if kind not in ("follower", "leader") or side not in ("", "left", "right"):
        raise ValueError(f"unknown arm {arm!r}: follower or leader, with left_ or right_ if two")
    leader = kind == "leader"
    ranges = _LEADER_RANGES if leader else _FOLLOWER_RANGES
    offsets = _LEADER_OFFSETS if leader else _FOLLOWER_OFFSETS
    shifts = _RIGHT_SHIFT if side == "right" else (0,) * len(JOINTS)
    return tuple(
        JointMap(
            name=name,
            servo_id=number + 1,
            range_min=ranges[number][0] + shifts[number],
            range_max=ranges[number][1] + shifts[number],
            homing_offset=offsets[number] + 3 * shifts[number],
            low_rad=_LIMITS_RAD[number][0],
            high_rad=_LIMITS_RAD[number][1],
        )
        for number, name in enumerate(JOINTS)
    )


def plant_calibration(arm: str) -> dict[str, dict[str, int]]:
    """The content of the arm's LeRobot calibration file, as `json.dumps` takes it."""
    return {
        joint.name: {
            "id": joint.servo_id,
            "drive_mode": 0,
            "homing_offset": joint.homing_offset,
            "range_min": joint.range_min,
            "range_max": joint.range_max,
        }
        for joint in joint_maps(arm)
    }
