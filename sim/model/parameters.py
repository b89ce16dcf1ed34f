"""The physical parameters of the scene: nominal for the twin, perturbed from a seed for the plant.

If the plant were the twin, their agreement would prove nothing. So a plant draws its own masses,
frictions and dampings around the nominal ones; the spreads below are what separates one printed arm
from the next.
"""

import random
from dataclasses import dataclass

import mujoco

from sim.model.drawer import DRAWER_FRICTION_N
from sim.model.index import SceneIndex

JOINTS_PER_ARM = 6

ARMATURE_KG_M2 = 0.028
"""Rotor inertia seen at the output, BAM fit of an STS3215 (servo-and-twin facts 3.3)."""

VISCOUS_NM_S = 0.06
"""Viscous part of the joint damping alone, BAM fit 0.0591. The 0.60 of the upstream MJCF also holds
the motor's back-EMF, which the servo law applies (plant) or the actuator's bias does (twin)."""

FRICTION_NM = 0.20
"""Load-free Coulomb friction of a geared joint. The BAM fit says 0.052; the static error of a
loaded servo (20-30 ticks under 1.04 N.m at P=32) needs about 0.25, so 0.15-0.3 is drawn."""


BLOCK_MASS_KG = 0.020
"""A 2x4 Duplo brick weighs 15-20 g."""

BLOCK_FRICTION = 0.4
"""ABS on a painted table or on a bowl."""

FINGER_FRICTION = 0.7
"""A printed PLA finger with its layer lines on ABS. Simulated grippers are often given 100, which
forgives every bad grip; at 0.7 one that pulls too hard or holds too little loses the block."""


@dataclass(frozen=True, slots=True)
class PlantParameters:
    """What the physics of one scene is made of. Per-joint tuples are in bus order, the same for
    every arm."""

    link_mass_scale: tuple[float, ...] = (1.0,) * JOINTS_PER_ARM  # bodies shoulder .. moving jaw
    joint_friction_nm: tuple[float, ...] = (FRICTION_NM,) * JOINTS_PER_ARM
    joint_viscous_nm_s: tuple[float, ...] = (VISCOUS_NM_S,) * JOINTS_PER_ARM
    armature_kg_m2: float = ARMATURE_KG_M2
    block_mass_kg: float = BLOCK_MASS_KG
    finger_friction: float = FINGER_FRICTION
    block_friction: float = BLOCK_FRICTION
    drawer_friction_n: float = DRAWER_FRICTION_N

    def __post_init__(self) -> None:
        for values in (self.link_mass_scale, self.joint_friction_nm, self.joint_viscous_nm_s):
            if len(values) != JOINTS_PER_ARM:
                raise ValueError(
                    f"one value per joint is needed: {JOINTS_PER_ARM}, got {len(values)}"
                )

    @classmethod
    def nominal(cls) -> "PlantParameters":
        """The twin's parameters."""
        return cls()

    @classmethod
    def perturbed(cls, seed: int) -> "PlantParameters":
        """One plant of many: the same seed gives the same plant, on every machine."""
        draw = random.Random(f"plant-parameters-{seed}").uniform
        joints = range(JOINTS_PER_ARM)
        return cls(
            # A real arm carries cables, screws and a camera that no CAD file knows: heavier rather
            # than lighter.
            link_mass_scale=tuple(draw(0.97, 1.12) for _ in joints),
            joint_friction_nm=tuple(draw(0.15, 0.30) for _ in joints),
            joint_viscous_nm_s=tuple(draw(0.045, 0.080) for _ in joints),
            armature_kg_m2=draw(0.026, 0.031),
            block_mass_kg=draw(0.015, 0.025),
            finger_friction=draw(0.5, 0.9),
            block_friction=draw(0.3, 0.5),
            drawer_friction_n=draw(0.6, 1.6),
        )


def apply_parameters(model: mujoco.MjModel, index: SceneIndex, parameters: PlantParameters) -> None:
    """Write `parameters` into a freshly compiled model.

    Done after compiling, so that one cached model serves every seed. Must run once per model:
    masses are scaled.
    """
    for arm in index.arms:
        model.dof_damping[arm.dof] = parameters.joint_viscous_nm_s
        model.dof_frictionloss[arm.dof] = parameters.joint_friction_nm
        model.dof_armature[arm.dof] = parameters.armature_kg_m2
        for body, scale in zip(model.dof_bodyid[arm.dof], parameters.link_mass_scale, strict=True):
            model.body_mass[body] *= scale
            model.body_inertia[body] *= scale
        for geom in arm.fixed_finger_geoms | arm.moving_finger_geoms:
            model.geom_friction[geom, 0] = parameters.finger_friction
    if index.block_body is not None:
        model.body_inertia[index.block_body] *= (
            parameters.block_mass_kg / model.body_mass[index.block_body]
        )
        model.body_mass[index.block_body] = parameters.block_mass_kg
        for geom in index.block_geoms | index.bowl_geoms | index.table_geoms:
            model.geom_friction[geom, 0] = parameters.block_friction
    if index.drawer_dof is not None:
        model.dof_frictionloss[index.drawer_dof] = parameters.drawer_friction_n
    mujoco.mj_setConst(model, mujoco.MjData(model))  # subtree masses and inverse weights follow
