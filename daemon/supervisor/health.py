"""The health that is published, put together from what the supervisor knows already. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from config.joints import joint_names
from config.schema import Config
from daemon.guard.report import GuardReport
from daemon.supervisor.timing_watch import LineCounts, Timing
from daemon.supervisor.verdict import ABSENT, Figures, ServoFigures, ServoLosses, judge
from daemon.supervisor.words import fault_words
from drivers.registers import ServoStatus
from robotd.clock import NS_PER_S
from robotd.health import (
    BusHealth,
    HealthStatus,
    RealtimeHealth,
    ServoHealth,
    StageHealth,
    TwinHealth,
)
from robotd.messages import CameraStatus, RecordingStatus, Status, TwinStatus
from robotd.states import Fault, State

_JOINTS = 6
_FRESH_NS = NS_PER_S // 2


@dataclass(frozen=True, slots=True)
class Seen:
    """What the supervisor sees at one moment. `state`, `fault` and `fault_do` are its own judgement
    of control, `tick` the newest tick, however old, `realtime` control's file of what it was
    granted, `guard` the guard's newest report, None when none lives."""

    now_ns: int
    state: State
    fault: str
    fault_do: str
    starting: bool
    tick: dict[str, Any] | None
    timing: Timing
    realtime: Mapping[str, Any]
    guard: GuardReport | None
    twin: TwinStatus
    twin_finding: tuple[int, int]  # a `Fault` and its joint, as the mirror's slot has them
    cameras: tuple[CameraStatus, ...]
    processes: dict[str, str]
    recording: RecordingStatus = field(default_factory=RecordingStatus)


def health_status(config: Config, seen: Seen) -> HealthStatus:
    """Figures and verdict."""
    names = joint_names(config)
    tick, timing = seen.tick, seen.timing
    fresh = tick is not None and seen.now_ns - tick["deadline_ns"] < _FRESH_NS
    all_names = (*names, *(f"leader {name}" for name in names))
    lost = _lost(timing.line) or (0,) * len(all_names)
    before = _lost(timing.minute) or (0,) * len(all_names)
    lately = [now - then for now, then in zip(lost, before, strict=True)]
    minute_s = (timing.line.stamp_ns - timing.minute.stamp_ns) / NS_PER_S
    servos = () if tick is None else tuple(_servo(name, k, tick) for k, name in enumerate(names))
    finding, joint = Fault(seen.twin_finding[0]), seen.twin_finding[1]
    twin = _twin(config, seen.twin, seen.state, finding)
    found = fault_words(finding, names[joint] if 0 <= joint < len(names) else None)
    late = timing.stages.get("late", StageHealth()).last_10_s
    guard = ABSENT if seen.guard is None else seen.guard.state.value
    verdict, reasons = judge(
        Figures(
            simulated=config.simulation is not None,
            state=seen.state,
            fault=seen.fault,
            fault_do=seen.fault_do,
            starting=seen.starting,
            ticked=tick is not None,
            tick_hz=config.control.tick_hz,
            recent_ticks=timing.recent_ticks if fresh else 0,
            recent_missed=timing.recent_missed if fresh else 0,
            late_p99_us=late.p99_us if fresh else 0.0,
            servos=tuple(
                ServoFigures(
                    servo.name,
                    k % _JOINTS + 1,
                    _age_ms(tick, k, seen.now_ns),
                    servo.temp_c,
                    servo.flags,
                )
                for k, servo in enumerate(servos)
            ),
            lines=_lines(config, all_names, lately),
            asked_last_minute=round(minute_s * timing.hz),
            reopened_last_minute=timing.line.reopened - timing.minute.reopened,
            derate_from_c=config.limits.derate_from_c,
            stop_at_c=config.limits.stop_at_c,
            twin=twin.verdict,
            twin_finding=found if twin.verdict == finding.name.lower() else ("", ""),
            guard=guard,
            guard_what="" if seen.guard is None else seen.guard.what,
            guard_do="" if seen.guard is None else seen.guard.do,
            processes=seen.processes,
            cameras={camera.name: camera.age_ms for camera in seen.cameras},
            disk_left_s=seen.recording.disk_left_s if seen.recording.disk_low else None,
            encoder_behind_s=seen.recording.encoder_behind_s,
        )
    )
    return HealthStatus(
        verdict=verdict,
        reasons=reasons,
        hz=timing.hz if fresh else 0.0,
        missed=0 if tick is None else tick["missed_ticks"],
        p99_us=late.p99_us,
        rt=_realtime(seen.realtime),
        bus=BusHealth(
            errors=sum(lost),
            coasted=timing.line.coasted,
            reopened=timing.line.reopened,
            errors_last_minute=sum(lately),
            lost={name: count for name, count in zip(all_names, lost, strict=True) if count},
        ),
        servos=servos,
        twin=twin,
        stages=timing.stages,
        guard=guard,
        processes=seen.processes,
    )


