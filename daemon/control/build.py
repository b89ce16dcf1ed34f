"""From a configuration to a control core: buses, calibrations and limits of every arm.

The one place that knows both the configuration's words and the core's numbers. Ports are opened by
functions that are passed in, so lock-step builds the very same core on virtual buses.
"""

import math
from collections.abc import Callable
from functools import partial

from config.schema import Config, Limits
from daemon.control.arm import SERVO_IDS, FollowerArm
from daemon.control.arming import BusArming
from daemon.control.core import ControlCore
from daemon.control.exchange import Exchange
from daemon.control.gate import ArmLimits
from daemon.control.kinematics import MODEL_MAXIMUM_RAD, MODEL_MINIMUM_RAD
from daemon.control.leader import LeaderArm
from daemon.control.link import BusLink
from daemon.control.protection import ProtectionSettings
from daemon.control.settings import CoreSettings
from daemon.control.stall import StallLimits
from drivers.calibration import Calibration, Role
from drivers.joint_map import JointMap
from drivers.serial_port import SerialPort
from drivers.variant import TWELVE, VARIANTS, Variant
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.states import Fault

USABLE_SPEED = 2 / 3
MOST_STALL_PERMILLE = 780.0  # at 800 the servo's own overload protection begins to count
TWIN_STALE_NS = 300 * NS_PER_MS
"""A finding of the mirror older than this is of the past: it speaks every 50 ms."""

OpenPort = Callable[[str, Role], SerialPort]
"""Opens the serial device of an arm, by its name in the configuration. Raises BusError."""

FindCalibration = Callable[[str, Role], Calibration]
"""Finds the calibration of an arm, by its name in the configuration. Raises CalibrationError."""


def build_core(
    config: Config,
    find_calibration: FindCalibration,
    open_port: OpenPort,
    exchange: Exchange,
    clock: Clock,
) -> ControlCore:
    """Make the core for `config`. Opens no port yet."""
    followers: list[FollowerArm] = []
    leaders: list[LeaderArm] = []
    calibrations: dict[str, Calibration] = {}
    leader_calibrations: dict[str, Calibration] = {}
    for name, arm in config.arms.items():
        offsets_rad = radians(arm.joint_offset_deg)
        calibrations[name] = find_calibration(name, "follower")
        joint_map = JointMap(calibrations[name], offsets_rad)
        variant = VARIANTS.get(arm.supply)
        followers.append(
            FollowerArm(
                name,
                BusLink(name, partial(open_port, name, "follower"), SERVO_IDS, clock),
                joint_map,
                arm_limits(config.limits, joint_map, variant),
                config.limits.torque_limit_permille,
                config.control.tick_hz,
                reset_torque(config.limits, variant),
                variant,
            )
        )
        if arm.leader is not None:
            leader_calibrations[name] = find_calibration(name, "leader")
            leader_map = JointMap(leader_calibrations[name], offsets_rad)
            link = BusLink(f"{name} leader", partial(open_port, name, "leader"), SERVO_IDS, clock)
            leaders.append(LeaderArm(name, link, leader_map))
    settings = settings_of(config)
    return ControlCore(
        followers, leaders, exchange, clock, settings, BusArming(calibrations, leader_calibrations)
    )


def settings_of(config: Config) -> CoreSettings:
    """The loop's numbers, in the core's units."""
    control, limits, poses = config.control, config.limits, config.poses
    count = len(config.arms)
    return CoreSettings(
        tick_hz=control.tick_hz,
        read_deadline_ns=int(control.read_deadline_ms * NS_PER_MS),
        command_stale_ns=int(control.command_stale_ms * NS_PER_MS),
        supervisor_stale_ns=int(control.supervisor_stale_s * NS_PER_S),
        supervisor_gone_hold_ns=int(control.supervisor_gone_hold_s * NS_PER_S),
        degraded_after=control.degraded_after_reads,
        fault_after=control.bus_fault_after_reads,
        arming_torque_permille=limits.arming_torque_permille,
        arming_ramp_s=limits.arming_ramp_s,
        release_speed_rad_s=limits.release_speed_rad_s,
        move_speed_rad_s=math.radians(poses.move_speed_deg_s),
        home_rad=radians(poses.home_deg) * count,
        rest_rad=radians(poses.rest_deg) * count,
        via_rad=radians(poses.via_deg) * count,
        late_plan_passes=config.twin.late_rule == "pass",
        soft_start_ns=int(limits.soft_start_s * NS_PER_S),
        supply_dip_s=limits.supply_dip_s,
        supply_fault_s=limits.supply_fault_s,
        protection=protection_settings(config),
    )


