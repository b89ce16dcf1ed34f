"""The bounded torque of a fault, and its way back.

An arm in fault holds, but with no more than it needed a moment ago: what stalled stops pushing with
all its strength, what is hot heats less. After a person cleared the fault the limits rise again
over a second, and a joint that was pushed off its goal is asked for where it is instead.
"""

from collections.abc import Sequence

from daemon.control.arm import JOINTS, FollowerArm
from daemon.control.gate import GateState

HEADROOM_PERMILLE = 150
"""Above the load of the moment: a hold at LeRobot's gains answers a disturbance with some of it."""
CAP_PERMILLE = 600
"""Carries the raised arm (its heaviest hold takes 300 to 350 in the plant), stalls nothing."""
RISE_PERMILLE_S = 1000.0
RETARGET_RAD = 0.17
"""10 degrees: twice the droop under load, so further off something is in the way."""


class BoundedTorque:
    """The torque limits of all arms while in fault and after it."""

    def __init__(self, arms: Sequence[FollowerArm], dt_s: float) -> None:
        self._arms = arms
        self._rise_permille = RISE_PERMILLE_S * dt_s
        self.rising = False

    def bound(self) -> None:
        """Enter a fault. Raises BusError when a line is closed."""
        for arm in self._arms:
            loads = arm.loads_permille()
            arm.write_torque_limit(
                [
                    min(limit, CAP_PERMILLE, abs(load) + HEADROOM_PERMILLE)
                    for limit, load in zip(_known(arm), loads, strict=True)
                ]
            )

    def retarget(self) -> None:
        """The fault was cleared and the arm is held on: begin the way back."""
        self.rising = True
        for arm in self._arms:
            pose = [
                here if abs(goal - here) > RETARGET_RAD else goal
                for goal, here in zip(arm.gate.applied_rad, arm.position_rad, strict=True)
            ]
            arm.gate = GateState.at_rest(pose)

    def rise(self) -> None:
        """One tick of the way back; nothing when there is none. Raises BusError."""
        if not self.rising:
            return
        self.rising = False
        for arm in self._arms:
            wanted = [
                min(working, limit + self._rise_permille)
                for working, limit in zip(arm.torque_limit_permille, _known(arm), strict=True)
            ]
            arm.write_torque_limit(wanted)
            self.rising |= wanted != list(arm.torque_limit_permille)


def _known(arm: FollowerArm) -> list[int]:
    """The limits as last read or written; the working one where nothing was read."""
    return [
        arm.torque_limit_permille[joint] if limit < 0 else limit
        for joint, limit in zip(range(JOINTS), arm.limit_now_permille, strict=True)
    ]
