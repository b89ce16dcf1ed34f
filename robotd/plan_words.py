"""Why the twin refused a plan, in words for the person at the arm. Pure.

The twin says it in numbers (slot `twin`): which joint or which two bodies, at which waypoint, how far
into the plan, by how much. Bodies are numbered here, so that both sides of the slot agree: parts of
arm k are `16 * k + Part`, the configured obstacles count from `FIRST_OBSTACLE` in their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from robotd.states import PlanReason

PARTS_PER_ARM = 16
FIRST_OBSTACLE = 128
LAST_BODY = 255
_SIDES = ("left ", "right ")


class Part(IntEnum):
    """What a plan may bring into contact. Numbers are never reused; new ones are appended."""

    NONE = 0
    BASE = 1
    SHOULDER = 2
    UPPER_ARM = 3
    LOWER_ARM = 4
    WRIST = 5
    HAND = 6
    FINGERS = 7
    TABLE = 8
    FLOOR = 9


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal. `joint` and `waypoint` are -1 and the bodies 0 where the reason has none.

    `into_s` counts from when the plan was judged (or begins, if that is later). `amount` is in mm for
    contacts (how deep the bodies would stand in each other), in degrees for RANGE (beyond the range)
    and JUMP, in degrees per second for SPEED, in seconds for STALE (the observation's age).
    """

    reason: PlanReason
    joint: int = -1
    waypoint: int = -1
    into_s: float = 0.0
    amount: float = 0.0
    body: int = 0
    against: int = 0


def sentence(refusal: Refusal, joints: Sequence[str], obstacles: Sequence[str]) -> str:
    """What the plan would have done: "the upper arm would hit the table 0.8 s into the plan, 12 mm
    deep". `joints` are the robot's joint names, `obstacles` those of the configuration."""
    joint = joints[refusal.joint] if 0 <= refusal.joint < len(joints) else "a joint"
    when = f"{refusal.into_s:.1f} s into the plan"
    amount = refusal.amount
    match refusal.reason:
        case PlanReason.NOT_FINITE:
            return f"{joint} has a goal that is not a number {when}"
        case PlanReason.RANGE:
            return f"{joint} would go {amount:.0f}° beyond its range {when}"
        case PlanReason.SPEED:
            return f"{joint} would have to go {amount:.0f}°/s {when}, faster than the arm can"
        case PlanReason.JUMP:
            return f"the plan begins {amount:.0f}° from where {joint} is"
        case PlanReason.STALE:
            return (
                f"it was made from an observation {amount:.1f} s old"
                if amount > 0.0
                else "it was made before the last hand-over"
            )
    if not refusal.body or not refusal.against:
        return refusal.reason.words
    arms = len(joints) // 6
    first = _body(refusal.body, arms, obstacles)
    second = _body(refusal.against, arms, obstacles)
    does = "press into" if refusal.reason is PlanReason.FINGERS_IN_TABLE else "hit"
    return f"{first} would {does} {second} {when}, {amount:.0f} mm deep"


def _body(number: int, arms: int, obstacles: Sequence[str]) -> str:
    if number >= FIRST_OBSTACLE:
        k = number - FIRST_OBSTACLE
        return f"the {obstacles[k]}" if k < len(obstacles) else "an obstacle"
    arm, part = divmod(number, PARTS_PER_ARM)
    side = _SIDES[arm] if arms > 1 and arm < len(_SIDES) and part < Part.TABLE else ""
    return f"the {side}{Part(part).name.lower().replace('_', ' ')}"
