"""What protects the arm from what it does: stalls, grasps, and the twin's findings, in one place.

Called twice a tick. `shield` comes between the source and the gate: it takes effort off a joint that
pushes in vain and off jaws that hold. `finding` says what of it all has become a fault. Neither
writes a motor; goals are changed in the gate's memory, and the gate sends them.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from daemon.control.arm import JOINTS, FollowerArm
from daemon.control.exchange import TwinFinding
from daemon.control.gate import GRIPPER, Asked
from daemon.control.grasp import NO_FLOOR, GraspGuard
from daemon.control.stall import Joints, StallGuard, StallLimits
from daemon.control.watch import OVERLOAD_BIT, Finding
from drivers.calibration import JOINT_NAMES
from robotd.states import Fault, LimitedBy

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProtectionSettings:
    """The numbers of all arms; `config/defaults.yaml` says why."""

    stall: tuple[StallLimits, ...]  # one for each arm
    grasp_squeeze_rad: float
    grasp_ticks: int
    twin_faults: frozenset[Fault]
    twin_fault_after_ns: int
    twin_stale_ns: int


@dataclass(frozen=True, slots=True)
class Shielded:
    """One arm's request as the gate may take it, and how far its jaws may close."""

    asked: Asked
    grip_floor_rad: float


class Protection:
    """The guards of one robot."""

    def __init__(self, arms: Sequence[FollowerArm], settings: ProtectionSettings) -> None:
        self._arms = tuple(arms)
        self._settings = settings
        self._stalls = [StallGuard(limits) for limits in settings.stall]
        self._grasps = [
            GraspGuard(settings.grasp_squeeze_rad, settings.grasp_ticks) for _ in self._arms
        ]

    def shield(self, asked: Sequence[Asked], driven: bool) -> list[Shielded]:
        """Judge this tick's telemetry; may move goals back in the arms' gates.

        driven: whether the arm is held or moved at its working torque. Otherwise everything is
        forgotten and the request passes as it is.
        """
        if not driven:
            for stall, grasp in zip(self._stalls, self._grasps, strict=True):
                stall.reset()
                grasp.reset()
            return [Shielded(each, NO_FLOOR) for each in asked]
        return [self._shield(number, each) for number, each in enumerate(asked)]

    def finding(self, twin: TwinFinding | None, now_ns: int) -> Finding | None:
        """What has become a fault, with the joint's index in the robot."""
        for number, stall in enumerate(self._stalls):
            if stall.fault >= 0:
                return Finding(Fault.STALLED, number * JOINTS + stall.fault)
        return judge_twin(twin, now_ns, self._settings)

    def _shield(self, number: int, asked: Asked) -> Shielded:
        arm, stall, grasp = self._arms[number], self._stalls[number], self._grasps[number]
        goal = arm.gate.applied_rad
        telemetry = arm.telemetry
        loads = [0 if r is None else r.load_permille for r in telemetry]
        reliefs = stall.look(
            Joints(
                goal,
                arm.position_rad,
                arm.velocity_rad_s,
                loads,
                [0.0 if r is None else r.current_a for r in telemetry],
                arm.limit_now_permille,
                [r is not None and bool((r.status | r.error) & OVERLOAD_BIT) for r in telemetry],
            )
        )
        for relief in reliefs:
            _move_goal(arm, relief.joint, relief.goal_rad)
            log.warning(
                "%s %s pushes in vain: goal moved back", arm.name, JOINT_NAMES[relief.joint]
            )
        if stall.blocked and stall.pushes_on(asked.goal_rad, arm.position_rad):
            asked = Asked(None, LimitedBy.BLOCKED)
        back = grasp.look(
            None if asked.goal_rad is None else asked.goal_rad[GRIPPER],
            goal[GRIPPER],
            arm.position_rad[GRIPPER],
            arm.velocity_rad_s[GRIPPER],
            loads[GRIPPER],
        )
        if back:
            _move_goal(arm, GRIPPER, grasp.floor_rad)
        return Shielded(asked, grasp.floor_rad)


def judge_twin(
    twin: TwinFinding | None, now_ns: int, settings: ProtectionSettings
) -> Finding | None:
    """Whether what the mirror sees is a fault: fresh, lasting, and of a kind that faults. Pure.

    A twin that is late or dead finds nothing and therefore faults nothing.
    """
    if twin is None or twin.fault not in settings.twin_faults:
        return None
    fresh = now_ns - twin.stamp_ns < settings.twin_stale_ns
    lasting = twin.stamp_ns - twin.since_ns >= settings.twin_fault_after_ns
    return Finding(twin.fault, twin.joint) if fresh and lasting else None


def _move_goal(arm: FollowerArm, joint: int, goal_rad: float) -> None:
    """Put one joint's applied goal elsewhere, at rest; the others keep their motion."""
    pose, speed = list(arm.gate.applied_rad), list(arm.gate.velocity_rad_s)
    pose[joint], speed[joint] = goal_rad, 0.0
    arm.gate = replace(arm.gate, applied_rad=tuple(pose), velocity_rad_s=tuple(speed))
