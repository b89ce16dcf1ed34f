"""One arm's electrics: six calibrated servos on one wire and one supply."""

from dataclasses import dataclass, field

from sim.plant.bus import BYTE_NS_1M, VirtualBus
from sim.plant.calibration import JointMap, joint_maps
from sim.plant.electrical import FOLLOWER_7V4, FOLLOWER_12V, LEADER_7V4, ServoVariant, Supply
from sim.plant.servo import Servo

LEADER_SUPPLY_V = 5.0
"""Leader arms carry 7.4 V servos on a 5 V brick (servo-and-twin facts 3.1)."""
_MAX_TENTHS_V_OF_7V4 = 80


@dataclass(slots=True)
class Arm:
    """`name` is follower, leader, left_follower …; `maps` and `servos` in bus order."""

    name: str
    maps: tuple[JointMap, ...]
    servos: tuple[Servo, ...]
    bus: VirtualBus
    supply: Supply
    powered: bool = field(default=True)

    def settle_supply(self) -> None:
        """Every 10 ms: the voltage under the currents of now, back to every servo."""
        self.supply.step(sum(servo.current_a for servo in self.servos))
        voltage_v = self.supply.voltage_v
        for servo in self.servos:
            servo.supply_v = voltage_v

    def power(self, on: bool, torque_enable: int = 0) -> None:
        """Pull or plug the arm's supply. `torque_enable=1`: it comes back stiff."""
        self.powered = on
        for servo in self.servos:
            if on:
                servo.power_on(torque_enable)
            else:
                servo.power_off()


def make_arm(
    name: str,
    rest_rad: tuple[float, ...],
    *,
    zero_time: bool,
    noise_ticks: float,
    seed: int,
    supply_v: float | None = None,
    twelve_volt: bool = True,
    mounted: tuple[JointMap, ...] | None = None,
) -> Arm:
    """An arm as it wakes up in `rest_rad`: torque off, Lock 1, its calibration in EPROM.

    `twelve_volt` says what a follower's servos are made for; a leader's are 7.4 V ones. `mounted`
    are encoders other than the shipped ones.
    """
    maps = joint_maps(name) if mounted is None else mounted
    leader = name.endswith("leader")
    follower = FOLLOWER_12V if twelve_volt else FOLLOWER_7V4
    variants: tuple[ServoVariant, ...] = LEADER_7V4 if leader else follower
    volts = supply_v if supply_v is not None else LEADER_SUPPLY_V
    servos = []
    for joint, variant, angle_rad in zip(maps, variants, rest_rad, strict=True):
        overrides = {
            "min_position_limit": joint.range_min,
            "max_position_limit": joint.range_max,
            "homing_offset": joint.homing_offset,
        }
        if variant.nominal_v < 12.0:
            overrides["max_voltage_limit"] = _MAX_TENTHS_V_OF_7V4
        servo = Servo(
            joint.servo_id,
            variant=variant,
            shaft_ticks=joint.present_ticks(angle_rad) + joint.homing_offset,
            noise_ticks=noise_ticks,
            seed=seed,
            overrides=overrides,
        )
        servo.supply_v = volts
        servos.append(servo)
    bus = VirtualBus(servos, byte_ns=0 if zero_time else BYTE_NS_1M)
    return Arm(name, maps, tuple(servos), bus, Supply(volts))
