"""Servos and MuJoCo in one clock: the law's duty becomes torque at the joints, the joints' angles
become ticks.

The servos' law runs at 1 kHz. Physics steps once or twice for that (`physics_step_ms`): within a 2
ms step the second law tick sees the shaft carried on at its speed. Torque = stall x duty x supply
/ nominal; back-EMF is joint damping, present only while the bridge drives the motor, so a limp
joint falls as it should. Backlash sits between motor and output: while the motor crosses the gap
no torque arrives. This is the plant's hot path, hence plain lists.
"""

from collections import deque
from collections.abc import Sequence

import mujoco
import numpy as np

from sim.model.scene import (
    ONE_ARM,
    REST_POSE_RAD,
    TWO_ARMS,
    PlantParameters,
    SceneIndex,
    SceneOptions,
    build,
    scene_index,
    set_arm_position,
)
from sim.plant.arm import Arm, make_arm
from sim.plant.calibration import TICKS_PER_RAD
from sim.plant.options import DriveParameters, PlantOptions
from sim.tasks.spec import kind_of, load_task

STUCK_FRICTION_NM = 50.0
_SLOW_MS = 10
NS_PER_MS = 1_000_000


class Physics:
    """The follower arms in their scene. `advance` moves time; nothing here reads a clock."""

    def __init__(self, options: PlantOptions) -> None:
        parameters = (
            PlantParameters.nominal()
            if options.plant_seed is None
            else PlantParameters.perturbed(options.plant_seed)
        )
        self.model: mujoco.MjModel = build(
            SceneOptions(
                use="plant",
                arms=TWO_ARMS if options.bimanual else ONE_ARM,
                objects=options.objects,
                kind=kind_of(load_task(options.task)),
                parameters=parameters,
            )
        )
        self.step_ms = options.physics_step_ms
        self.model.opt.timestep = self.step_ms / 1000.0
        self.data: mujoco.MjData = mujoco.MjData(self.model)
        self.index: SceneIndex = scene_index(self.model)
        drives = [
            DriveParameters.drawn(options.plant_seed, prefix + "follower", options.nominal_v)
            for prefix in options.prefixes
        ]
        self.arms: tuple[Arm, ...] = tuple(
            make_arm(
                prefix + "follower",
                REST_POSE_RAD,
                zero_time=options.zero_time,
                noise_ticks=options.noise_ticks,
                seed=(options.plant_seed or 0) + number,
                supply_v=drive.supply_v,
                twelve_volt=options.supply == "12V",
                mounted=options.mounts.get(prefix + "follower"),
            )
            for number, (prefix, drive) in enumerate(zip(options.prefixes, drives, strict=True))
        )
        self.time_ms = 0
        self._servos = [servo for arm in self.arms for servo in arm.servos]
        self._zero_ticks = [joint.shaft_ticks_at_zero for arm in self.arms for joint in arm.maps]
        self._backlash = [half / 2.0 for drive in drives for half in drive.backlash_rad]
        self._torque_scale = [scale for drive in drives for scale in drive.torque_scale]
        self._gap = [0.0] * len(self._servos)
        self._ticks = [servo.tick for servo in self._servos]
        self._viscous = self.model.dof_damping[self.index.dof].copy()
        self._friction = self.model.dof_frictionloss[self.index.dof].copy()
        self._hands = [
            (
                float(self.model.body_mass[arm.gripper_body]),
                self.model.body_ipos[arm.gripper_body] + 0,
            )
            for arm in self.index.arms
        ]
        self._delay: list[deque[list[float]]] = [
            deque([[0.0] * 6 for _ in range(drive.delay_ms // self.step_ms)]) for drive in drives
        ]
        self._bind_views()
        for servo in self._servos:
            servo.on_torque_change = self._update_damping
        self.rest()

    def _bind_views(self) -> None:
        dof, actuator = self.index.dof, self.index.actuator
        contiguous = np.arange(len(self._servos))
        if not (np.array_equal(self.index.qpos, contiguous) and np.array_equal(dof, contiguous)):
            raise ValueError("the arms' joints must come first in the model")
        if not np.array_equal(actuator, contiguous):
            raise ValueError("the arms' actuators must come first in the model")
        count = len(self._servos)
        self._qpos_view = self.data.qpos[:count]
        self._qvel_view = self.data.qvel[:count]
        self._ctrl_view = self.data.ctrl[:count]

    def rest(self) -> None:
        """Put every follower in its rest pose, at rest; servos that hold torque hold it there."""
        for arm in self.index.arms:
            set_arm_position(self.data, arm, REST_POSE_RAD)
        mujoco.mj_forward(self.model, self.data)
        self.resync_servos()
        self._update_damping()
        self._slow_step()

    def resync_servos(self) -> None:
        """After joints were placed by hand: every servo wakes up to where its shaft is."""
        for servo, zero, angle in zip(
            self._servos, self._zero_ticks, self._qpos_view.tolist(), strict=True
        ):
            servo.place_shaft(zero + angle * TICKS_PER_RAD)

    def set_stuck(self, joint: int, stuck: bool) -> None:
        """Jam or free one joint (index over all arms, bus order)."""
        self.model.dof_frictionloss[self.index.dof[joint]] = (
            STUCK_FRICTION_NM if stuck else self._friction[joint]
        )

    def push(self, arm: int, link: str, force_n: Sequence[float]) -> None:
        """A force on a link's centre of mass from now on. Raises KeyError for an unknown link."""
        body = self.model.body(self.index.arms[arm].prefix + link).id
        self.data.xfrc_applied[body, :3] = force_n

    def set_payload(self, arm: int, kg: float) -> None:
        """The fingers carry a point mass at the tool centre."""
        model, index = self.model, self.index.arms[arm]
        body = index.gripper_body
        own_kg, own_at = self._hands[arm]
        model.body_mass[body] = own_kg + kg
        model.body_ipos[body] = (own_kg * own_at + kg * model.site_pos[index.tcp_site]) / (
            own_kg + kg
        )
        spare = mujoco.MjData(model)
        mujoco.mj_setConst(model, spare)  # subtree masses follow

    def joint_positions_rad(self) -> Sequence[float]:
        """True joint angles of all arms, bus order."""
        return [float(angle) for angle in self._qpos_view]

    def advance(self, to_ms: int) -> None:
        """Step until the physics' own clock has reached `to_ms` (rounded down to whole steps)."""
        step_ms = self.step_ms
        while self.time_ms + step_ms <= to_ms:
            self._step()
            self.time_ms += step_ms
            if self.time_ms % _SLOW_MS == 0:
                self._slow_step()

    def _step(self) -> None:
        angles = self._qpos_view.tolist()
        speeds = self._qvel_view.tolist()
        zero_ticks, ticks = self._zero_ticks, self._ticks
        shafts = [
            zero + angle * TICKS_PER_RAD for zero, angle in zip(zero_ticks, angles, strict=True)
        ]
        duties = [tick(shaft) for tick, shaft in zip(ticks, shafts, strict=True)]
        if self.step_ms == 2:
            ahead = TICKS_PER_RAD * 0.001
            duties = [
                0.5 * (duty + tick(shaft + speed * ahead))
                for tick, shaft, speed, duty in zip(ticks, shafts, speeds, duties, strict=True)
            ]
        torques = self._through_gears(duties, speeds)
        if self._delayed:
            torques = self._late(torques)
        self._ctrl_view[:] = torques
        mujoco.mj_step(self.model, self.data)

    def _through_gears(self, duties: list[float], speeds: list[float]) -> list[float]:
        """Torque that reaches each output, N.m. The motor must first cross the gap to the side it
        pushes."""
        dt_s = self.step_ms * 0.001
        gap, backlash, per_duty = self._gap, self._backlash, self._torque_per_duty
        torques = []
        for number, duty in enumerate(duties):
            if duty == 0.0:
                torques.append(0.0)
                continue
            half = backlash[number]
            side = half if duty > 0.0 else -half
            if gap[number] != side:
                moved = gap[number] + (duty * self._free_rad_s[number] - speeds[number]) * dt_s
                gap[number] = half if moved >= half else -half if moved <= -half else moved
                if gap[number] != side:
                    torques.append(0.0)
                    continue
            torques.append(duty * per_duty[number])
        return torques

    def _late(self, torques: list[float]) -> list[float]:
        out: list[float] = []
        for number, queue in enumerate(self._delay):
            mine = torques[6 * number : 6 * number + 6]
            if queue:
                queue.append(mine)
                mine = queue.popleft()
            out.extend(mine)
        return out

    def _slow_step(self) -> None:
        for arm in self.arms:
            arm.settle_supply()
        self._torque_per_duty = [
            servo.variant.torque_nm(scale, servo.supply_v)
            for servo, scale in zip(self._servos, self._torque_scale, strict=True)
        ]
        self._free_rad_s = [
            servo.variant.no_load_rad_s * servo.supply_v / servo.variant.nominal_v
            for servo in self._servos
        ]
        self._delayed = any(self._delay)

    def _update_damping(self) -> None:
        for number, servo in enumerate(self._servos):
            braking = servo.variant.back_emf_nm_s if servo.torque_enable else 0.0
            self.model.dof_damping[self.index.dof[number]] = self._viscous[number] + braking
