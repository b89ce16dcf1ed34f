"""The reading half of the arming list, on virtual leaders and followers."""

from dataclasses import replace

import pytest

from daemon.control.arm import SERVO_IDS
from daemon.control.leader import LeaderArm
from daemon.control.link import BusLink
from daemon.control.looking import LeaderLook
from drivers.bus import collect
from drivers.calibration import Calibration, MotorCalibration
from drivers.joint_map import JointMap
from learning.world import PlantPort
from robotd.clock import NS_PER_S, VirtualClock
from sim.plant.calibration import plant_calibration
from sim.plant.lockstep import LockStepPlant
from sim.plant.options import PlantOptions
from sim.plant.world_messages import SetFault


@pytest.fixture
def plant() -> LockStepPlant:
    return LockStepPlant(PlantOptions(leader=True), seed=0)


def leader_calibration() -> Calibration:
    return {name: MotorCalibration(**m) for name, m in plant_calibration("leader").items()}


def leader_of(plant: LockStepPlant) -> LeaderArm:
    clock = VirtualClock(plant.now_ns, plant.advance)
    link = BusLink("arm leader", lambda: PlantPort(plant.port("leader")), SERVO_IDS, clock)
    arm = LeaderArm("arm", link, JointMap(leader_calibration()))
    link.open_if_due()
    assert link.bus is not None
    (reading,) = collect([link.bus], clock.now_ns() + NS_PER_S)
    arm.take(reading.telemetry)
    return arm


def look(leader: LeaderArm, calibration: Calibration) -> list[tuple[str, str]]:
    looking = LeaderLook(leader, calibration, "leader ")
    for _ in looking:
        pass
    return [(check.name, check.outcome) for check in looking.checks]


def test_a_leader_that_is_its_calibrations_passes(plant: LockStepPlant) -> None:
    found = look(leader_of(plant), leader_calibration())
    assert found == [("leader servos", "pass"), ("leader calibration", "pass")]


def test_another_leaders_calibration_is_refused_before_its_pose_moves_anything(
    plant: LockStepPlant,
) -> None:
    other = leader_calibration()
    other["elbow_flex"] = replace(other["elbow_flex"], homing_offset=77)
    assert ("leader calibration", "fail") in look(leader_of(plant), other)


def test_a_leader_with_a_servo_missing_is_refused_by_the_joints_name(plant: LockStepPlant) -> None:
    leader = leader_of(plant)
    plant.handle(SetFault(servo_id=4, kind="silent", arm="leader"))
    assert ("leader servo wrist_flex", "fail") in look(leader, leader_calibration())


def test_a_leader_that_was_never_heard_does_not_keep_the_arm_from_arming(
    plant: LockStepPlant,
) -> None:
    clock = VirtualClock(plant.now_ns, plant.advance)
    link = BusLink("arm leader", lambda: PlantPort(plant.port("leader")), SERVO_IDS, clock)
    assert look(LeaderArm("arm", link, JointMap(leader_calibration())), leader_calibration()) == []


def test_a_leader_on_the_followers_brick_forbids_arming(plant: LockStepPlant) -> None:
    plant.world.arm("leader").supply.open_circuit_v = 12.0
    plant.advance(plant.now_ns + NS_PER_S // 10)
    assert ("leader supply", "fail") in look(leader_of(plant), leader_calibration())
