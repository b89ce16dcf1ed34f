"""Unmodified LeRobot 0.6.1 on the virtual arm: connect without a prompt, read, move, let go,
calibrate."""

import builtins
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sim.plant import world_messages as msg
from sim.plant.calibration import JOINTS, joint_maps, plant_calibration

from .conftest import PlantProcess

pytest.importorskip("lerobot")


@pytest.fixture(scope="module")
def so_follower() -> Any:
    """LeRobot's follower module; importing it takes seconds, so once for all."""
    from lerobot.robots import so_follower as module

    return module


def forbidden_input(prompt: str = "") -> str:
    raise AssertionError(f"LeRobot asked: {prompt}")


@pytest.fixture
def follower(
    plant: PlantProcess, so_follower: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    monkeypatch.setattr(builtins, "input", forbidden_input)
    (tmp_path / "virtual.json").write_text(json.dumps(plant_calibration("follower"), indent=4))
    robot = so_follower.SO101Follower(
        so_follower.SO101FollowerConfig(port=plant.device(), id="virtual", calibration_dir=tmp_path)
    )
    robot.connect()
    yield robot
    if robot.is_connected:
        robot.disconnect()


def leader_bus(plant: PlantProcess) -> Any:
    from lerobot.motors import Motor, MotorNormMode
    from lerobot.motors.feetech import FeetechMotorsBus

    motors = {
        name: Motor(number, "sts3215", MotorNormMode.DEGREES)
        for number, name in enumerate(JOINTS, start=1)
    }
    return FeetechMotorsBus(port=plant.device("leader"), motors=motors)


def test_the_follower_connects_without_a_prompt_and_reads_the_rest_pose(follower: Any) -> None:
    assert follower.is_calibrated
    observation = follower.get_observation()
    assert observation["shoulder_pan.pos"] == pytest.approx(0.0, abs=3.0)
    assert observation["shoulder_lift.pos"] == pytest.approx(-97.4, abs=6.0)
    assert observation["elbow_flex.pos"] == pytest.approx(92.0, abs=6.0)
    assert 0.0 <= observation["gripper.pos"] <= 100.0


def test_an_action_moves_the_arm_and_disconnecting_lets_go(
    follower: Any, plant: PlantProcess
) -> None:
    for _ in range(60):
        follower.send_action(
            {"shoulder_pan.pos": 25.0, "wrist_roll.pos": -20.0, "gripper.pos": 60.0}
        )
        time.sleep(0.02)
    time.sleep(0.3)
    observation = follower.get_observation()
    assert observation["shoulder_pan.pos"] == pytest.approx(25.0, abs=3.0)
    assert observation["wrist_roll.pos"] == pytest.approx(-20.0, abs=3.0)
    assert observation["gripper.pos"] == pytest.approx(60.0, abs=4.0)
    follower.disconnect()
    assert plant.world.truth().arms[0].torque_enable == [0] * 6


def test_its_configuration_reaches_the_registers(follower: Any, plant: PlantProcess) -> None:
    memory = bytes.fromhex(plant.world.ask(msg.Registers(servo_id=6))["memory"])
    assert memory[21:24] == bytes((16, 32, 0))
    assert int.from_bytes(memory[16:18], "little") == 500
    assert int.from_bytes(memory[28:30], "little") == 250
    assert memory[36] == 25
    assert memory[85] == 254
    assert memory[55] == 1


def test_a_fault_bit_is_a_missing_motor_to_it_as_on_the_real_bus(
    plant: PlantProcess, so_follower: Any
) -> None:
    bus = leader_bus(plant)
    plant.world.ask(msg.ForceStatus(servo_id=3, bits=0x20, arm="leader"))
    with pytest.raises(RuntimeError, match="Missing motor IDs"):
        bus.connect()
    bus.port_handler.closePort()
    plant.world.ask(msg.ClearFaults(arm="leader"))


def test_broadcast_ping_finds_the_six(plant: PlantProcess, so_follower: Any) -> None:
    bus = leader_bus(plant)
    bus.connect()
    assert bus.broadcast_ping() == dict.fromkeys(range(1, 7), 777)
    bus.disconnect()


def test_its_calibration_finds_the_range_of_every_joint(
    plant: PlantProcess, so_follower: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lerobot.motors import MotorCalibration

    bus = leader_bus(plant)
    bus.connect()
    bus.disable_torque()
    maps = joint_maps("leader")
    middle = [joint.centre_rad for joint in maps]
    plant.world.ask(msg.Hand(target_rad=middle, arm="leader"))
    time.sleep(1.2)
    homings = bus.set_half_turn_homings()
    positions = bus.sync_read("Present_Position", normalize=False)
    assert all(abs(ticks - 2047) <= 2 for ticks in positions.values())

    swept = [name for name in JOINTS if name != "wrist_roll"]
    ends = [[joint.low_rad for joint in maps], [joint.high_rad for joint in maps]]
    began = time.monotonic()
    stage = -1

    def enter_pressed() -> bool:
        """A person sweeps low, then high, then presses Enter."""
        nonlocal stage
        now = int((time.monotonic() - began) / 2.4)
        if now > stage and now < len(ends):
            stage = now
            plant.world.ask(msg.Hand(target_rad=ends[now], arm="leader"))
        return now >= len(ends)

    monkeypatch.setattr("lerobot.motors.motors_bus.enter_pressed", enter_pressed)
    mins, maxes = bus.record_ranges_of_motion(swept, display_values=False)
    for joint in maps:
        if joint.name in swept:
            half = (joint.range_max - joint.range_min) / 2
            assert mins[joint.name] == pytest.approx(2047 - half, abs=5)
            assert maxes[joint.name] == pytest.approx(2047 + half, abs=5)
    calibration = {
        name: MotorCalibration(number, 0, homings[name], mins.get(name, 0), maxes.get(name, 4095))
        for number, name in enumerate(JOINTS, start=1)
    }

    def taken() -> bool:
        # The SDK takes a reply that came late for that of its next read, and so for ever: it never
        # empties its input. On a busy machine it begins anew.
        bus.port_handler.ser.reset_input_buffer()
        bus.write_calibration(calibration)
        return bool(bus.is_calibrated)

    assert any(taken() for _ in range(3)), (calibration, bus.read_calibration())
    bus.disconnect()
    plant.world.ask(msg.Hand(target_rad=None, arm="leader"))
