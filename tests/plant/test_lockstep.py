"""The plant in virtual time, and what may be asked of its world."""

import math

import msgspec
import pytest

from robotd.errors import ConfigError
from sim.plant import world_messages as msg
from sim.plant.lockstep import LockStepPlant
from sim.plant.options import PlantOptions, decode_options
from sim.plant.wire import instruction_packet, status_packet
from sim.plant.world import decode_request

PING_1 = instruction_packet(1, 0x01)


@pytest.fixture(scope="module")
def plant() -> LockStepPlant:
    return LockStepPlant(PlantOptions(), seed=7)


def test_a_reply_is_there_as_soon_as_the_instruction_is_written(plant: LockStepPlant) -> None:
    port = plant.port("follower")
    port.write(PING_1)
    assert port.in_waiting == 6
    assert port.read(4) + port.read(100) == status_packet(1, 0)
    assert port.read(100) == b""


def test_a_delayed_reply_comes_in_virtual_time(plant: LockStepPlant) -> None:
    port = plant.port("follower")
    plant.handle(msg.SetFault(servo_id=1, kind="delayed", value=60, replies=1))
    port.write(PING_1)
    assert port.read(100) == b""
    plant.advance(plant.now_ns + 59_000_000)
    assert port.read(100) == b""
    plant.advance(plant.now_ns + 2_000_000)
    assert port.read(100) == status_packet(1, 0)


def test_the_same_seed_lays_the_same_block_within_its_bounds(plant: LockStepPlant) -> None:
    seen = set()
    for seed in range(40):
        plant.reset(seed)
        block = plant.truth().block_m
        assert abs(block[0] - 0.217) <= 0.04
        assert abs(block[1] - 0.225) <= 0.04
        assert abs(plant.truth().block_yaw_rad) <= math.pi / 4 + 1e-9
        seen.add(tuple(block))
    assert len(seen) == 40
    plant.reset(3)
    first = plant.environment_state()
    plant.reset(4)
    plant.reset(3)
    assert plant.environment_state() == first


def test_environment_state_is_pose_doubled_yaw_and_bowl(plant: LockStepPlant) -> None:
    plant.handle(msg.SetBlock(0.2, 0.1, 0.5))
    assert plant.environment_state() == pytest.approx(
        [0.2, 0.1, 0.0096, math.cos(1.0), math.sin(1.0), 0.217, -0.225], abs=1e-4
    )


def test_every_servo_from_a_cut_cable_onward_is_silent() -> None:
    plant = LockStepPlant(PlantOptions(leader=False))
    plant.handle(msg.SetFault(servo_id=4, kind="silent", onward=True))
    port = plant.port()
    port.write(instruction_packet(0xFE, 0x82, bytes((56, 2, 1, 2, 3, 4, 5, 6))))
    assert len(port.read(200)) == 3 * 8
    plant.handle(msg.ClearFaults())
    port.write(instruction_packet(0xFE, 0x82, bytes((56, 2, 1, 2, 3, 4, 5, 6))))
    assert len(port.read(200)) == 6 * 8


def test_a_power_cycle_may_come_back_stiff() -> None:
    plant = LockStepPlant(PlantOptions(leader=False))
    port = plant.port()
    plant.handle(msg.Power(on=False))
    port.write(PING_1)
    assert port.read(100) == b""
    plant.handle(msg.Power(on=True, torque_enable=1))
    port.write(instruction_packet(1, 0x02, bytes((40, 1))))
    assert port.read(100) == status_packet(1, 0, b"\x01")
    plant.advance(plant.now_ns + 500_000_000)
    assert plant.truth().arms[0].torque_enable == [1] * 6


def test_reset_with_arms_brings_a_held_arm_home_without_a_fight() -> None:
    plant = LockStepPlant(PlantOptions(leader=False))
    for servo in plant.world.arm("follower").servos[:5]:
        servo.write(42, (2048).to_bytes(2, "little"))
    plant.advance(plant.now_ns + 2_000_000_000)
    plant.reset(1, arms=True)
    rest = plant.truth().arms[0].position_rad
    plant.advance(plant.now_ns + 1_000_000_000)
    assert plant.truth().arms[0].position_rad == pytest.approx(rest, abs=0.1)


def test_a_hand_moves_a_leader_and_its_encoders_say_so() -> None:
    plant = LockStepPlant(PlantOptions())
    wanted = [0.4, -1.0, 0.8, 0.2, -0.5, 0.6]
    plant.handle(msg.Hand(target_rad=wanted))
    plant.advance(plant.now_ns + 2_000_000_000)
    arm = plant.world.arm("leader")
    seen = [
        joint.angle_rad(servo.position) for joint, servo in zip(arm.maps, arm.servos, strict=True)
    ]
    assert seen == pytest.approx(wanted, abs=0.01)
    plant.handle(msg.Hand(target_rad=None))
    plant.advance(plant.now_ns + 500_000_000)
    assert plant.world.leaders[0].joint_positions_rad() == pytest.approx(wanted, abs=0.01)


def test_two_arms_have_left_and_right_names() -> None:
    plant = LockStepPlant(PlantOptions(bimanual=True))
    assert list(plant.world.arms) == [
        "left_follower",
        "right_follower",
        "left_leader",
        "right_leader",
    ]
    plant.advance(plant.now_ns + 20_000_000)
    for name in plant.world.arms:
        port = plant.port(name)
        port.write(PING_1)
        assert port.read(10) == status_packet(1, 0)
    assert [arm.name for arm in plant.truth().arms] == ["left_follower", "right_follower"]


@pytest.mark.parametrize(
    "message",
    [
        b'{"op":"fault","servo_id":9,"kind":"silent"}',
        b'{"op":"fault","servo_id":1,"kind":"possessed"}',
        b'{"op":"hand","target_rad":[1.0]}',
        b'{"op":"stuck","servo_id":1,"arm":"leader"}',
        b'{"op":"power","on":true,"arm":"third"}',
    ],
)
def test_an_impossible_request_is_refused_with_a_reason(
    plant: LockStepPlant, message: bytes
) -> None:
    with pytest.raises(msg.WorldError, match=r"\w"):
        plant.handle(decode_request(message))


def test_a_misspelt_request_or_option_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_request(b'{"op":"rest","seed":1}')
    with pytest.raises(ConfigError, match="physics_step"):
        decode_options('{"physics_stepp_ms": 1}')
    with pytest.raises(ConfigError, match="1 or 2"):
        decode_options('{"physics_step_ms": 5}')
