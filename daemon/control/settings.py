"""The loop's numbers, in the units it computes with; `daemon.control.build` makes them."""

from dataclasses import dataclass

from daemon.control.protection import ProtectionSettings


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """The numbers of the loop; poses have six values for each arm, in joint order."""

    tick_hz: int
    read_deadline_ns: int
    command_stale_ns: int
    supervisor_stale_ns: int
    supervisor_gone_hold_ns: int
    degraded_after: int
    fault_after: int
    arming_torque_permille: int
    arming_ramp_s: float
    release_speed_rad_s: float
    move_speed_rad_s: float
    home_rad: tuple[float, ...]
    rest_rad: tuple[float, ...]
    via_rad: tuple[float, ...]
    late_plan_passes: bool
    protection: ProtectionSettings
    soft_start_ns: int
    supply_dip_s: float
    supply_fault_s: float
