"""The law in MuJoCo: step response and droop as servo-and-twin facts 3.3 gives them, limp and
jammed joints."""

import math

import numpy as np
import pytest

from sim.plant.calibration import joint_maps, plant_calibration
from sim.plant.options import DriveParameters, PlantOptions
from sim.plant.physics import Physics

PAN, LIFT, ELBOW, WRIST = 0, 1, 2, 3


def arm_at(pose_deg: list[float], *, p: int, friction_nm: float, step_ms: int = 2) -> Physics:
    """An ideal plant at LeRobot's gains, holding `pose_deg`, settled."""
    physics = Physics(PlantOptions(plant_seed=None, objects=False, physics_step_ms=step_ms))
    physics.model.dof_frictionloss[:6] = friction_nm
    physics.data.qpos[:6] = np.radians(pose_deg)
    physics.resync_servos()
    arm = physics.arms[0]
    for servo in arm.servos:
        servo.write(85, b"\xfe")
        servo.write(41, b"\xfe")
        servo.write(21, bytes((p, 32, 0)))
    go(physics, pose_deg)
    physics.advance(physics.time_ms + 2500)
    return physics


def go(physics: Physics, pose_deg: list[float]) -> None:
    arm = physics.arms[0]
    for servo, joint, angle in zip(arm.servos, arm.maps, pose_deg, strict=True):
        ticks = round(joint.present_ticks(math.radians(angle)))
        servo.write(42, ticks.to_bytes(2, "little"))


@pytest.mark.parametrize(
    ("p", "t10_ms", "t90_ms", "overshoot_deg"), [(16, 119, 305, 0.5), (32, 103, 243, 2.8)]
)
@pytest.mark.parametrize("step_ms", [1, 2])
def test_a_30_degree_pan_step_takes_the_time_it_takes_on_the_servo(
    p: int, t10_ms: float, t90_ms: float, overshoot_deg: float, step_ms: int
) -> None:
    physics = arm_at([0.0] * 6, p=p, friction_nm=0.05, step_ms=step_ms)
    start = math.degrees(physics.joint_positions_rad()[PAN])
    go(physics, [30.0, 0, 0, 0, 0, 0])
    begin = physics.time_ms
    moved = []
    for millisecond in range(2, 700, 2):
        physics.advance(begin + millisecond)
        moved.append(math.degrees(physics.joint_positions_rad()[PAN]) - start)
    response = np.array(moved)
    assert 2 * int(np.argmax(response > 3.0)) == pytest.approx(t10_ms, abs=8)
    assert 2 * int(np.argmax(response > 27.0)) == pytest.approx(t90_ms, abs=12)
    assert response.max() - 30.0 == pytest.approx(overshoot_deg, abs=0.5)


@pytest.mark.parametrize(
    ("p", "lift", "elbow", "wrist"), [(16, 6.1, 3.0, 0.5), (32, 3.1, 1.7, 0.3)]
)
def test_a_horizontal_arm_droops_as_the_servo_does(
    p: int, lift: float, elbow: float, wrist: float
) -> None:
    pose = [0.0, 90.0, -90.0, 0.0, 0.0, 0.0]
    physics = arm_at(pose, p=p, friction_nm=0.05)
    droop = np.degrees(physics.joint_positions_rad()) - pose
    assert droop[LIFT] == pytest.approx(lift, abs=0.4)
    assert droop[ELBOW] == pytest.approx(elbow, abs=0.4)
    assert droop[WRIST] == pytest.approx(wrist, abs=0.25)


def test_a_limp_raised_arm_falls_and_a_held_one_stays() -> None:
    physics = arm_at([0.0] * 6, p=32, friction_nm=0.2)
    tip = physics.index.arms[0].tcp_site
    held_m = physics.data.site_xpos[tip][2]
    physics.advance(physics.time_ms + 1000)
    assert physics.data.site_xpos[tip][2] == pytest.approx(held_m, abs=0.002)
    for servo in physics.arms[0].servos:
        servo.write(40, b"\x00")
    physics.advance(physics.time_ms + 1500)
    assert held_m > 0.18
    assert physics.data.site_xpos[tip][2] < 0.12


