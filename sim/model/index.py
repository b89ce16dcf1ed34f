"""Where things are in a compiled scene: addresses of joints, actuators, sites, geoms and cameras by
their role."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from sim.model.arm import JOINTS
from sim.model.drawer import FACING_RAD, cabinet_at
from sim.model.obstacles import PREFIX

REST_POSE_RAD = (0.0, -1.70, 1.61, 0.66, 0.0, 0.0)
"""Folded back, the lower arm leaning on the shoulder: an arm that goes limp here sinks by a quarter
of a degree. TCP at (0.226, 0, 0.068) m."""

Addresses = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class ArmIndex:
    """One arm of a scene. Arrays are int [6] in bus order; geom sets hold the geoms that can touch
    something."""

    prefix: str
    joint_names: tuple[str, ...]
    qpos: Addresses
    dof: Addresses
    actuator: Addresses
    tcp_site: int
    gripper_body: int
    wrist_camera: str
    link_geoms: frozenset[int]
    fixed_finger_geoms: frozenset[int]
    moving_finger_geoms: frozenset[int]


@dataclass(frozen=True, slots=True)
class SceneIndex:
    """A whole scene. `block_qpos` and `cabinet_qpos` are the first of seven (x y z, w x y z); what
    the scene has not is None or empty."""

    arms: tuple[ArmIndex, ...]
    qpos: Addresses  # all arms' joints, [6 * arms]
    dof: Addresses
    actuator: Addresses
    block_qpos: int | None
    block_dof: int | None
    block_body: int | None
    bowl_body: int | None
    mat_body: int | None
    cabinet_qpos: int | None
    cabinet_dof: int | None
    drawer_qpos: int | None
    drawer_dof: int | None
    handle_site: int | None
    table_geoms: frozenset[int]
    block_geoms: frozenset[int]
    bowl_geoms: frozenset[int]
    handle_geoms: frozenset[int]
    obstacle_geoms: frozenset[int]
    cameras: tuple[str, ...]

    @property
    def joint_names(self) -> tuple[str, ...]:
        """All joints, arm after arm in bus order."""
        return tuple(name for arm in self.arms for name in arm.joint_names)


def scene_index(model: mujoco.MjModel) -> SceneIndex:
    """Read the index off a model made by `sim.model.scene.build`."""
    joints = [model.joint(number).name for number in range(model.njnt)]
    prefixes = [name.removesuffix(JOINTS[0]) for name in joints if name.endswith(JOINTS[0])]
    arms = tuple(_arm_index(model, prefix) for prefix in prefixes)
    block, drawer = "block" in joints, "drawer" in joints
    return SceneIndex(
        arms=arms,
        qpos=np.concatenate([arm.qpos for arm in arms]),
        dof=np.concatenate([arm.dof for arm in arms]),
        actuator=np.concatenate([arm.actuator for arm in arms]),
        block_qpos=int(model.joint("block").qposadr[0]) if block else None,
        block_dof=int(model.joint("block").dofadr[0]) if block else None,
        block_body=model.body("block").id if block else None,
        bowl_body=_body(model, "bowl"),
        mat_body=_body(model, "mat"),
        cabinet_qpos=int(model.joint("cabinet").qposadr[0]) if drawer else None,
        cabinet_dof=int(model.joint("cabinet").dofadr[0]) if drawer else None,
        drawer_qpos=int(model.joint("drawer").qposadr[0]) if drawer else None,
        drawer_dof=int(model.joint("drawer").dofadr[0]) if drawer else None,
        handle_site=model.site("handle").id if drawer else None,
        table_geoms=frozenset({model.geom("table").id}),
        block_geoms=frozenset({model.geom("block").id}) if block else frozenset(),
        bowl_geoms=_touching(model, "bowl:"),
        handle_geoms=_touching(model, "handle:"),
        obstacle_geoms=_touching(model, PREFIX),
        cameras=tuple(model.camera(number).name for number in range(model.ncam)),
    )


def place_block(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    index: SceneIndex,
    x_m: float,
    y_m: float,
    yaw_rad: float,
) -> None:
    """Put the block on the table, at rest. The caller runs `mj_forward` when it needs derived
    values.

    Raises ValueError when the scene has no block.
    """
    if index.block_qpos is None or index.block_dof is None:
        raise ValueError("this scene was built without objects")
    half = yaw_rad / 2.0
    at = index.block_qpos
    data.qpos[at : at + 7] = [
        x_m,
        y_m,
        model.geom("block").size[2],
        math.cos(half),
        0.0,
        0.0,
        math.sin(half),
    ]
    data.qvel[index.block_dof : index.block_dof + 6] = 0.0


def place_object(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    index: SceneIndex,
    x_m: float,
    y_m: float,
    yaw_rad: float,
) -> None:
    """Put what the scene's task is about there, at rest: the block, or the cabinet so that the
    handle of its shut drawer is at (x, y), `yaw_rad` from square to the arm.

    The caller runs `mj_forward`. Raises ValueError when the scene has neither.
    """
    if index.cabinet_qpos is None or index.cabinet_dof is None:
        place_block(model, data, index, x_m, y_m, yaw_rad)
        return
    assert index.drawer_qpos is not None and index.drawer_dof is not None
    turn = FACING_RAD + yaw_rad
    at = index.cabinet_qpos
    half = turn / 2.0
    stand = (*cabinet_at(x_m, y_m, turn), 0.0, math.cos(half), 0.0, 0.0, math.sin(half))
    data.qpos[at : at + 7] = stand
    data.qvel[index.cabinet_dof : index.cabinet_dof + 6] = 0.0
    data.qpos[index.drawer_qpos] = data.qvel[index.drawer_dof] = 0.0


def set_arm_position(data: mujoco.MjData, arm: ArmIndex, position_rad: Sequence[float]) -> None:
    """Set one arm's six joint angles (rad, bus order), at rest."""
    data.qpos[arm.qpos] = position_rad
    data.qvel[arm.dof] = 0.0


def _arm_index(model: mujoco.MjModel, prefix: str) -> ArmIndex:
    names = tuple(prefix + joint for joint in JOINTS)
    return ArmIndex(
        prefix=prefix,
        joint_names=names,
        qpos=np.array([model.joint(name).qposadr[0] for name in names], dtype=np.intp),
        dof=np.array([model.joint(name).dofadr[0] for name in names], dtype=np.intp),
        actuator=np.array([model.actuator(name).id for name in names], dtype=np.intp),
        tcp_site=model.site(prefix + "tcp").id,
        gripper_body=model.body(prefix + "gripper").id,
        wrist_camera=prefix + "wrist",
        link_geoms=_touching(model, prefix + "link:"),
        fixed_finger_geoms=_touching(model, prefix + "fixed_finger:"),
        moving_finger_geoms=_touching(model, prefix + "moving_finger:"),
    )


def _body(model: mujoco.MjModel, name: str) -> int | None:
    names = (model.body(number).name for number in range(model.nbody))
    return next((number for number, each in enumerate(names) if each == name), None)


def _touching(model: mujoco.MjModel, start: str) -> frozenset[int]:
    return frozenset(
        number for number in range(model.ngeom) if model.geom(number).name.startswith(start)
    )
