"""How long control may take on its way down. Pure: the configured speed goes in, seconds come out.

Killing control in the middle of parking leaves the servos with their last goal and torque, so the
limit has to be longer than the longest way at the speed that a person chose.
"""

from config.joints import MODEL_RANGE_DEG
from config.schema import Config

RELEASE_S = 20.0  # a governed release takes 2-3 s, and 6 s from full torque without any load
_PEAK_OVER_MEAN = 1.875  # of a minimum-jerk move: robotd.trajectory.rest_to_rest
_MARGIN = 1.25  # a calibrated range may reach beyond the model's; the gate adds its ramps
_PAN, _GRIPPER = 0, 5


def longest_park_s(config: Config) -> float:
    """How long parking takes from the farthest pose there is: draw in, turn, fold
    (`robotd.trajectory.park_path`)."""
    poses = config.poses
    drawn_in_deg = max(
        max(abs(low - poses.via_deg[k]), abs(high - poses.via_deg[k]))
        for k, (low, high) in enumerate(MODEL_RANGE_DEG)
        if k not in (_PAN, _GRIPPER)
    )
    turned_deg = max(abs(end - poses.rest_deg[_PAN]) for end in MODEL_RANGE_DEG[_PAN])
    folded_deg = max(
        abs(poses.rest_deg[k] - poses.via_deg[k])
        for k in range(len(MODEL_RANGE_DEG))
        if k not in (_PAN, _GRIPPER)
    )
    speed_deg_s = min(poses.move_speed_deg_s, *config.limits.speed_deg_s)
    way_deg = drawn_in_deg + turned_deg + folded_deg
    return _MARGIN * _PEAK_OVER_MEAN * way_deg / speed_deg_s


def arm_down_s(config: Config) -> float:
    """How long control may take to park and let the arm down."""
    return longest_park_s(config) + RELEASE_S
