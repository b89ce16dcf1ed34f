"""The tick record: everything one tick saw and did, in the layout that everyone reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.control.arm import JOINTS, FollowerArm
from daemon.control.gate import Applied, Asked
from daemon.control.leader import LeaderArm
from daemon.control.sources import Followed, Handover
from daemon.control.watch import Finding
from robotd.states import HomeWay, State, Torque


@dataclass(frozen=True, slots=True)
class TickEvidence:
    """What the core knows of a tick besides the arms themselves. Stamps on the loop's clock."""

    index: int
    deadline_ns: int
    began_ns: int
    read_ns: int
    gated_ns: int
    waited_ns: int
    written_ns: int
    wrote: bool
    state: State
    fault: Finding
    handover: Handover
    followed: Followed
    complete: bool
    degraded: bool
    missed_ticks: int
    presses: int
    last_request: int
    park_clear: bool
    home_way: HomeWay


def torque_of(arms: Sequence[FollowerArm]) -> Torque:
    """The torque of all arms in one word."""
    words = {arm.torque_word for arm in arms}
    if Torque.UNKNOWN in words:
        return Torque.UNKNOWN
    return words.pop() if len(words) == 1 else Torque.MIXED


def tick_record(
    tick: TickEvidence,
    arms: Sequence[FollowerArm],
    leaders: Sequence[LeaderArm],
    asked: Asked,
    applied: Sequence[Applied],
) -> Mapping[str, Any]:
    """The record for `robotd.layouts.tick_layout`."""
    telemetry = [reading for arm in arms for reading in arm.telemetry]
    poses = [value for arm in arms for value in arm.gate.applied_rad]
    leader_rad = [value for leader in leaders for value in leader.position_rad]
    ages = [leader.age_ns(tick.read_ns) for leader in leaders]
    return {
        "index": tick.index,
        "deadline_ns": tick.deadline_ns,
        "read_ns": tick.read_ns,
        "write_ns": tick.written_ns if tick.wrote else 0,
        "state": tick.state,
        "torque": torque_of(arms),
        "source": tick.handover.source if tick.state.moving else 0,
        "fault": tick.fault.fault,
        "fault_joint": tick.fault.joint,
        "bus_ok": tick.complete,
        "degraded": tick.degraded,
        "handover_version": tick.handover.version,
        "handover_ns": tick.handover.at_ns,
        "command_age_ns": tick.followed.command_age_ns,
        "plan_id": tick.followed.plan_id,
        "plan_index": tick.followed.plan_index,
        "plan_verdict": tick.followed.plan_verdict,
        "missed_ticks": tick.missed_ticks,
        "read_us": _us(tick.read_ns - tick.began_ns),
        "gate_us": _us(tick.gated_ns - tick.read_ns),
        "write_us": _us(tick.written_ns - tick.waited_ns),
        "late_us": _us(tick.began_ns - tick.deadline_ns),
        "estop_presses": tick.presses,
        "last_request": tick.last_request,
        "park_clear": tick.park_clear,
        "home_way": tick.home_way,
        "present_position_rad": [value for arm in arms for value in arm.position_rad],
        "present_position_ticks": [value for arm in arms for value in arm.position_ticks],
        "present_velocity_rad_s": [value for arm in arms for value in arm.velocity_rad_s],
        "present_age_ns": [value for arm in arms for value in arm.ages_ns(tick.read_ns)],
        "present_load_permille": [0 if r is None else r.load_permille for r in telemetry],
        "present_voltage_v": [0.0 if r is None else r.voltage_v for r in telemetry],
        "present_temperature_c": [0.0 if r is None else r.temperature_c for r in telemetry],
        "present_current_a": [0.0 if r is None else r.current_a for r in telemetry],
        "servo_status": [0 if r is None else (r.status | r.error) & 0xFF for r in telemetry],
        "requested_rad": poses if asked.goal_rad is None else asked.goal_rad,
        "applied_rad": poses,
        "goal_ticks": [value for arm in arms for value in arm.goal_ticks],
        "torque_limit_permille": [value for arm in arms for value in arm.limit_now_permille],
        "limited_by": [flag for pose in applied for flag in pose.limited_by],
        "leader_position_rad": leader_rad or [0.0] * (JOINTS * len(arms)),
        "leader_age_ns": -1 if not ages or min(ages) < 0 else max(ages),
    }


def _us(span_ns: int) -> int:
    return max(0, span_ns // 1000)
