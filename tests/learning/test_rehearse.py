"""Rehearsal in the plant: the robot's own calibration and limits, and a verdict the daemon finds."""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from config.loader import load
from config.schema import Config
from daemon.cli.main import main
from daemon.rehearsals import RehearsalStore
from daemon.supervisor.rehearsed import RobotRehearsals
from drivers.calibration import (
    MotorCalibration,
    load_robot_calibration,
    save_calibration,
)
from drivers.joint_map import JointMap
from learning import rehearsal_plant, rehearse
from learning.rehearsal_plant import RehearsedRobot, rehearse_replay, rehearsed_robot
from learning.world import LockStepWorld
from policies.checkpoint.evidence import Sidecar, write_sidecar
from policies.recording import RecordedActions
from robotd.errors import CalibrationError
from robotd.policy_channel import Ready
from robotd.states import State

from ..policies.conftest import FEATURE_NAMES, make_act

CALIBRATIONS = Path(__file__).parents[2] / "config" / "calibration"
OWN = """
extends: so101
name: bench
arms: {arm: {port: /dev/robotd-test-nothing, id: mine}}
cameras: {front: {device: /dev/robotd-test-nothing, width: 64, height: 64, fps: 30}}
limits: {squeeze_deg: 4}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A real robot's configuration, its calibration unlike the plant's."""
    for name in ("STATE_HOME", "CONFIG_HOME", "RUNTIME_DIR", "CACHE_HOME"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / name))
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(tmp_path / "calibration"))
    shipped = load_robot_calibration("sim", CALIBRATIONS)
    own = {
        name: MotorCalibration(
            id=motor.id,
            drive_mode=0,
            homing_offset=motor.homing_offset + (40 if number % 2 else -70),
            range_min=motor.range_min + 60,
            range_max=motor.range_max - 150,
        )
        for number, (name, motor) in enumerate(shipped.items())
    }
    save_calibration(tmp_path / "calibration/robots/so_follower/mine.json", own)
    folder = tmp_path / "CONFIG_HOME" / "robotd"
    folder.mkdir(parents=True)
    (folder / "bench.yaml").write_text(OWN)
    return load("bench").config


def recorded(goals_deg: list[list[float]], fps: int = 15) -> RecordedActions:
    actions = np.asarray(goals_deg, np.float64)
    return RecordedActions(Path("recorded"), fps, "degrees", FEATURE_NAMES, actions)


def test_the_plants_servos_are_calibrated_and_mounted_as_the_persons_calibration_says(
    mine: Config,
) -> None:
    robot = rehearsed_robot(mine)
    assert robot.config.limits.squeeze_deg == 4 and robot.config.simulation is not None
    world = LockStepWorld(robot.config, 0, 101, robot.calibrations)
    world.arm_and_home()  # the arming list compares the servos' registers with the file
    for _ in range(120):
        tick = world.tick()
    truth = world.plant.truth().arms[0]
    np.testing.assert_allclose(
        tick["present_position_rad"][:5], truth.position_rad[:5], atol=math.radians(1.5)
    )
    arm = world.core.arms[0]
    low = JointMap(robot.calibrations["arm"]).rad_from_ticks(
        [motor.range_min for motor in robot.calibrations["arm"].values()]
    )
    assert arm.limits.minimum_rad[1] >= low[1]  # 12 degrees inside the shipped arm's
    world.close()


def test_a_gripper_that_counts_backwards_is_refused_by_name(mine: Config, tmp_path: Path) -> None:
    path = tmp_path / "calibration/robots/so_follower/mine.json"
    path.write_text(path.read_text().replace('"drive_mode": 0', '"drive_mode": 1'))
    with pytest.raises(CalibrationError, match="backwards") as caught:
        rehearsed_robot(mine)
    assert "--shadow" in caught.value.do


