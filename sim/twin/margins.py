"""How deep two bodies of the twin may seem to stand in each other before a plan is refused.

The twin's boxes are fatter than the printed links, and its arm droops by the masses of the MJCF: the real one sags a
degree or two more or less. One degree moves the tips 6-7 mm up or down (ground facts), so a clearance check without a
margin refuses good plans, and gets switched off by its users. `robotd bench preflight` counts both sides.
"""

import numpy as np
import numpy.typing as npt

from robotd.plan_words import FIRST_OBSTACLE, LAST_BODY, PARTS_PER_ARM, Part
from sim.model.obstacles import PREFIX, Obstacle
from sim.twin.apply import TwinBody, Vector

FINGER_DEPTH_M = 0.024
"""How deep the fingers' boxes may seem to stand in the table. Tips are meant to touch it, and may be expected 12 mm too
low (`sim.twin.path`): in two of some seventy episodes of the ACT they seemed 21 mm deep and pressed with 1.3 N."""

LINK_DEPTH_M = 0.004
"""How deep anything else must seem to stand in something before it counts: the boxes are fatter than the printed
links. No good plan brought one into contact at all; what the tips stay clear of is clear by more than the 12 mm by
which they are expected too high or too low (`sim.twin.path`)."""

SELF_DEPTH_M = 0.002
"""The same for two parts of one arm. Droop moves them together, and near the base the arm is stiff: 4 mm of seeming
depth were 12 N in the plant."""

_PARTS = {
    "base": Part.BASE,
    "shoulder": Part.SHOULDER,
    "upper_arm": Part.UPPER_ARM,
    "lower_arm": Part.LOWER_ARM,
    "wrist": Part.WRIST,
    "gripper": Part.HAND,
    "moving_jaw_so101_v1": Part.HAND,
}


def bodies(body: TwinBody, obstacles: tuple[Obstacle, ...]) -> npt.NDArray[np.int64]:
    """The number of `robotd.plan_words` for each geom [ngeom]; 0 for what only looks."""
    model = body.model
    numbers = np.zeros(model.ngeom, dtype=np.int64)
    names = [PREFIX + obstacle.name for obstacle in obstacles]
    for geom in range(model.ngeom):
        name = model.geom(geom).name
        if name in names:
            numbers[geom] = min(FIRST_OBSTACLE + names.index(name), LAST_BODY)
        elif geom in body.index.table_geoms:
            numbers[geom] = Part.TABLE
        elif name == "floor":
            numbers[geom] = Part.FLOOR
    for number, arm in enumerate(body.index.arms):
        for geom in arm.link_geoms:
            link = model.body(model.geom_bodyid[geom]).name.removeprefix(arm.prefix)
            numbers[geom] = number * PARTS_PER_ARM + _PARTS[link]
        for geom in arm.fixed_finger_geoms | arm.moving_finger_geoms:
            numbers[geom] = number * PARTS_PER_ARM + Part.FINGERS
    return numbers


def deepest_m(body: TwinBody, obstacles: tuple[Obstacle, ...]) -> Vector:
    """For each pair of geoms [ngeom, ngeom] how deep they may seem to stand in each other."""
    limits = np.full((body.model.ngeom, body.model.ngeom), LINK_DEPTH_M)
    limits[touching_fingers(body, obstacles) >= 0] = FINGER_DEPTH_M
    for arm in body.index.arms:
        hand = sorted(arm.fixed_finger_geoms | arm.moving_finger_geoms)
        whole = sorted(arm.link_geoms) + hand
        limits[np.ix_(whole, whole)] = SELF_DEPTH_M
        limits[np.ix_(hand, hand)] = np.inf  # closing the hand is what it is for
    return limits


def touching_fingers(body: TwinBody, obstacles: tuple[Obstacle, ...]) -> npt.NDArray[np.int64]:
    """For each pair of geoms [ngeom, ngeom] the arm whose fingers may touch there, the table or what the configuration
    allows; -1 for all other pairs."""
    model = body.model
    touchable = sorted(body.index.table_geoms) + [
        model.geom(PREFIX + obstacle.name).id for obstacle in obstacles if obstacle.fingers
    ]
    arm_of = np.full((model.ngeom, model.ngeom), -1, dtype=np.int64)
    for number, arm in enumerate(body.index.arms):
        hand = sorted(arm.fixed_finger_geoms | arm.moving_finger_geoms)
        arm_of[np.ix_(hand, touchable)] = number
        arm_of[np.ix_(touchable, hand)] = number
    return arm_of


def allow_touching(body: TwinBody, limits: Vector, slack_m: float = LINK_DEPTH_M) -> Vector:
    """`limits`, with what touches in the pose the model stands in allowed that deep, and `slack_m` more."""
    body.collide()
    allowed = limits.copy()
    geoms, depths_m = body.pairs()
    for (first, second), depth_m in zip(geoms.tolist(), depths_m.tolist(), strict=True):
        deepest = max(allowed[first, second], depth_m + slack_m)
        allowed[first, second] = allowed[second, first] = deepest
    return allowed
