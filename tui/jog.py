"""Keyboard jog: which joint, how far, and the goal it adds up to. Pure.

Each press moves the goal of the chosen joint by one fixed step; a held key repeats as the terminal
repeats it. The goal is then sent 30 times a second until the mode is left, so that it stays fresh;
when this screen dies the goals stop and control holds. The goal never runs further ahead of the
measured joint than `LEAD_RAD`: a joint that is held back does not jump when it comes free."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from robotd.messages import JointStatus

STEPS_DEG = (0.5, 1.0, 2.0, 5.0)
LEAD_RAD = math.radians(12.0)
"""Room for the droop of a loaded joint (5-6 degrees at LeRobot's gains) and a step on top."""


@dataclass(frozen=True, slots=True)
class Jog:
    """The keyboard's goal. `goal_rad` is in the robot's joint order, model frame."""

    names: tuple[str, ...]
    goal_rad: tuple[float, ...]
    handover_version: int
    joint: int = 0
    step: int = 2

    @property
    def step_deg(self) -> float:
        """Degrees a press moves the chosen joint by."""
        return STEPS_DEG[self.step]

    @property
    def joint_name(self) -> str:
        """The chosen joint."""
        return self.names[self.joint]


def start(joints: Sequence[JointStatus], handover_version: int) -> Jog:
    """Begin from the goals that hold the arm now, so that taking over moves nothing."""
    return Jog(
        names=tuple(joint.name for joint in joints),
        goal_rad=tuple(joint.applied_rad for joint in joints),
        handover_version=handover_version,
    )


def choose(jog: Jog, by: int) -> Jog:
    """The joint `by` further on, around the end."""
    return replace(jog, joint=(jog.joint + by) % len(jog.names))


def choose_number(jog: Jog, number: int) -> Jog:
    """Joint 1 to 6 of the arm that is being jogged; another number changes nothing."""
    index = jog.joint // 6 * 6 + number - 1
    return replace(jog, joint=index) if 1 <= number <= 6 and index < len(jog.names) else jog


def resize(jog: Jog, by: int) -> Jog:
    """A bigger or smaller step."""
    return replace(jog, step=min(max(jog.step + by, 0), len(STEPS_DEG) - 1))


def press(jog: Jog, direction: int, position_rad: Sequence[float]) -> Jog:
    """Move the chosen joint's goal one step, at most `LEAD_RAD` from where it is measured."""
    here = position_rad[jog.joint]
    wanted = jog.goal_rad[jog.joint] + direction * math.radians(jog.step_deg)
    goal = list(jog.goal_rad)
    goal[jog.joint] = min(max(wanted, here - LEAD_RAD), here + LEAD_RAD)
    return replace(jog, goal_rad=tuple(goal))
