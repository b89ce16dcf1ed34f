"""The joints of a robot in the order that every ring, slot and dataset row uses."""

from config.schema import Config

ARM_JOINTS = (
    "shoulder_pan",
    "shoulder_lift",
    "elbow_flex",
    "wrist_flex",
    "wrist_roll",
    "gripper",
)
"""One SO-101 in bus-id order 1..6, by LeRobot's names."""

MODEL_RANGE_DEG = (
    (-110.0, 110.0),
    (-100.0, 100.0),
    (-96.83, 96.83),
    (-95.0, 95.0),
    (-157.21, 162.79),
    (-10.0, 100.0),
)
"""How far each joint goes, model frame: the joint ranges of the SO-101's MJCF."""


def arm_prefixes(config: Config) -> tuple[str, ...]:
    """What stands before the joint names of each arm: nothing for one arm, `left_` and `right_`
    for two. The loader keeps `config.arms` in this order."""
    return ("",) if len(config.arms) == 1 else tuple(f"{name}_" for name in config.arms)


def joint_names(config: Config) -> tuple[str, ...]:
    """Every joint of the robot, arm by arm."""
    return tuple(prefix + joint for prefix in arm_prefixes(config) for joint in ARM_JOINTS)
