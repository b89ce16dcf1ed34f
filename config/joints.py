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


def arm_prefixes(config: Config) -> tuple[str, ...]:
    """What stands before the joint names of each arm: nothing for one arm, `left_` and `right_`
    for two. The loader keeps `config.arms` in this order."""
    return ("",) if len(config.arms) == 1 else tuple(f"{name}_" for name in config.arms)


def joint_names(config: Config) -> tuple[str, ...]:
    """Every joint of the robot, arm by arm."""
    return tuple(prefix + joint for prefix in arm_prefixes(config) for joint in ARM_JOINTS)
