"""Joints that push in vain, jaws that hold, hands that push, and what the mirror finds.

As in test_core, registers are read from the servos and motion from the physics.
"""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.control.exchange import SharedExchange, TwinFinding
from daemon.control.grasp import GraspGuard
from daemon.control.stall import Joints, StallGuard, StallLimits
from daemon.supervisor.control_link import ControlWriter
from learning.world import lockstep_config
from robotd import layouts
from robotd.shm import SlotWriter
from robotd.states import Fault, LimitedBy, RequestKind, Source, State
from sim.plant.servo import Servo
from sim.plant.world_messages import ClearFaults, ForceStatus, Payload, Push, Stuck

from .conftest import RAISED_RAD, Bench

OVERLOAD, OVERLOAD_TRIP_PERMILLE = 0x20, 250
FORGETS_PERMILLE = 200  # an overload is forgotten when the output falls below Protective_Torque
AWAY_RAD = (0.9, *RAISED_RAD[1:])
SHUT_RAD = (*RAISED_RAD[:5], -0.1)
MS = 1_000_000


def push_on(bench: Bench, goal_rad: tuple[float, ...], seconds: float) -> float:
    """Ask for a goal for so long; returns when it was first refused as a push, or the whole time."""
    for step in range(round(seconds * 30)):
        bench.send(goal_rad, seconds=1 / 30)
        if any(LimitedBy.BLOCKED & flags for flags in bench.tick["limited_by"]):
            return step / 30
    return seconds


def loads(bench: Bench) -> list[int]:
    return list(bench.tick["present_load_permille"])


# --- stall ----------------------------------------------------------------------------------------


