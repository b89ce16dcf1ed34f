"""From a configuration to a control core: buses, calibrations and limits of every arm.

The one place that knows both the configuration's words and the core's numbers. Ports are opened by
functions that are passed in, so lock-step builds the very same core on virtual buses.
"""

import math
from collections.abc import Callable, Mapping

from config.schema import Arm, Config, Leader, Limits
from daemon.control.arm import SERVO_IDS, FollowerArm
from daemon.control.arming import BusArming
from daemon.control.core import ControlCore, CoreSettings
from daemon.control.exchange import Exchange
from daemon.control.gate import ArmLimits
from daemon.control.leader import LeaderArm
from daemon.control.link import BusLink
from drivers.calibration import Calibration
from drivers.joint_map import JointMap
from drivers.serial_port import SerialPort
from robotd.clock import NS_PER_MS, NS_PER_S, Clock

OpenPort = Callable[[str], SerialPort]
"""Opens the serial device that a configuration names. Raises BusError."""


def build_core(
    config: Config,
    calibrations: Mapping[str, Calibration],
    open_port: OpenPort,
    exchange: Exchange,
    clock: Clock,
) -> ControlCore:
    """Make the core for `config`. `calibrations` is by the ids that arms and leaders name."""
    followers: list[FollowerArm] = []
    leaders: list[LeaderArm] = []
    for name, arm in config.arms.items():
        followers.append(_follower(name, arm, config.limits, calibrations, open_port, clock))
        if arm.leader is not None:
            leaders.append(_leader(name, arm.leader, arm, calibrations, open_port, clock))
    arming = BusArming(
        {
            follower.name: calibrations[arm.id]
            for follower, arm in zip(followers, config.arms.values(), strict=True)
        }
    )
    return ControlCore(followers, leaders, exchange, clock, settings_of(config), arming)


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
    )


def radians(values_deg: tuple[float, ...]) -> tuple[float, ...]:
    """Each value in radians."""
    return tuple(math.radians(value) for value in values_deg)


def arm_limits(limits: Limits, joint_map: JointMap) -> ArmLimits:
    """The gate's numbers for one arm: its own range, less the margin."""
    margin = math.radians(limits.range_margin_deg)
    low, high = joint_map.limits_rad
    return ArmLimits(
        minimum_rad=tuple(float(value) + margin for value in low),
        maximum_rad=tuple(float(value) - margin for value in high),
        step_rad=math.radians(limits.step_deg),
        speed_rad_s=radians(limits.speed_deg_s),
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


def _follower(
    name: str,
    arm: Arm,
    limits: Limits,
    calibrations: Mapping[str, Calibration],
    open_port: OpenPort,
    clock: Clock,
) -> FollowerArm:
    joint_map = JointMap(calibrations[arm.id], radians(arm.joint_offset_deg))
    link = BusLink(name or "follower", lambda: open_port(arm.port), SERVO_IDS, clock)
    return FollowerArm(
        name or "follower",
        link,
        joint_map,
        arm_limits(limits, joint_map),
        limits.torque_limit_permille,
    )


def _leader(
    name: str,
    leader: Leader,
    arm: Arm,
    calibrations: Mapping[str, Calibration],
    open_port: OpenPort,
    clock: Clock,
) -> LeaderArm:
    joint_map = JointMap(calibrations[leader.id], radians(arm.joint_offset_deg))
    link = BusLink(f"{name or 'arm'} leader", lambda: open_port(leader.port), SERVO_IDS, clock)
    return LeaderArm(name or "leader", link, joint_map)
