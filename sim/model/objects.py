"""What stands around the arm: table, block, bowl, mat, lights and the fixed cameras.

Task geometry after a published SO-101 experiment (policies facts 3.28): a 2x4 Duplo block at
(0.217, 0.225) m and a bowl 12 cm across at (0.217, -0.225) m in the arm's base frame, the table's
top at z = 0.
"""

import math

import mujoco
import numpy as np
import numpy.typing as npt

from sim.model.parameters import BLOCK_FRICTION, BLOCK_MASS_KG

BLOCK_HALF_SIZE_M = (0.032, 0.016, 0.0096)
BLOCK_START_M = (0.217, 0.225)
BOWL_CENTRE_M = (0.217, -0.225)
MAT_CENTRE_M = (0.217, -0.11)
BOWL_RIM_RADIUS_M = 0.060  # 12 cm across, outer edge
BOWL_FLOOR_RADIUS_M = 0.046  # a flat-lying block (71.6 mm diagonal) fits
BOWL_HEIGHT_M = 0.035
_BOWL_WALL_M = 0.004
_BOWL_STAVES = 16
_BOWL_MESH_SEGMENTS = 40

TABLE_CENTRE_M = (0.18, 0.0)
TABLE_HALF_SIZE_M = (0.36, 0.48)
_TABLE_THICKNESS_M = 0.03
_FLOOR_Z_M = -0.75
OVERHEAD_CAMERA_M = (0.20, 0.0, 0.62)
_VIEW_CAMERA_M = (0.80, -0.50, 0.52)
_OBJECT_GROUP = 0
_CONTACT_GROUP = 3

_BLOCK_RGBA = (0.80, 0.09, 0.07, 1.0)
_BOWL_RGBA = (0.16, 0.46, 0.58, 1.0)
_MAT_RGBA = (0.20, 0.55, 0.30, 1.0)
_MAT_HALF_M = (0.06, 0.06, 0.0005)


def add_table(spec: mujoco.MjSpec) -> None:
    """A table top the arm is clamped to, on a floor that catches what falls off."""
    top = spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=[*TABLE_CENTRE_M, -_TABLE_THICKNESS_M / 2],
        size=[*TABLE_HALF_SIZE_M, _TABLE_THICKNESS_M / 2],
        group=_OBJECT_GROUP,
        friction=[0.4, 0.003, 0.0001],
        rgba=[0.74, 0.71, 0.66, 1.0],
    )
    top.condim = 4
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[0.0, 0.0, _FLOOR_Z_M],
        size=[0.0, 0.0, 1.0],  # no edge
        group=_OBJECT_GROUP,
        rgba=[0.26, 0.29, 0.33, 1.0],
    )


def add_block(spec: mujoco.MjSpec) -> None:
    """The block: one box to touch, studs only to look at; free joint `block`."""
    body = spec.worldbody.add_body(name="block", pos=[*BLOCK_START_M, BLOCK_HALF_SIZE_M[2]])
    body.add_freejoint(name="block")
    body.add_geom(
        name="block",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=BLOCK_HALF_SIZE_M,
        mass=BLOCK_MASS_KG,
        condim=4,
        friction=[BLOCK_FRICTION, 0.003, 0.0001],
        group=_OBJECT_GROUP,
        rgba=_BLOCK_RGBA,
    )
    pitch = 0.016
    for row in (-0.5, 0.5):
        for column in (-1.5, -0.5, 0.5, 1.5):
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CYLINDER,
                pos=[column * pitch, row * pitch, BLOCK_HALF_SIZE_M[2] + 0.002],
                size=[0.0047, 0.002, 0.0],
                contype=0,
                conaffinity=0,
                mass=0.0,
                group=_OBJECT_GROUP,
                rgba=_BLOCK_RGBA,
            )


def add_mat(spec: mujoco.MjSpec) -> None:
    """The mat that a block is pushed onto: to be seen, too thin to be felt."""
    body = spec.worldbody.add_body(name="mat", pos=[*MAT_CENTRE_M, 0.0])
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=_MAT_HALF_M,
        contype=0,
        conaffinity=0,
        mass=0.0,
        group=_OBJECT_GROUP,
        rgba=_MAT_RGBA,
    )