def test_a_jammed_joint_is_found_in_half_a_second_and_no_longer_pushed(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(Stuck(servo_id=1))
    assert push_on(bench, AWAY_RAD, seconds=2.0) < 0.5
    bench.send(AWAY_RAD, seconds=0.25)  # the servo's own profile has to turn round
    assert abs(loads(bench)[0]) < 100
    assert bench.core.state is State.TELEOP  # nobody is thrown out for one stall


def test_a_source_that_pushes_on_is_a_fault(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(Stuck(servo_id=1))
    bench.send(AWAY_RAD, seconds=3.0)
    assert bench.core.state is State.FAULT
    assert (bench.core.fault.fault, bench.core.fault.joint) == (Fault.STALLED, 0)


def test_a_source_that_turns_back_has_the_arm_again(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(Stuck(servo_id=1))
    push_on(bench, AWAY_RAD, seconds=2.0)
    bench.world.plant.handle(Stuck(servo_id=1, stuck=False))
    bench.send(RAISED_RAD, seconds=1.0)
    assert bench.core.state is State.TELEOP
    bench.send(AWAY_RAD, seconds=2.0)  # what was in the way is gone
    assert bench.pose_rad()[0] == pytest.approx(AWAY_RAD[0], abs=0.06)


def test_300_g_at_reach_are_no_stall(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(Payload(0.3))
    reach = (0.3, 0.6, -0.6, 0.0, 0.0, 0.3)
    assert push_on(bench, reach, seconds=3.0) == 3.0
    assert bench.core.state is State.TELEOP


def test_an_overload_is_relieved_before_it_is_a_fault(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(ForceStatus(servo_id=3, bits=OVERLOAD))
    outputs = []
    for _ in range(12):
        bench.run(1 / 120)
        outputs.append(abs(loads(bench)[2]))
    assert outputs[0] > FORGETS_PERMILLE > min(outputs)
    bench.world.plant.handle(ClearFaults())
    bench.run(1.0)
    assert bench.core.state is State.TELEOP
    bench.world.plant.handle(ForceStatus(servo_id=3, bits=OVERLOAD))
    bench.until(State.FAULT, seconds=0.5)
    assert bench.core.fault.fault is Fault.STALLED


def test_a_held_arm_gives_way_to_a_hand_and_does_not_fault(bench: Bench) -> None:
    bench.raised()
    bench.ask(RequestKind.HOLD)
    before = bench.pose_rad()[0]
    bench.world.plant.handle(Push([0.0, 15.0, 0.0]))
    bench.run(3.0)
    assert abs(bench.pose_rad()[0] - before) > 0.2
    bench.world.plant.handle(Push([0.0, 0.0, 0.0]))
    where = bench.pose_rad()[0]
    bench.run(1.0)
    assert bench.core.state is State.HOLDING
    assert abs(bench.pose_rad()[0] - where) < 0.3  # it stays where it was put, nothing snaps back


LIMITS = StallLimits(
    load_permille=(400.0,) * 6,
    error_rad=(0.1,) * 6,
    hold_rad=(0.05,) * 6,
    current_a=1.5,
    after_ticks=5,
    overload_ticks=5,
    fault_ticks=50,
    repeats=3,
    within_ticks=500,
)


@given(
    goal=st.floats(-3, 3),
    position=st.floats(-3, 3),
    velocity=st.floats(-5, 5),
    load=st.integers(-1000, 1000),
    ticks=st.integers(1, 20),
)
def test_relief_only_ever_takes_effort_off(
    goal: float, position: float, velocity: float, load: int, ticks: int
) -> None:
    guard = StallGuard(LIMITS)
    fine = (0.0,) * 5
    now = Joints(
        (goal, *fine),
        (position, *fine),
        (velocity, *fine),
        (load, 0, 0, 0, 0, 0),
        (0.0,) * 6,
        (1000,) * 6,
        (False,) * 6,
    )
    for _ in range(ticks):
        for relief in guard.look(now):
            ahead = relief.goal_rad - position
            assert abs(ahead) <= min(abs(goal - position), LIMITS.hold_rad[0]) + 1e-9
            assert ahead * (goal - position) >= 0.0
            assert abs(load) >= 400
            assert ticks >= LIMITS.after_ticks


# --- grasp ----------------------------------------------------------------------------------------


def test_jaws_that_hold_are_kept_below_the_overload_of_the_servo_and_open_again(
    bench: Bench,
) -> None:
    bench.raised()
    bench.world.plant.handle(Stuck(servo_id=6))  # as hard as an object can be
    bench.send(SHUT_RAD, seconds=3.0)
    assert LimitedBy.SQUEEZE & bench.tick["limited_by"][5]
    assert 100 < abs(loads(bench)[5]) < 0.9 * OVERLOAD_TRIP_PERMILLE
    assert bench.tick["servo_status"][5] == 0
    bench.ask(RequestKind.HOLD)
    bench.run(1.0)
    assert 100 < abs(loads(bench)[5]) < 0.9 * OVERLOAD_TRIP_PERMILLE  # nobody asks, and it holds
    bench.world.plant.handle(Stuck(servo_id=6, stuck=False))
    bench.ask(RequestKind.TELEOP, Source.SCRIPTED)
    bench.send((*RAISED_RAD[:5], 0.6), seconds=1.5)
    assert bench.pose_rad()[5] == pytest.approx(0.6, abs=0.06)


def test_a_grasp_held_for_ten_minutes_neither_trips_the_servo_nor_heats_it() -> None:
    registers = {"max_torque_limit": 500, "protection_current": 250, "overload_torque": 25}
    servo = Servo(6, shaft_ticks=2400.0, noise_ticks=0.25, overrides=registers)
    for address, value in ((21, 16), (22, 32), (41, 254)):  # LeRobot's gains
        servo.write(address, bytes([value]))
    inside = lockstep_config().protection.grasp_squeeze_deg * 4096 / 360
    servo.write(42, round(servo.position - inside).to_bytes(2, "little"))
    for _ in range(600_000):
        servo.tick(2400.0)  # what it holds does not give
    assert servo.protection.status == 0
    assert abs(servo.duty) > 0.1
    assert servo.winding.temperature_c < 30.0


def test_jaws_follow_what_gives_way_and_close_on_when_it_is_lost() -> None:
    squeeze = math.radians(4)
    guard = GraspGuard(squeeze, after_ticks=3)
    back = [guard.look(-0.1, 0.2 - math.radians(5), 0.2, 0.0, -240) for _ in range(3)]
    assert back == [False, False, True]
    guard.look(-0.1, guard.floor_rad, 0.18, -0.05, -180)
    assert guard.floor_rad == pytest.approx(0.18 - squeeze)
    guard.look(-0.1, guard.floor_rad, 0.19, 0.0, -180)
    assert guard.floor_rad == pytest.approx(0.18 - squeeze)  # never looser by itself
    guard.look(-0.1, guard.floor_rad, 0.15, -1.0, -100)
    assert not guard.grasping


# --- the mirror's findings ------------------------------------------------------------------------


def find(bench: Bench, fault: Fault, since_ms: int, said_ms: int) -> None:
    now_ns = bench.world.clock.now_ns()
    bench.exchange.newest_finding = TwinFinding(
        fault, 1, now_ns - since_ms * MS, now_ns - said_ms * MS
    )


@pytest.mark.parametrize(
    "fault", [Fault.COLLISION, Fault.JOINT_SIGN, Fault.SWAPPED_ARM, Fault.TWIN_DIVERGED]
)
def test_a_lasting_finding_of_the_mirror_is_a_fault_with_its_name(
    bench: Bench, fault: Fault
) -> None:
    bench.armed()
    states = []
    for since_ms in (50, 300):
        find(bench, fault, since_ms, said_ms=0)
        bench.run(1 / 120)
        states.append(bench.core.state)
    assert states == [State.HOLDING, State.FAULT]  # a moment is nothing
    assert (bench.core.fault.fault, bench.core.fault.joint) == (fault, 1)


def test_a_twin_that_fell_silent_faults_nothing_and_a_slip_only_warns(bench: Bench) -> None:
    bench.armed()
    find(bench, Fault.COLLISION, since_ms=5_000, said_ms=400)
    bench.run(0.2)
    find(bench, Fault.SLIPPED, since_ms=5_000, said_ms=0)
    bench.run(0.2)
    assert bench.core.state is State.HOLDING


def test_a_disarmed_arm_does_not_fault_by_what_the_mirror_says(bench: Bench) -> None:
    find(bench, Fault.COLLISION, since_ms=300, said_ms=0)
    bench.run(0.1)
    assert bench.core.state is State.DISARMED


def test_control_reads_the_mirror_s_findings_from_the_slot(tmp_path: Path) -> None:
    writer = ControlWriter(tmp_path, 6)
    exchange = SharedExchange(tmp_path, 6)
    layout = layouts.twin_layout(6)
    slot = SlotWriter(tmp_path / "twin", layout)
    said = {f.name: 0 if f.count == 1 else [0] * f.count for f in layout.fields}
    slot.write(said)
    assert exchange.twin_finding() is None
    slot.write(said | {"finding": 9, "finding_joint": 2, "finding_since_ns": 5, "stamp_ns": 7})
    assert exchange.twin_finding() == TwinFinding(Fault.COLLISION, 2, 5, 7)
    slot.write(said)
    assert exchange.twin_finding() is None
    slot.close()
    exchange.close()
    writer.close()
