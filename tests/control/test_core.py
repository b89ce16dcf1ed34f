"""Control on the virtual arm, in lock-step: every way in and out, read from the servos themselves.

The arm is the plant of `--sim` with its bus in memory; what is asserted of torque and goals is read
from the servos' registers and what is asserted of motion from the physics, not from control.
"""

import math

import pytest

from daemon.control.exchange import Command, Plan
from learning.world import LockStepWorld
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.states import Fault, HomeWay, LimitedBy, RequestKind, Source, State, Torque, Verdict
from robotd.trajectory import Trajectory
from sim.plant.world_messages import ClearFaults, ForceStatus, Power, SetFault

from .conftest import RAISED_RAD, SINKING_RAD_S, Bench

# --- in -------------------------------------------------------------------------------------------


def test_a_start_asks_for_no_torque_and_no_goal(bench: Bench) -> None:
    before = [bench.memory(servo)[:56] for servo in range(1, 7)]
    bench.run(2.0)
    assert bench.core.state is State.DISARMED
    assert [bench.memory(servo)[:56] for servo in range(1, 7)] == before


def test_the_arming_list_without_consent_writes_nothing(bench: Bench) -> None:
    before = [bench.memory(servo)[:56] for servo in range(1, 7)]
    bench.ask(RequestKind.CHECK)
    bench.run(1.0)
    _, checks, done = bench.exchange.reports[-1]
    assert done
    assert {check.name for check in checks} >= {"servos", "registers", "calibration", "pose"}
    assert [bench.memory(servo)[:56] for servo in range(1, 7)] == before
    assert bench.core.state is State.DISARMED


def test_arming_takes_the_arm_where_it_stands(bench: Bench) -> None:
    bench.run(0.1)
    before = bench.pose_rad()
    bench.armed()
    bench.run(1.0)
    assert bench.torque() == [1] * 6
    moved = max(abs(a - b) for a, b in zip(before, bench.pose_rad(), strict=True))
    assert moved < math.radians(2.0)
    limits = [bench.memory(servo)[48] | bench.memory(servo)[49] << 8 for servo in range(1, 7)]
    assert limits == [1000, 1000, 1000, 1000, 1000, 500]


def test_a_servo_that_does_not_answer_stops_arming_before_anything_is_written(
    bench: Bench,
) -> None:
    bench.world.plant.handle(SetFault(servo_id=3, kind="silent"))
    bench.ask(RequestKind.ARM)
    bench.until(State.DISARMED)
    _, checks, _ = bench.exchange.reports[-1]
    (failed,) = [check for check in checks if check.outcome == "fail"]
    assert "elbow_flex" in failed.detail
    assert bench.torque() == [0] * 6
    assert all(bench.memory(servo)[21] == 32 for servo in (1, 2, 4, 5, 6))  # P untouched


def test_a_stiff_arm_found_after_a_crash_is_attached_without_a_dip(bench: Bench) -> None:
    bench.raised()
    bench.ask(RequestKind.HOLD)
    bench.run(1.0)
    held = bench.pose_rad()
    successor = LockStepWorld.__new__(LockStepWorld)
    successor.__dict__.update(bench.world.__dict__)
    bench.core.close()
    fresh = Bench.__new__(Bench)
    fresh.__dict__.update(bench.__dict__)
    fresh.world = successor
    from learning import world as lockstep

    successor.exchange = lockstep.MemoryExchange()
    successor.core = lockstep.build_core(
        successor.config,
        lambda name, _role: lockstep._calibration(successor.config, name),
        successor._open,
        successor.exchange,
        successor.clock,
    )
    fresh.core, fresh.exchange = successor.core, successor.exchange
    fresh.run(1.0)
    assert fresh.core.state is State.DISARMED
    assert fresh.core.torque is Torque.ON  # read, not inferred from the state
    fresh.armed()
    fresh.run(1.0)
    dip = max(abs(a - b) for a, b in zip(held, fresh.pose_rad(), strict=True))
    assert dip < math.radians(1.0)


# --- faults of the line ---------------------------------------------------------------------------


def test_one_dropped_read_changes_no_commanded_value() -> None:
    def commanded(drop: bool) -> list[tuple[float, ...]]:
        bench = Bench().armed()
        bench.ask(RequestKind.TELEOP, Source.SCRIPTED)
        bench.exchange.newest_command = Command(
            Source.SCRIPTED, bench.core.handover.version, bench.world.clock.now_ns(), RAISED_RAD
        )
        found = []
        for tick in range(25):
            if drop and tick == 12:
                bench.world.plant.handle(SetFault(servo_id=2, kind="mute", replies=1))
            bench.run(1 / 120)
            found.append(tuple(bench.tick["applied_rad"]))
        bench.world.close()
        return found

    assert commanded(drop=True) == commanded(drop=False)


