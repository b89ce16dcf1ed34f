"""The leader arm: six light joints that a scripted hand moves, with the same servos behind the
same kind of wire.

Kinematic on purpose: no links, no gravity, no objects. Each joint is an inertia with friction; a
hand is a spring and damper that pulls it towards a wanted angle; a servo with torque on pushes
with its own law. That is what teleoperation needs from a leader, and all this model claims.
"""

from collections.abc import Sequence

from sim.plant.arm import Arm, make_arm
from sim.plant.options import PlantOptions

INERTIA_KG_M2 = 0.02
FRICTION_NM = 0.06
VISCOUS_NM_S = 0.05
HAND_NM_PER_RAD = 30.0
HAND_NM_S = 1.5  # nearly critical with the inertia: the hand does not ring
HAND_LIMIT_NM = 4.0
HAND_SPEED_RAD_S = 3.0  # a wanted angle far away is approached no faster than a person would
_DT_S = 0.001
_SLOW_MS = 10
_AT_REST_RAD_S = 1e-3


class LeaderArm:
    """One leader. Angles in rad, model frame, bus order."""

    def __init__(self, name: str, rest_rad: tuple[float, ...], options: PlantOptions) -> None:
        self.arm: Arm = make_arm(
            name,
            rest_rad,
            zero_time=options.zero_time,
            noise_ticks=options.noise_ticks,
            seed=1000 + (options.plant_seed or 0),
        )
        self.time_ms = 0
        self._angle = list(rest_rad)
        self._speed = [0.0] * len(rest_rad)
        self._hand: list[float] | None = None
        self._hand_now = list(rest_rad)

    def joint_positions_rad(self) -> list[float]:
        """True joint angles."""
        return list(self._angle)

    def hand(self, target_rad: Sequence[float] | None) -> None:
        """Take the arm and bring it to `target_rad` (clipped to the joints' ranges), or let go
        (None)."""
        if target_rad is None:
            self._hand = None
            return
        self._hand = [
            max(joint.low_rad, min(joint.high_rad, angle))
            for joint, angle in zip(self.arm.maps, target_rad, strict=True)
        ]
        self._hand_now = list(self._angle)

    def advance(self, to_ms: int) -> None:
        """Step to `to_ms`."""
        while self.time_ms < to_ms:
            self._step()
            self.time_ms += 1
            if self.time_ms % _SLOW_MS == 0:
                self.arm.settle_supply()

    def _step(self) -> None:
        hand = self._hand
        for number, (servo, joint) in enumerate(zip(self.arm.servos, self.arm.maps, strict=True)):
            angle, speed = self._angle[number], self._speed[number]
            shaft = joint.present_ticks(angle) + joint.homing_offset
            duty = servo.tick(shaft)
            variant = servo.variant
            torque = variant.torque_nm(duty, servo.supply_v)
            if hand is not None:
                torque += self._hand_torque(number, hand[number], angle, speed)
            damping = VISCOUS_NM_S + (variant.back_emf_nm_s if servo.torque_enable else 0.0)
            self._move(number, torque, damping, joint.low_rad, joint.high_rad)

    def _hand_torque(self, number: int, target: float, angle: float, speed: float) -> float:
        step = HAND_SPEED_RAD_S * _DT_S
        now = self._hand_now[number]
        now += max(-step, min(step, target - now))
        self._hand_now[number] = now
        pull = HAND_NM_PER_RAD * (now - angle) - HAND_NM_S * speed
        return max(-HAND_LIMIT_NM, min(HAND_LIMIT_NM, pull))

    def _move(self, number: int, torque: float, damping: float, low: float, high: float) -> None:
        speed = self._speed[number]
        if abs(speed) < _AT_REST_RAD_S and abs(torque) <= FRICTION_NM:
            self._speed[number] = 0.0
            return
        friction = FRICTION_NM if speed > 0.0 or (speed == 0.0 and torque > 0.0) else -FRICTION_NM
        before = speed
        # Damping implicitly: stable for any gear.
        speed = (speed + (torque - friction) / INERTIA_KG_M2 * _DT_S) / (
            1.0 + damping / INERTIA_KG_M2 * _DT_S
        )
        if before * speed < 0.0 and abs(torque) <= FRICTION_NM:
            speed = 0.0  # friction stops a joint, it never turns it round
        angle = self._angle[number] + speed * _DT_S
        if angle < low or angle > high:
            angle, speed = max(low, min(high, angle)), 0.0
        self._angle[number], self._speed[number] = angle, speed
