"""The torque limits of held arms: the ceiling in force, a fault's bound, and the way between them.

An arm in fault holds, but with no more than it needed a moment ago: what stalled stops pushing with
all its strength, what is hot heats less. After a person cleared the fault the limits rise again,
and a joint that was pushed off its goal is asked for where it is instead. Between two episodes a
person's hand is in the cell: the arm holds with the reset phase's cap, and rises again before it
moves.
"""

from collections.abc import Sequence

from daemon.control import ceiling
from daemon.control.arm import JOINTS, FollowerArm
from daemon.control.gate import GateState

HEADROOM_PERMILLE = 150
"""Above the load of the moment: a hold at LeRobot's gains answers a disturbance with some of it."""
CAP_PERMILLE = 600
"""Carries the raised arm (its heaviest hold takes 300 to 350 in the plant), stalls nothing."""
RETARGET_RAD = 0.17
"""10 degrees: twice the droop under load, so further off something is in the way."""


class BoundedTorque:
    """The torque limits of all arms while they hold, in fault and after it."""

    def __init__(self, arms: Sequence[FollowerArm], dt_s: float) -> None:
        self._arms = arms
        self._dt_s = dt_s
        self.rising = False

    def bound(self) -> None:
        """Enter a fault. Raises BusError when a line is closed."""
        self.rising = False
        for arm in self._arms:
            needed = [abs(load) + HEADROOM_PERMILLE for load in arm.loads_permille()]
            arm.write_torque_limit(ceiling.in_force(_known(arm), (CAP_PERMILLE,) * JOINTS, needed))

    def retarget(self) -> None:
        """The fault was cleared and the arm is held on: begin the way back."""
        self.rising = True
        for arm in self._arms:
            pose = [
                here if abs(goal - here) > RETARGET_RAD else goal
                for goal, here in zip(arm.gate.applied_rad, arm.position_rad, strict=True)
            ]
            arm.gate = GateState.at_rest(pose)

    def follow(self, reset_phase: bool) -> None:
        """One tick of an armed arm: toward the ceiling in force; `rising` says whether it is still
        below. Raises BusError."""
        self.rising = False
        for arm in self._arms:
            reset = arm.reset_torque_permille if reset_phase else None
            wanted = ceiling.in_force(arm.torque_limit_permille, reset)
            now = _known(arm)
            if all(abs(here - goal) < 1.0 for here, goal in zip(now, wanted, strict=True)):
                continue
            self.rising |= any(goal - here >= 1.0 for here, goal in zip(now, wanted, strict=True))
            arm.write_torque_limit(ceiling.follow(now, wanted, self._dt_s))


def _known(arm: FollowerArm) -> list[int]:
    """The limits as last read or written; the working one where nothing was read."""
    return [
        arm.torque_limit_permille[joint] if limit < 0 else limit
        for joint, limit in zip(range(JOINTS), arm.limit_now_permille, strict=True)
    ]
