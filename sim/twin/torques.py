"""What pushes on the arm besides its own motors and its own weight, in newton metres at each joint.

The servos say their duty and the supply voltage, which is the motors' torque; the model says what torque the measured
motion takes. The difference comes from outside: a payload, a hand, a table. Position residuals say the same for an
arm at rest (7.7 N.m/rad at P = 16), but under way they are mostly lag; this is not.

Speed is differentiated over 50 ms and acceleration over as much again, so the torques are averaged over the same
past: the answer is some 75 ms old.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from sim.model.parameters import FRICTION_NM, VISCOUS_NM_S
from sim.twin.apply import TwinBody, Vector

WINDOW = 6
"""Ticks over which acceleration is taken and torques are averaged: 50 ms at 120 Hz, the speed filter's own."""
_SPEED_DELAY = WINDOW // 2
_KEPT = 2 * WINDOW
_MOVES_RAD_S = 0.1  # friction's sign is known above this speed
_STRONG_SUPPLY_V = 10.0  # 12 V servos are fed more, 7.4 V ones less
_GRAVITY_M_S2 = 9.81

# N.m per volt at full duty, and N.m per rad/s of back-EMF (servo-and-twin facts 3.1: C018, C001).
_STRONG = (2.94 / 12.0, 2.94 / 4.71)
_WEAK = (1.91 / 7.4, 1.91 / 5.45)


@dataclass(frozen=True, slots=True)
class Moment:
    """One robot at one tick, all [n], joints of all arms in bus order.

    `motor_nm` is what the duty gives a standing motor, `error_rad` what was left to the goal then. `external_nm` is
    what the motion took beyond motor, weight and friction: positive pushes the joint to larger angles.
    `payload_nm_kg` is what a kilogram at the fingers would add.
    """

    stamp_ns: int
    position_rad: Vector
    velocity_rad_s: Vector
    goal_rad: Vector
    motor_nm: Vector
    error_rad: Vector
    gravity_nm: Vector
    external_nm: Vector
    payload_nm_kg: Vector


class TorqueObserver:
    """Turns ticks into moments. Shares the body's model; leaves it standing in the measured pose."""

    def __init__(self, body: TwinBody) -> None:
        self._body = body
        dof = body.index.dof
        self._armature = body.model.dof_armature[dof].copy()
        self._sites = [arm.tcp_site for arm in body.index.arms]
        self._jacobian = np.zeros((3, body.model.nv))
        self._stamps = np.zeros(_KEPT)
        self._speeds = np.zeros((_KEPT, body.joints))
        self._motors = np.zeros((_KEPT, body.joints))
        self._errors = np.zeros((_KEPT, body.joints))
        self._needed = np.zeros((WINDOW, body.joints))
        self._count = 0

    def reset(self) -> None:
        """What was seen before says nothing of what comes."""
        self._count = 0

    def observe(self, tick: Mapping[str, Any]) -> Moment | None:
        """Take a tick (layout `tick`); None until enough of the past is known."""
        position = np.array(tick["present_position_rad"])
        speed = np.array(tick["present_velocity_rad_s"])
        volts = np.array(tick["present_voltage_v"])
        per_volt, braking = _STRONG if volts.max() > _STRONG_SUPPLY_V else _WEAK
        goal = np.array(tick["applied_rad"])
        for kept in (self._stamps, self._speeds, self._motors, self._errors, self._needed):
            kept[:-1] = kept[1:]
        self._stamps[-1] = tick["deadline_ns"] * 1e-9
        self._speeds[-1] = speed
        self._motors[-1] = np.array(tick["present_load_permille"]) * volts * (per_volt * 1e-3)
        self._errors[-1] = goal - position
        self._count += 1
        if self._count <= WINDOW:
            return None
        step_s = self._stamps[-1] - self._stamps[-1 - WINDOW]
        acceleration = (speed - self._speeds[-1 - WINDOW]) / step_s
        gravity = self.gravity_nm(position)
        self._needed[-1] = self._inertia_nm(acceleration)
        if self._count < _KEPT:
            return None
        motor = self._motors[:WINDOW].mean(axis=0)  # as old as the acceleration is
        moving = self._speeds[-WINDOW - _SPEED_DELAY : -_SPEED_DELAY].mean(axis=0)
        friction = FRICTION_NM * np.clip(moving / _MOVES_RAD_S, -1.0, 1.0)
        external = self._needed.mean(axis=0) - motor + (VISCOUS_NM_S + braking) * moving + friction
        return Moment(
            tick["deadline_ns"],
            position,
            moving,
            goal,
            motor,
            self._errors[:WINDOW].mean(axis=0),
            gravity,
            external,
            self._payload(),
        )

    def gravity_nm(self, position_rad: Vector) -> Vector:
        """What holds the arm there at rest [n]; leaves the model standing there."""
        model, data = self._body.model, self._body.data
        self._body.place(position_rad)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_rne(model, data, 0, data.qfrc_bias)
        held: Vector = data.qfrc_bias[self._body.index.dof].copy()
        return held

    def _inertia_nm(self, acceleration: Vector) -> Vector:
        """Gravity and inertia where the model stands."""
        model, data, dof = self._body.model, self._body.data, self._body.index.dof
        data.qacc[dof] = acceleration
        mujoco.mj_rne(model, data, 1, data.qfrc_bias)
        data.qacc[dof] = 0.0
        needed: Vector = data.qfrc_bias[dof] + self._armature * acceleration
        return needed

    def _payload(self) -> Vector:
        """Torque [n] that lifts a kilogram at each arm's fingers, where the model stands."""
        row = np.zeros(self._body.model.nv)
        for site in self._sites:
            mujoco.mj_jacSite(self._body.model, self._body.data, self._jacobian, None, site)
            row += self._jacobian[2]
        lifted: Vector = row[self._body.index.dof] * _GRAVITY_M_S2
        return lifted
