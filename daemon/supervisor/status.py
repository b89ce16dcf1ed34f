"""The published state, assembled from the newest tick and what the other processes show. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from config.joints import joint_names
from config.schema import Config
from drivers.joint_map import JointMap
from robotd.clock import NS_PER_S
from robotd.health import StageHealth
from robotd.messages import JointStatus, LoopStatus, TwinStatus
from robotd.plan_words import Refusal, sentence
from robotd.states import LimitedBy, PlanReason, Verdict

_PER_ARM = 6
_TWIN_STALE_NS = NS_PER_S


def joints_status(
    config: Config, maps: Sequence[JointMap], tick: dict[str, Any]
) -> tuple[JointStatus, ...]:
    """Every joint of the newest tick."""
    present = tick["present_position_rad"]
    requested, applied = tick["requested_rad"], tick["applied_rad"]
    units = _units(maps, present), _units(maps, requested), _units(maps, applied)
    return tuple(
        JointStatus(
            name=name,
            position_rad=present[k],
            position_units=units[0][k],
            requested_rad=requested[k],
            requested_units=units[1][k],
            applied_rad=applied[k],
            applied_units=units[2][k],
            age_ms=tick["present_age_ns"][k] / 1e6,
            temperature_c=tick["present_temperature_c"][k],
            load_percent=tick["present_load_permille"][k] / 10,
            voltage_v=tick["present_voltage_v"][k],
            current_a=tick["present_current_a"][k],
            torque_limit_percent=max(0, tick["torque_limit_permille"][k]) / 10,
            limited_by=LimitedBy(tick["limited_by"][k]).words(),
            status=tick["servo_status"][k],
        )
        for k, name in enumerate(joint_names(config))
    )


def _units(maps: Sequence[JointMap], values_rad: Sequence[float]) -> list[float]:
    """LeRobot units; a requested goal that is no number stays no number's stand-in, 0."""
    finite = [value if math.isfinite(value) else 0.0 for value in values_rad]
    return [
        float(value)
        for number, joint_map in enumerate(maps)
        for value in joint_map.lerobot_from_rad(finite[number * _PER_ARM : (number + 1) * _PER_ARM])
    ]


def twin_status(config: Config, record: dict[str, Any] | None, now_ns: int) -> TwinStatus:
    """The mirror's newest record; not alive when it is older than a second."""
    if record is None:
        return TwinStatus()
    refused_ns = record["refused_ns"]
    refused = Refusal(
        PlanReason(record["refused_reason"]),
        record["refused_joint"],
        record["refused_waypoint"],
        record["refused_into_s"],
        record["refused_amount"],
        record["refused_body"],
        record["refused_against"],
    )
    return TwinStatus(
        alive=now_ns - record["stamp_ns"] < _TWIN_STALE_NS,
        residual_deg=tuple(math.degrees(value) for value in record["residual_rad"]),
        park_clear=bool(record["park_clear"]),
        plans_passed=record["plans_passed"],
        plans_rejected=record["plans_rejected"],
        verdict=Verdict(record["last_verdict"]).name.lower(),
        last_reason=sentence(refused, joint_names(config), tuple(config.twin.obstacles)),
        refused_ago_s=(now_ns - refused_ns) / NS_PER_S if refused_ns else None,
        last_verdict_ms=record["last_verdict_us"] / 1000,
    )


def loop_status(
    config: Config,
    tick: dict[str, Any] | None,
    now_ns: int,
    stages: Mapping[str, StageHealth],
    realtime: dict[str, Any],
    rss_mb: float,
) -> LoopStatus:
    """How control keeps time. `realtime` is control's own file of what it obtained."""
    late, read = (stages.get(stage, StageHealth()).last_10_s for stage in ("late", "read"))
    return LoopStatus(
        tick_hz=config.control.tick_hz,
        ticks=0 if tick is None else tick["index"],
        missed_ticks=0 if tick is None else tick["missed_ticks"],
        late_p50_us=late.p50_us,
        late_p99_us=late.p99_us,
        read_p50_us=read.p50_us,
        read_p99_us=read.p99_us,
        age_ms=-1.0 if tick is None else (now_ns - tick["deadline_ns"]) / 1e6,
        scheduler=str(realtime.get("scheduler", "")),
        memory_locked=bool(realtime.get("memory_locked", False)),
        rss_mb=rss_mb,
    )