def test_a_stuck_joint_does_not_move_and_a_freed_one_does() -> None:
    physics = arm_at([0.0] * 6, p=16, friction_nm=0.1)
    physics.set_stuck(PAN, True)
    go(physics, [30.0, 0, 0, 0, 0, 0])
    physics.advance(physics.time_ms + 800)
    assert abs(math.degrees(physics.joint_positions_rad()[PAN])) < 1.0
    physics.set_stuck(PAN, False)
    physics.advance(physics.time_ms + 1500)
    assert math.degrees(physics.joint_positions_rad()[PAN]) > 20.0


def test_model_ranges_are_the_calibrated_ranges() -> None:
    expected = [(794, 3297), (942, 3217), (956, 3159), (885, 3046), (278, 3919), (2047, 3298)]
    physics = Physics(PlantOptions(objects=False))
    for number, joint in enumerate(joint_maps("follower")):
        low, high = physics.model.jnt_range[number]
        assert joint.present_ticks(low) == pytest.approx(expected[number][0], abs=0.6)
        assert joint.present_ticks(high) == pytest.approx(expected[number][1], abs=0.6)
        assert joint.angle_rad(joint.present_ticks(0.3)) == pytest.approx(0.3)


def test_the_arm_wakes_up_limp_in_its_rest_pose_with_its_calibration_in_eprom() -> None:
    physics = Physics(PlantOptions())
    calibration = plant_calibration("follower")
    arm = physics.arms[0]
    for servo, joint in zip(arm.servos, arm.maps, strict=True):
        entry = calibration[joint.name]
        assert servo.memory[9:13] == (
            entry["range_min"].to_bytes(2, "little") + entry["range_max"].to_bytes(2, "little")
        )
        assert servo.torque_enable == 0
        assert servo.memory[55] == 1
    before = np.array(physics.joint_positions_rad())
    physics.advance(2000)
    assert np.abs(before - physics.joint_positions_rad()).max() < 0.12


def test_a_load_sags_the_supply() -> None:
    physics = arm_at([0.0, 90.0, -90.0, 0.0, 0.0, 0.0], p=16, friction_nm=0.05)
    servo = physics.arms[0].servos[0]
    assert servo.supply_v < physics.arms[0].supply.open_circuit_v - 0.01


def test_one_seed_is_one_plant() -> None:
    assert DriveParameters.drawn(4, "follower") == DriveParameters.drawn(4, "follower")
    assert DriveParameters.drawn(4, "follower") != DriveParameters.drawn(5, "follower")
    first, second = Physics(PlantOptions(plant_seed=4)), Physics(PlantOptions(plant_seed=4))
    for physics in (first, second):
        for servo in physics.arms[0].servos[:5]:
            servo.write(42, (2048).to_bytes(2, "little"))
        physics.advance(500)
    assert first.joint_positions_rad() == second.joint_positions_rad()
    other = Physics(PlantOptions(plant_seed=5))
    assert other.model.body_mass.sum() != first.model.body_mass.sum()


def test_backlash_delays_a_reversal() -> None:
    """With a gap between motor and output, the first pushes after a reversal reach nothing."""
    physics = arm_at([0.0] * 6, p=16, friction_nm=0.05)
    physics._backlash[PAN] = math.radians(2.0)
    physics._gap[PAN] = -math.radians(2.0)
    gapless = arm_at([0.0] * 6, p=16, friction_nm=0.05)
    for each in (physics, gapless):
        go(each, [10.0, 0, 0, 0, 0, 0])
        each.advance(each.time_ms + 120)
    assert physics.joint_positions_rad()[PAN] < gapless.joint_positions_rad()[PAN] - 0.003