def add_bowl(spec: mujoco.MjSpec) -> None:
    """The bowl, fixed to the table: a floor disc and a ring of leaning staves, drawn as one round
    mesh."""
    body = spec.worldbody.add_body(name="bowl", pos=[*BOWL_CENTRE_M, 0.0])
    friction = [0.4, 0.003, 0.0001]
    floor = body.add_geom(
        name="bowl:floor",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0.0, 0.0, _BOWL_WALL_M / 2],
        size=[BOWL_FLOOR_RADIUS_M, _BOWL_WALL_M / 2, 0.0],
        friction=friction,
        group=_CONTACT_GROUP,
    )
    floor.condim = 4
    lean_rad = math.atan2(BOWL_RIM_RADIUS_M - BOWL_FLOOR_RADIUS_M, BOWL_HEIGHT_M)
    mid_radius = (BOWL_RIM_RADIUS_M + BOWL_FLOOR_RADIUS_M) / 2 - _BOWL_WALL_M / 2
    half_length = BOWL_HEIGHT_M / math.cos(lean_rad) / 2
    half_width = BOWL_RIM_RADIUS_M * math.tan(math.pi / _BOWL_STAVES)
    for stave in range(_BOWL_STAVES):
        angle = 2 * math.pi * stave / _BOWL_STAVES
        turn = np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, np.array([0.0, 0.0, 1.0]), angle)
        lean = np.zeros(4)
        mujoco.mju_axisAngle2Quat(lean, np.array([0.0, 1.0, 0.0]), lean_rad)
        quat = np.zeros(4)
        mujoco.mju_mulQuat(quat, turn, lean)
        geom = body.add_geom(
            name=f"bowl:stave:{stave}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[
                mid_radius * math.cos(angle),
                mid_radius * math.sin(angle),
                BOWL_HEIGHT_M / 2,
            ],
            quat=quat,
            size=[_BOWL_WALL_M / 2, half_width, half_length],
            friction=friction,
            group=_CONTACT_GROUP,
        )
        geom.condim = 4
    vertices, faces = _round_bowl()
    mesh = spec.add_mesh(name="bowl", uservert=vertices.ravel(), userface=faces.ravel())
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname="bowl",
        contype=0,
        conaffinity=0,
        mass=0.0,
        group=_OBJECT_GROUP,
        rgba=_BOWL_RGBA,
    )


def _round_bowl() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """The bowl's profile turned about z: vertices float [n, 3] in metres, faces int [m, 3], outward
    winding."""
    profile = (  # radius, height: up the outside, over the rim, down the inside
        (0.0, 0.0),
        (BOWL_FLOOR_RADIUS_M, 0.0),
        (BOWL_RIM_RADIUS_M, BOWL_HEIGHT_M),
        (BOWL_RIM_RADIUS_M - _BOWL_WALL_M, BOWL_HEIGHT_M),
        (BOWL_FLOOR_RADIUS_M - _BOWL_WALL_M, _BOWL_WALL_M),
        (0.0, _BOWL_WALL_M),
    )
    n = _BOWL_MESH_SEGMENTS
    angles = 2 * np.pi * np.arange(n) / n
    rings = [
        np.stack([r * np.cos(angles), r * np.sin(angles), np.full(n, z)], axis=1)
        for r, z in profile[1:-1]
    ]
    vertices = np.concatenate([*rings, [[0.0, 0.0, profile[0][1]]], [[0.0, 0.0, profile[-1][1]]]])
    under, inside = len(vertices) - 2, len(vertices) - 1
    here, there = np.arange(n), (np.arange(n) + 1) % n
    faces = [np.stack([np.full(n, under), there, here], axis=1)]
    for ring in range(len(rings) - 1):
        low, high = ring * n, (ring + 1) * n
        faces.append(np.stack([low + here, low + there, high + there], axis=1))
        faces.append(np.stack([low + here, high + there, high + here], axis=1))
    last = (len(rings) - 1) * n
    faces.append(np.stack([last + here, last + there, np.full(n, inside)], axis=1))
    return vertices, np.concatenate(faces).astype(np.int32)


def add_lights_and_cameras(spec: mujoco.MjSpec) -> None:
    """One lamp above, the overhead camera of the task and the `view` a visitor sees.

    The overhead camera of the experiment (0.3, -0.09, 0.6) cuts the block's range off at the
    picture's edge; moved to the middle of the table it sees the arm's base, the bowl and every
    start of the block. fovy is the experiment's.
    """
    spec.worldbody.add_light(
        name="lamp",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[-0.15, 0.57, 1.5],
        dir=[0.22, -0.38, -1.0],
        diffuse=[0.62, 0.60, 0.57],
        specular=[0.25, 0.25, 0.25],
        castshadow=True,  # drawn only by a renderer that asks for shadows
    )
    overhead = spec.worldbody.add_camera(name="overhead", pos=OVERHEAD_CAMERA_M, fovy=52.0)
    overhead.quat = [
        math.sqrt(0.5),
        0.0,
        0.0,
        -math.sqrt(0.5),
    ]  # the picture's top is the world's +x
    view = spec.worldbody.add_camera(name="view", pos=_VIEW_CAMERA_M, fovy=35.0)
    view.quat = _look_at(np.array(_VIEW_CAMERA_M), np.array([0.15, -0.005, 0.055]))


def _look_at(
    position: npt.NDArray[np.float64], target: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """wxyz of a camera at `position` (MuJoCo: looks along -z, y up) that faces `target`,
    upright."""
    backward = np.asarray(position) - target
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(backward, right), backward], axis=1)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, rotation.ravel())
    return quat