def _lost(line: LineCounts) -> tuple[int, ...]:
    return (*line.lost, *line.leader_lost)


def _lines(
    config: Config, names: Sequence[str], lately: Sequence[int]
) -> dict[str, tuple[ServoLosses, ...]]:
    """The serial lines of all followers, then of all leaders, six servos each."""
    several = len(config.arms) > 1
    lines = [
        f"{arm} {kind}" if several else kind for kind in ("arm", "leader") for arm in config.arms
    ]
    return {
        line: tuple(ServoLosses(names[at + k], k + 1, lately[at + k]) for k in range(_JOINTS))
        for line, at in zip(lines, range(0, len(names), _JOINTS), strict=True)
    }


def service_line(status: Status) -> str:
    """The state in one line, for `systemctl status`; it changes when something does."""
    health = status.health
    parts = [
        status.state,
        f"torque {status.torque}",
        f"{health.hz:.0f} Hz",
        f"p99 {health.p99_us / 1000:.1f} ms late",
        f"{health.missed} missed",
        f"health {health.verdict}",
    ]
    what = status.message or (health.reasons[0].what if health.reasons else "")
    return ", ".join(parts) + (f": {what}" if what else "")


def _servo(name: str, joint: int, tick: Mapping[str, Any]) -> ServoHealth:
    return ServoHealth(
        name=name,
        temp_c=tick["present_temperature_c"][joint],
        volt_v=round(tick["present_voltage_v"][joint], 1),
        load=tick["present_load_permille"][joint] / 10,
        current_a=round(tick["present_current_a"][joint], 3),
        flags=_flags(tick["servo_status"][joint]),
    )


def _flags(status: int) -> tuple[str, ...]:
    """The servo's complaints by name; a bit that no table knows by its value."""
    known = tuple((bit.name or "").lower().replace("_", " ") for bit in ServoStatus if status & bit)
    unknown = status & ~sum(ServoStatus)
    return (*known, f"0x{unknown:02x}") if unknown else known


def _age_ms(tick: Mapping[str, Any] | None, joint: int, now_ns: int) -> float:
    """How old a servo's newest answer is now; negative when there never was one."""
    if tick is None or tick["present_age_ns"][joint] < 0:
        return -1.0
    return float(tick["present_age_ns"][joint] + now_ns - tick["read_ns"]) / 1e6


def _twin(config: Config, twin: TwinStatus, state: State, finding: Fault) -> TwinHealth:
    residual_rad = math.radians(max((abs(value) for value in twin.residual_deg), default=0.0))
    if not config.twin.enabled:
        return TwinHealth(verdict="off")
    if not twin.alive:
        return TwinHealth(verdict="absent")
    if not state.armed:
        return TwinHealth(verdict="limp")
    verdict = "agrees" if finding is Fault.NONE else finding.name.lower()
    return TwinHealth(residual_rad=residual_rad, verdict=verdict)


def _realtime(obtained: Mapping[str, Any]) -> RealtimeHealth:
    """What control wrote of its grants; nothing was granted before it did."""
    scheduler = str(obtained.get("scheduler", ""))
    why = {
        "fifo": str(obtained.get("scheduler_why", "")),
        "mlock": str(obtained.get("memory_why", "")),
        "affinity": str(obtained.get("cpu_why", "")),
    }
    return msgspec.convert(
        {
            "fifo": scheduler.startswith("fifo"),
            "mlock": bool(obtained.get("memory_locked", False)),
            "affinity": obtained.get("cpu"),
            "why": {grant: word for grant, word in why.items() if word},
        },
        RealtimeHealth,
    )
