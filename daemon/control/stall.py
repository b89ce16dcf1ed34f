"""A joint that pushes and does not move, found long before the servo's own two seconds. Pure.

Effort (duty or current) and a position error beyond what droop explains and no motion, together and
for a while: that is a stall. The first answer is to stop pushing: the joint's goal goes back to
where it is plus what holding it takes (a servo forgets its overload when its output falls), and the
arm holds for as long as its source asks for the same again. Only a stall that stays, or that a
source runs into again and again, is a fault.

Each of the four conditions alone is normal: a payload of 300 g droops the lift by 14 degrees, a
start takes half the duty, a held arm does not move.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

JOINTS = 6
GRIPPER = 5
STILL_RAD_S = 0.15
"""Slower than this is standing: one encoder tick in the 50 ms of the speed's filter is 0.03 rad/s,
a joint on its way to a far goal does 0.5 and more."""
FREE_AGAIN_RAD = math.radians(1.0)
"""A request this much beyond the bound still pushes; less is rounding and encoder noise."""


@dataclass(frozen=True, slots=True)
class StallLimits:
    """What counts as a stall; six values are in joint order, `config/defaults.yaml` has the reasons."""

    load_permille: tuple[float, ...]
    error_rad: tuple[float, ...]
    hold_rad: tuple[float, ...]  # how far a relieved goal stays ahead: what holding takes
    current_a: float
    after_ticks: int
    overload_ticks: int  # a servo's overload bit that stays this long after relief
    fault_ticks: int  # pushed against for this long
    repeats: int  # stalls of one joint ...
    within_ticks: int  # ... in this time


@dataclass(frozen=True, slots=True)
class Joints:
    """One arm at one tick, six values each."""

    goal_rad: Sequence[float]
    position_rad: Sequence[float]
    velocity_rad_s: Sequence[float]
    load_permille: Sequence[int]
    current_a: Sequence[float]
    torque_limit_permille: Sequence[int]  # register 48; -1 where it was never read
    overloaded: Sequence[bool]


@dataclass(frozen=True, slots=True)
class Relief:
    """What to do about a joint that just stalled: its new goal."""

    joint: int
    goal_rad: float


class StallGuard:
    """The memory of one arm's stalls. Call `look` once a tick while the arm is held or moved."""

    def __init__(self, limits: StallLimits) -> None:
        self._limits = limits
        self._pushed = [0] * JOINTS
        self._overloaded = [0] * JOINTS
        self._overload_relieved = [False] * JOINTS
        self._blocked = [0] * JOINTS  # direction in which a joint may not be pushed further
        self._blocked_ticks = [0] * JOINTS
        self._stalls: list[deque[int]] = [deque(maxlen=limits.repeats) for _ in range(JOINTS)]
        self._tick = 0
        self.fault = -1  # the joint whose stall has become a fault

    @property
    def blocked(self) -> bool:
        """Whether some joint may not go where it was last asked to."""
        return any(self._blocked)

    def reset(self) -> None:
        """The arm is not driven, or somebody cleared the fault: start anew."""
        self._pushed = [0] * JOINTS
        self._overloaded = [0] * JOINTS
        self._overload_relieved = [False] * JOINTS
        self._blocked = [0] * JOINTS
        self._blocked_ticks = [0] * JOINTS
        for stalls in self._stalls:
            stalls.clear()
        self.fault = -1

    def look(self, now: Joints) -> list[Relief]:
        """Judge a tick; returns the joints whose goal must go back now."""
        self._tick += 1
        reliefs: list[Relief] = []
        limits = self._limits
        for joint in range(JOINTS):
            if now.overloaded[joint] and joint != GRIPPER:
                relief = self._overload(joint, now)
                if relief is not None:
                    reliefs.append(relief)
            else:
                self._overloaded[joint] = 0
                self._overload_relieved[joint] = False
            error = now.goal_rad[joint] - now.position_rad[joint]
            if abs(error) < limits.error_rad[joint] or not self._pushes(joint, error, now):
                self._pushed[joint] = 0
                continue
            self._pushed[joint] += 1
            if self._pushed[joint] >= limits.after_ticks:
                self._pushed[joint] = 0
                hold = min(abs(error), limits.hold_rad[joint])
                goal = now.position_rad[joint] + math.copysign(hold, error)
                reliefs.append(Relief(joint, goal))
                self._stalled(joint, 1 if error > 0.0 else -1)
        return reliefs

    def pushes_on(self, asked_rad: Sequence[float] | None, position_rad: Sequence[float]) -> bool:
        """Whether the source still asks a blocked joint to go on; frees the joints that it does not.

        Asked for nothing (a hold) a joint is free again: nothing pushes it.
        """
        still = False
        for joint in range(JOINTS):
            direction = self._blocked[joint]
            if not direction:
                continue
            beyond = -1.0
            if asked_rad is not None:
                ahead = (asked_rad[joint] - position_rad[joint]) * direction
                beyond = ahead - self._limits.hold_rad[joint] - FREE_AGAIN_RAD
            if not beyond >= 0.0:  # also for a goal that is not a number: the gate refuses it
                self._blocked[joint] = 0
                self._blocked_ticks[joint] = 0
                continue
            still = True
            if self._blocked_ticks[joint] == 0:
                self._count(joint)
            self._blocked_ticks[joint] += 1
            if self._blocked_ticks[joint] >= self._limits.fault_ticks:
                self.fault = joint
        return still

    def _pushes(self, joint: int, error: float, now: Joints) -> bool:
        """Whether a joint far from its goal spends effort on it and does not get there."""
        limits = self._limits
        if joint == GRIPPER and error < 0.0:
            return False  # jaws that close on something do their work: `grasp`
        speed = now.velocity_rad_s[joint]
        if (speed if error > 0.0 else -speed) > STILL_RAD_S:
            return False
        enough = limits.load_permille[joint]
        capped = now.torque_limit_permille[joint]
        if capped >= 0:
            enough = min(enough, 0.95 * capped)  # it gives all that it is allowed to
        return (
            abs(now.load_permille[joint]) >= enough or abs(now.current_a[joint]) >= limits.current_a
        )

    def _overload(self, joint: int, now: Joints) -> Relief | None:
        """The servo tripped by itself: its output has to fall to nothing for it to forget that."""
        self._overloaded[joint] += 1
        if self._overloaded[joint] >= self._limits.overload_ticks:
            self.fault = joint
        if self._overload_relieved[joint]:
            return None
        self._overload_relieved[joint] = True
        error = now.goal_rad[joint] - now.position_rad[joint]
        self._stalled(joint, 1 if error > 0.0 else -1)
        return Relief(joint, now.position_rad[joint])

    def _stalled(self, joint: int, direction: int) -> None:
        self._blocked[joint] = direction
        self._blocked_ticks[joint] = 0

    def _count(self, joint: int) -> None:
        """A source pushed into a stall. (A held arm that a person pushes away gives way, for ever.)"""
        stalls = self._stalls[joint]
        stalls.append(self._tick)
        if len(stalls) == stalls.maxlen and self._tick - stalls[0] <= self._limits.within_ticks:
            self.fault = joint
