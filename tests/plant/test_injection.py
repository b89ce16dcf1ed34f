"""Every fault of the table can be set, does something that a bus master sees, and is undone whole."""

import argparse

import pytest

from sim.fault_command import seconds, servo_of
from sim.plant import world_messages as msg
from sim.plant.fault_table import FAULTS, Reach, table
from sim.plant.lockstep import LockStepPlant
from sim.plant.options import PlantOptions
from sim.plant.wire import Instruction, instruction_packet

NS_PER_MS = 1_000_000
READ_ALL = (56, 15)


@pytest.fixture
def plant() -> LockStepPlant:
    return LockStepPlant(PlantOptions(leader=False, noise_ticks=0.0, plant_seed=None))


def seen(plant: LockStepPlant, reads: int = 60) -> tuple[object, ...]:
    """What a master hears: identity and telemetry of all six, again and again, or that the line is
    gone."""
    heard: list[object] = []
    for _ in range(reads):
        plant.advance(plant.now_ns + 8 * NS_PER_MS)
        try:
            port = plant.port()
            for address, length in ((0, 5), (40, 10), (56, 2), (62, 4)):
                data = bytes((address, length, 1, 2, 3, 4, 5, 6))
                port.write(instruction_packet(0xFE, Instruction.SYNC_READ, data))
                heard.append(port.read(4096))
        except OSError as error:
            heard.append(error.errno)
    return tuple(heard)


def settled(plant: LockStepPlant) -> tuple[object, ...]:
    """After a second with no traffic: the last of what a master hears."""
    plant.advance(plant.now_ns + 1_000 * NS_PER_MS)
    return seen(plant, reads=1)


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "stuck"])
def test_every_fault_of_the_table_is_heard_on_the_bus_and_gone_when_cleared(
    plant: LockStepPlant, name: str
) -> None:
    before = settled(plant)
    servo = 3 if FAULTS[name].reach is Reach.SERVO else None
    plant.handle(msg.SetFault(servo, name))
    assert set(seen(plant)) - set(before) or name == "reboot"
    standing = plant.handle(msg.ListFaults())
    assert [each.kind for each in standing] == ([] if FAULTS[name].momentary else [name])
    plant.handle(msg.ClearFaults())
    assert plant.handle(msg.ListFaults()) == []
    after = settled(plant)
    if name == "power_cut_stiff":
        assert plant.truth().arms[0].torque_enable == [1] * 6
    else:
        assert after == before


def test_a_jammed_joint_does_not_move_and_one_that_was_freed_does(plant: LockStepPlant) -> None:
    def moved() -> float:
        start = plant.truth().arms[0].position_rad[0]
        servo = plant.world.servo("follower", 1)
        goal = (servo.position + (300 if servo.position < 2048 else -300)).to_bytes(2, "little")
        plant.port().write(instruction_packet(1, Instruction.WRITE, bytes((42,)) + goal))
        plant.advance(plant.now_ns + 500 * NS_PER_MS)
        return abs(plant.truth().arms[0].position_rad[0] - start)

    plant.handle(msg.SetFault(1, "stuck"))
    assert moved() < 0.02
    plant.handle(msg.ClearFaults())
    assert moved() > 0.2


def test_a_restarted_servo_has_forgotten_what_was_only_in_its_memory(plant: LockStepPlant) -> None:
    port = plant.port()
    for address, data in ((48, b"\x64\x00"), (42, b"\x00\x08"), (55, b"\x00")):
        port.write(instruction_packet(3, Instruction.WRITE, bytes((address,)) + data))
    plant.handle(msg.SetFault(3, "reboot"))
    memory = bytes.fromhex(plant.handle(msg.Registers(3))["memory"])
    assert (memory[40], memory[55], memory[42:44]) == (0, 1, b"\0\0")
    assert memory[48:50] == memory[16:18]


def test_a_fault_for_a_time_is_over_on_the_plants_clock(plant: LockStepPlant) -> None:
    plant.handle(msg.SetFault(None, "power_cut", seconds=0.5))
    plant.advance(plant.now_ns + 480 * NS_PER_MS)
    assert not plant.world.arm("follower").powered
    plant.advance(plant.now_ns + 40 * NS_PER_MS)
    assert plant.world.arm("follower").powered


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (msg.SetFault(3, "gremlins"), "no fault"),
        (msg.SetFault(None, "silent"), "say which"),
        (msg.SetFault(3, "unplug"), "whole arm"),
        (msg.SetFault(9, "silent"), "no servo 9"),
        (msg.SetFault(3, "silent", value=4), "takes no value"),
        (msg.SetFault(3, "noise", value=0), "takes 1"),
        (msg.SetFault(3, "hot", replies=2), "not counted"),
        (msg.SetFault(3, "reboot", seconds=2.0), "cannot last"),
        (msg.SetFault(3, "silent", "left_follower"), "no arm"),
    ],
    ids=lambda value: value.kind if isinstance(value, msg.SetFault) else "",
)
def test_a_fault_that_cannot_be_is_refused_in_words(
    plant: LockStepPlant, request_: msg.SetFault, says: str
) -> None:
    with pytest.raises(msg.WorldError, match=says):
        plant.handle(request_)
    assert plant.handle(msg.ListFaults()) == []


def test_the_command_takes_times_and_joints_as_a_person_writes_them() -> None:
    assert [seconds(text) for text in ("2s", "500ms", "1min", "0.5")] == [2.0, 0.5, 60.0, 0.5]
    with pytest.raises(argparse.ArgumentTypeError, match="write 2s"):
        seconds("soon")
    assert (servo_of("elbow_flex"), servo_of("3"), servo_of(None)) == (3, 3, None)
    assert all(name in table() for name in FAULTS)