def test_a_recorded_episode_goes_through_twin_gate_and_plant_from_where_the_arm_stands(
    mine: Config,
) -> None:
    robot = rehearsed_robot(mine)
    calibration = JointMap(robot.calibrations["arm"])
    start_rad = np.radians([20.0, -80.0, 70.0, 50.0, 0.0, 10.0])
    start = calibration.ticks_from_rad(start_rad)
    sweep = [[20.0 + row, -75.0, 65.0, 50.0, 0.0, 20.0] for row in range(15)]
    seen: list[Any] = []
    run = _watched(robot, recorded(sweep), start.tolist(), seen)
    assert not run.refused and not run.faults and not run.ended_early and run.chunks >= 2
    np.testing.assert_allclose(seen[0][:5], start_rad[:5], atol=math.radians(4))
    assert seen[-1][0] == pytest.approx(math.radians(34), abs=math.radians(10))


def _watched(
    robot: RehearsedRobot, actions: RecordedActions, start: list[int], seen: list[Any]
) -> rehearsal_plant.PlantRun:
    before = rehearsal_plant._Watched.after

    def after(self: Any, world: LockStepWorld, tick: Any) -> bool:
        assert tick["state"] != State.FAULT
        seen.append(tick["present_position_rad"])
        return before(self, world, tick)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rehearsal_plant._Watched, "after", after)
        return rehearse_replay(robot, actions, start_ticks=start)


def test_a_recording_that_goes_through_the_table_is_refused_with_the_reason(mine: Config) -> None:
    robot = rehearsed_robot(mine)
    down = [[0.0, 20.0 + 3.0 * row, 0.0, 60.0, 0.0, 20.0] for row in range(20)]
    run = rehearse_replay(robot, recorded(down))
    assert run.refused_chunks >= 1 and "replay ends" in run.ended_early
    assert any("table" in why for why in run.refused)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ACT with random weights that looks through `front`."""
    folder = make_act(tmp_path_factory.mktemp("seeing"), ("front",), environment=False)
    write_sidecar(folder, Sidecar(fps=15, units="degrees"))
    return folder


def test_the_verdict_of_the_plant_is_kept_where_the_daemon_of_the_real_robot_looks_for_it(
    mine: Config, policy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rehearse, "_UNTOLD_S", 1.0)
    words = ["rehearse", "--name", "bench", "--plant", "--episodes", "1", "--json"]
    status = main([*words, "--policy", str(policy), "--n-action-steps", "6"])
    said = msgspec.json.decode(capsys.readouterr().out)
    (rehearsal,) = said["rehearsals"]
    assert status == (0 if said["passed"] else 1)
    assert rehearsal["chunks"] > 0 and rehearsal["successes"] is None
    assert not rehearsal["evidence"] and "front" in rehearsal["why_evidence"]
    assert rehearsal["passed"] or (rehearsal["what"] and rehearsal["likely"] and rehearsal["do"])
    from policies.checkpoint.folder import read_folder

    loaded = Ready(
        path=str(policy),
        kind="act",
        fps=15,
        fps_source="",
        units="degrees",
        units_source="",
        chunk=12,
        n_action_steps=6,
        mode="chunk",
        cameras=("front",),
        sha256=read_folder(policy).sha256(),
    )
    maps = [JointMap(load_robot_calibration("mine"))]
    known = RobotRehearsals(mine, maps, RehearsalStore())
    found = known.standing(known.key(loaded), "--policy P")
    assert found.words.startswith(rehearsal["words"]) and found.do
    assert not found.rehearsed  # rendered pictures are not evidence for a real camera
    more = msgspec.structs.replace(loaded, n_action_steps=7)
    assert known.standing(known.key(more), "").words == "never rehearsed"


@pytest.mark.parametrize("words", [(), ("--policy", "X", "--replay", "D:1"), ("--replay", "D")])
def test_what_names_nothing_to_rehearse_is_refused(
    words: tuple[str, ...], mine: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rehearse", "--json", *words]) == 1
    said = msgspec.json.decode(capsys.readouterr().out)
    assert said["what"] and said["likely"] and said["do"]