def test_ten_lost_reads_are_a_fault_with_the_joints_name_and_the_arm_holds(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(SetFault(servo_id=4, kind="silent"))
    bench.run(9 / 120)
    assert bench.core.state is State.TELEOP
    assert bench.tick["degraded"]
    bench.run(3 / 120)
    assert bench.core.state is State.FAULT
    assert bench.core.fault.fault is Fault.SERVO_LOST
    assert bench.core.fault.joint == 3
    goals = bench.goals()
    bench.send((0.9, -0.4, 0.3, 0.5, 0.0, 0.3), seconds=1.0)
    assert bench.goals() == goals
    assert bench.torque() == [1] * 6
    bench.world.plant.handle(ClearFaults())
    bench.run(1.0)
    assert bench.core.state is State.FAULT  # latched: a person clears it


def test_an_unplugged_adapter_is_reopened_and_nothing_jumps(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(SetFault(servo_id=1, kind="mute", onward=True))
    bench.until(State.FAULT)
    assert bench.core.fault.fault is Fault.BUS_LOST
    where = bench.pose_rad()
    bench.run(1.0)
    bench.world.plant.handle(ClearFaults())
    bench.run(0.5)
    bench.ask(RequestKind.CLEAR)
    assert bench.core.state is State.DISARMED  # attached as after a crash, no homing
    bench.run(1.0)
    assert max(abs(a - b) for a, b in zip(where, bench.pose_rad(), strict=True)) < 0.02


def test_servos_that_lost_their_supply_are_never_switched_on_again_blindly(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(Power(on=False))
    bench.run(0.5)
    bench.world.plant.handle(Power(on=True))
    bench.run(2.0)
    assert bench.core.state is State.FAULT
    assert bench.torque() == [0] * 6


def test_a_servo_in_protection_is_named_and_gets_no_more_goals(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(ForceStatus(servo_id=2, bits=0x08))
    bench.until(State.FAULT, seconds=0.5)
    assert bench.core.fault.fault is Fault.SERVO_STATUS


# --- goals ----------------------------------------------------------------------------------------


def test_a_goal_that_is_not_a_number_never_reaches_a_servo(bench: Bench) -> None:
    bench.raised()
    goals = bench.goals()
    bench.send((math.nan, *RAISED_RAD[1:]), seconds=0.5)
    assert bench.goals() == goals
    assert LimitedBy(bench.tick["limited_by"][0]) is LimitedBy.NOT_FINITE
    assert bench.core.state is State.TELEOP


def test_a_source_that_falls_silent_is_a_hold(bench: Bench) -> None:
    bench.armed()
    bench.ask(RequestKind.TELEOP, Source.SCRIPTED)
    bench.send((0.8, *RAISED_RAD[1:]), seconds=0.4)
    bench.run(1.0)
    assert LimitedBy(bench.tick["limited_by"][0]) is LimitedBy.STALE
    goals = bench.goals()
    bench.run(0.5)
    assert bench.goals() == goals
    assert bench.core.arms[0].gate.applied_rad[0] < 0.75


def test_goals_of_an_earlier_hand_over_never_move_the_arm(bench: Bench) -> None:
    bench.raised()
    old = bench.core.handover.version
    bench.ask(RequestKind.HOLD)
    bench.ask(RequestKind.TELEOP, Source.SCRIPTED)
    goals = bench.goals()
    bench.exchange.newest_command = Command(
        Source.SCRIPTED, old, bench.world.clock.now_ns(), (0.9,) * 6
    )
    bench.run(0.2)
    assert bench.goals() == goals


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.LATE, Verdict.NONE])
def test_a_plan_that_the_twin_did_not_pass_moves_nothing(bench: Bench, verdict: Verdict) -> None:
    bench.raised()
    bench.ask(RequestKind.POLICY)
    goals = bench.goals()
    now_ns = bench.world.clock.now_ns()
    path = Trajectory(now_ns, 100 * NS_PER_MS, (RAISED_RAD, (0.9, *RAISED_RAD[1:])))
    version = bench.core.handover.version
    bench.exchange.newest_plan = Plan(1, Source.POLICY, version, now_ns + 1, verdict, path)
    bench.run(0.3)
    assert bench.goals() == goals
    assert LimitedBy(bench.tick["limited_by"][0]) is LimitedBy.VERDICT


# --- ways out -------------------------------------------------------------------------------------


def test_a_stop_parks_where_the_way_is_clear_and_ends_limp_and_folded(bench: Bench) -> None:
    bench.raised()
    bench.ask(RequestKind.STOP)
    assert bench.core.state is State.PARKING
    bench.until(State.DISARMED)
    assert bench.core.stopped
    assert bench.torque() == [0] * 6
    bench.fastest_rad_s = 0.0
    bench.run(1.0)
    assert bench.fastest_rad_s < 0.1  # supported: nothing falls when torque goes


def test_a_disarm_with_the_way_blocked_lets_the_arm_down_slowly(bench: Bench) -> None:
    bench.raised()
    bench.exchange.park_is_clear = False
    bench.ask(RequestKind.DISARM)
    assert bench.core.state is State.RELEASING
    took_s = bench.until(State.DISARMED)
    bench.run(1.0)
    assert bench.torque() == [0] * 6
    assert bench.fastest_rad_s <= SINKING_RAD_S
    assert took_s < 10.0


def test_the_way_home_is_the_one_that_the_twin_saw_clear(bench: Bench) -> None:
    bench.raised()
    bench.send((0.9, *RAISED_RAD[1:]), seconds=3.0)
    bench.exchange.newest_home_way = HomeWay.BLOCKED
    bench.ask(RequestKind.HOME)
    assert bench.core.state is not State.HOMING
    bench.exchange.newest_home_way = HomeWay.DRAWN_IN
    bench.ask(RequestKind.HOME)
    lifts_deg = []
    while bench.core.state is State.HOMING:
        bench.run(0.1)
        lifts_deg.append(math.degrees(bench.core.arms[0].gate.applied_rad[1]))
    assert bench.core.state is State.HOLDING
    home_deg, via_deg = bench.world.config.poses.home_deg, bench.world.config.poses.via_deg
    assert min(lifts_deg) == pytest.approx(via_deg[1], abs=0.5)  # drawn in on the way
    assert lifts_deg[-1] == pytest.approx(home_deg[1], abs=0.5)


def test_an_estop_freezes_and_then_lets_the_arm_down_slowly(bench: Bench) -> None:
    bench.raised()
    goals = bench.goals()
    bench.exchange.presses += 1
    bench.run(0.15)
    assert bench.core.state is State.ESTOP
    assert bench.torque() == [1] * 6
    bench.send((0.9, *RAISED_RAD[1:]), seconds=8.0)
    assert bench.goals() == goals  # no goal passed, not even a refresh
    assert bench.torque() == [0] * 6
    assert bench.fastest_rad_s <= SINKING_RAD_S
    assert bench.core.state is State.ESTOP
    bench.ask(RequestKind.ARM)
    assert bench.core.state is State.ESTOP  # latched
    bench.ask(RequestKind.CLEAR)
    assert bench.core.state is State.DISARMED


def test_a_release_waits_for_a_line_that_is_away_and_then_goes_on(bench: Bench) -> None:
    bench.raised()
    bench.exchange.park_is_clear = False
    bench.ask(RequestKind.STOP)
    bench.run(0.3)
    bench.world.plant.handle(SetFault(servo_id=1, kind="mute", onward=True))
    bench.run(4.0)
    assert bench.core.state is State.RELEASING
    assert not bench.core.stopped
    bench.world.plant.handle(ClearFaults())
    bench.until(State.DISARMED)
    assert bench.torque() == [0] * 6
    assert bench.fastest_rad_s <= SINKING_RAD_S


def test_a_stop_over_a_dead_line_ends_after_ten_seconds(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(SetFault(servo_id=1, kind="mute", onward=True))
    bench.until(State.FAULT)
    bench.ask(RequestKind.STOP)
    bench.run(8.0)
    assert not bench.core.stopped
    bench.run(3.0)
    assert bench.core.stopped
    assert bench.torque() == [1] * 6  # said, not hidden: nothing can be sent over a dead line


def test_a_second_press_is_limp_now(bench: Bench) -> None:
    bench.raised()
    bench.exchange.presses += 1
    bench.run(2 / 120)
    bench.exchange.presses += 1
    bench.run(2 / 120)
    assert bench.torque() == [0] * 6


def test_without_its_supervisor_control_holds_then_parks_then_ends(bench: Bench) -> None:
    bench.exchange.supervisor_ns = bench.world.clock.now_ns()
    bench.ask(RequestKind.ARM)
    for _ in range(40):
        bench.exchange.supervisor_ns = bench.world.clock.now_ns()
        bench.run(0.1)
    assert bench.core.state is State.HOLDING
    died_ns = bench.world.clock.now_ns()
    bench.run(9.0)
    assert bench.core.state is State.HOLDING
    assert bench.torque() == [1] * 6
    bench.until(State.DISARMED)
    held_s = (bench.world.clock.now_ns() - died_ns) / NS_PER_S
    assert held_s > 10.0
    assert bench.core.stopped
    assert bench.torque() == [0] * 6


def test_a_fault_holds_with_torque_until_a_person_lets_the_arm_down(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(ForceStatus(servo_id=2, bits=0x20))
    bench.until(State.FAULT, seconds=0.5)
    bench.run(2.0)
    assert bench.torque() == [1] * 6
    bench.ask(RequestKind.DISARM)
    bench.until(State.DISARMED)
    assert bench.torque() == [0] * 6
    assert bench.fastest_rad_s <= SINKING_RAD_S