def protection_settings(config: Config) -> ProtectionSettings:
    """The guards' numbers; weaker servos need more of their duty for the same weight."""
    chosen, hz = config.protection, config.control.tick_hz
    stalls: list[StallLimits] = []
    for arm in config.arms.values():
        stronger = TWELVE.stall_nm / VARIANTS.get(arm.supply, TWELVE).stall_nm
        stalls.append(
            StallLimits(
                load_permille=tuple(
                    min(MOST_STALL_PERMILLE, load * stronger) for load in chosen.stall_load_permille
                ),
                error_rad=radians(chosen.stall_error_deg),
                hold_rad=radians(chosen.stall_hold_deg),
                current_a=chosen.stall_current_a,
                after_ticks=max(1, round(chosen.stall_ms * hz / 1000)),
                overload_ticks=max(1, round(chosen.stall_ms * hz / 1000)),
                fault_ticks=max(1, round(chosen.stall_fault_s * hz)),
                repeats=chosen.stall_repeats,
                within_ticks=round(chosen.stall_within_s * hz),
            )
        )
    return ProtectionSettings(
        stall=tuple(stalls),
        grasp_squeeze_rad=math.radians(chosen.grasp_squeeze_deg),
        grasp_ticks=max(1, round(chosen.grasp_ms * hz / 1000)),
        twin_faults=frozenset(Fault[name.upper()] for name in chosen.twin_faults),
        twin_fault_after_ns=int(chosen.twin_fault_ms * NS_PER_MS),
        twin_stale_ns=TWIN_STALE_NS,
    )


def radians(values_deg: tuple[float, ...]) -> tuple[float, ...]:
    """Each value in radians."""
    return tuple(math.radians(value) for value in values_deg)


def reset_torque(limits: Limits, variant: Variant | None) -> tuple[int, ...]:
    """The cap of the reset phase: as many newton metres from every kind of servo, as far as it
    goes. The setting is in the 12 V servo's permille."""
    stronger = TWELVE.stall_nm / (variant or TWELVE).stall_nm
    cap = min(1000, round(limits.reset_torque_permille * stronger))
    return tuple(min(cap, working) for working in limits.torque_limit_permille)


def arm_limits(limits: Limits, joint_map: JointMap, variant: Variant | None = None) -> ArmLimits:
    """The gate's numbers for one arm: its own range, less the margin; of its servos' no-load speed
    no more than two thirds, because a servo at full speed has no torque left to follow with."""
    top_rad_s = USABLE_SPEED * (variant or TWELVE).no_load_rad_s
    margin = math.radians(limits.range_margin_deg)
    low, high = joint_map.limits_rad(MODEL_MINIMUM_RAD, MODEL_MAXIMUM_RAD)
    return ArmLimits(
        minimum_rad=tuple(float(value) + margin for value in low),
        maximum_rad=tuple(float(value) - margin for value in high),
        step_rad=math.radians(limits.step_deg),
        speed_rad_s=tuple(min(speed, top_rad_s) for speed in radians(limits.speed_deg_s)),
        acceleration_rad_s2=radians(limits.acceleration_deg_s2),
        squeeze_rad=math.radians(limits.squeeze_deg),
        workspace_min_m=_vector(limits.workspace_min_m),
        workspace_max_m=_vector(limits.workspace_max_m),
        derate_from_c=limits.derate_from_c,
        stop_at_c=limits.stop_at_c,
    )


def _vector(values: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = values
    return (x, y, z)
