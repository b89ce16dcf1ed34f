"""What goes wrong in the middle of something else: the arm still comes down, and slowly.

As in test_core, torque and registers are read from the servos and motion from the physics.
"""

import pytest
from msgspec.structs import replace

from robotd.errors import BusError
from robotd.states import Fault, RequestKind, State, Torque
from sim.plant.world_messages import ClearFaults, ForceStatus, Power, SetFault, Stuck

from .conftest import SINKING_RAD_S, Bench

TORQUE_ENABLE, ACCELERATION, TORQUE_LIMIT = 40, 41, 48


def limits(bench: Bench) -> list[int]:
    found = [bench.memory(servo)[TORQUE_LIMIT:] for servo in range(1, 7)]
    return [memory[0] | memory[1] << 8 for memory in found]


def heat(bench: Bench, joint: int) -> list[float]:
    """Make control read the temperature in the returned list from one servo."""
    celsius = [25.0]
    arm = bench.core.arms[0]
    take = arm.take

    def taken(answers):  # type: ignore[no-untyped-def]
        hot = {
            servo: replace(reading, temperature_c=celsius[0])
            if servo == joint + 1 and reading
            else reading
            for servo, reading in answers.items()
        }
        return take(hot)

    arm.take = taken  # type: ignore[method-assign]
    return celsius


# --- on the way down ------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0x20, 0x08], ids=["stalled", "over-current"])
def test_a_fault_while_parking_lets_a_stopping_arm_down(bench: Bench, bits: int) -> None:
    bench.raised()
    bench.ask(RequestKind.STOP)
    bench.run(0.5)
    assert bench.core.state is State.PARKING
    bench.world.plant.handle(ForceStatus(servo_id=2, bits=bits))
    bench.until(State.DISARMED)
    assert bench.core.stopped
    assert bench.torque() == [0] * 6
    assert bench.fastest_rad_s <= SINKING_RAD_S * 2.5  # it was parking at its own pace before


def test_a_lost_servo_while_parking_does_not_keep_a_stopping_arm_up(bench: Bench) -> None:
    bench.raised()
    bench.ask(RequestKind.STOP)
    bench.run(0.5)
    bench.world.plant.handle(SetFault(servo_id=6, kind="mute"))
    bench.until(State.DISARMED)
    assert bench.core.stopped
    assert bench.torque() == [0] * 6  # it hears, and obeys unseen


@pytest.mark.parametrize("servo", [1, 6])
def test_one_silent_servo_does_not_keep_the_others_up(bench: Bench, servo: int) -> None:
    bench.raised()
    bench.exchange.park_is_clear = False
    bench.world.plant.handle(SetFault(servo_id=servo, kind="silent"))
    bench.until(State.FAULT)
    bench.ask(RequestKind.DISARM)
    bench.until(State.DISARMED)
    assert [on for index, on in enumerate(bench.torque()) if index != servo - 1] == [0] * 5
    assert bench.fastest_rad_s <= SINKING_RAD_S
    assert bench.core.torque is Torque.MIXED  # said, not hidden: one was never heard to let go


def test_a_stop_ends_with_one_servo_silent(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(SetFault(servo_id=6, kind="silent"))
    bench.until(State.FAULT)
    bench.ask(RequestKind.STOP)
    bench.until(State.DISARMED)
    assert bench.core.stopped


def test_an_estop_with_one_servo_silent_lets_the_rest_down_and_can_be_cleared(
    bench: Bench,
) -> None:
    bench.raised()
    bench.world.plant.handle(SetFault(servo_id=6, kind="silent"))
    bench.exchange.presses += 1
    bench.run(10.0)
    assert bench.torque()[:5] == [0] * 5
    assert bench.fastest_rad_s <= SINKING_RAD_S
    bench.ask(RequestKind.CLEAR)
    assert bench.core.state is State.DISARMED


def test_after_a_release_the_torque_limit_is_what_other_programs_expect(bench: Bench) -> None:
    # LeRobot never writes register 48: it would find an arm without strength.
    bench.raised()
    bench.ask(RequestKind.STOP)
    bench.until(State.DISARMED)
    assert limits(bench) == [1000, 1000, 1000, 1000, 1000, 500]
    assert bench.torque() == [0] * 6


def test_limp_now_leaves_the_torque_limit_so_too(bench: Bench) -> None:
    bench.raised()
    bench.exchange.presses += 1
    bench.run(1.0)
    bench.exchange.presses += 1
    bench.run(0.5)
    assert bench.torque() == [0] * 6
    assert limits(bench) == [1000, 1000, 1000, 1000, 1000, 500]


def test_a_stiff_arm_is_let_down_when_its_supervisor_is_gone(bench: Bench) -> None:
    bench.exchange.supervisor_ns = bench.world.clock.now_ns()
    bench.raised_with_supervisor()
    bench.world.plant.handle(SetFault(servo_id=1, kind="mute", onward=True))
    bench.until(State.FAULT)
    bench.world.plant.handle(ClearFaults())
    bench.run(0.5)
    bench.ask(RequestKind.CLEAR)
    assert bench.core.state is State.DISARMED
    assert bench.torque() == [1] * 6
    bench.run(20.0)
    assert bench.core.stopped
    assert bench.torque() == [0] * 6
    assert bench.fastest_rad_s <= SINKING_RAD_S


# --- fault ----------------------------------------------------------------------------------------


def test_a_fault_holds_with_no_more_torque_than_it_needed(bench: Bench) -> None:
    bench.raised()
    where = bench.pose_rad()
    bench.world.plant.handle(ForceStatus(servo_id=3, bits=0x20))
    bench.until(State.FAULT, seconds=0.5)
    bench.run(3.0)
    assert max(limits(bench)) <= 600
    assert bench.torque() == [1] * 6
    dip = max(abs(a - b) for a, b in zip(where, bench.pose_rad(), strict=True))
    assert dip < 0.05  # and it holds
    bench.world.plant.handle(ClearFaults())
    bench.run(0.5)
    bench.ask(RequestKind.CLEAR)
    assert bench.core.state is State.HOLDING
    bench.run(2.0)
    assert limits(bench) == [1000, 1000, 1000, 1000, 1000, 500]
    assert bench.fastest_rad_s <= SINKING_RAD_S


def test_what_kept_the_arm_from_its_goal_is_not_pushed_again_after_a_clear(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(Stuck(servo_id=1))
    bench.send((0.9, -0.4, 0.3, 0.5, 0.0, 0.3), seconds=3.0)
    bench.until(State.FAULT, seconds=10.0)
    assert bench.core.fault.fault is Fault.STALLED
    bench.world.plant.handle(Stuck(servo_id=1, stuck=False))
    bench.world.plant.handle(ClearFaults())
    bench.run(1.0)
    here = bench.pose_rad()[0]
    bench.ask(RequestKind.CLEAR)
    bench.run(2.0)
    assert bench.core.state is State.HOLDING
    assert abs(bench.pose_rad()[0] - here) < 0.2


def test_an_overheated_arm_holds_and_is_let_down_before_the_servo_cuts_out(bench: Bench) -> None:
    bench.raised()
    celsius = heat(bench, joint=1)
    celsius[0] = 65.0
    bench.until(State.FAULT, seconds=0.5)
    assert bench.core.fault.fault is Fault.OVERHEATED
    bench.run(3.0)
    assert bench.core.state is State.FAULT
    celsius[0] = 68.0
    bench.until(State.DISARMED)
    assert bench.torque() == [0] * 6
    assert bench.fastest_rad_s <= SINKING_RAD_S


# --- supply ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dip_s", [0.05, 0.2, 1.0])
def test_servos_that_restarted_are_a_fault_however_short_the_dip_was(
    bench: Bench, dip_s: float
) -> None:
    bench.raised()
    bench.world.plant.handle(Power(on=False))
    bench.run(dip_s)
    bench.world.plant.handle(Power(on=True))
    bench.run(1.0)
    assert bench.core.state is State.FAULT


def test_a_limp_joint_of_a_stiff_arm_is_taken_gently(bench: Bench) -> None:
    bench.raised()
    bench.world.plant.handle(SetFault(servo_id=1, kind="mute", onward=True))
    bench.until(State.FAULT)
    bench.world.plant.handle(ClearFaults())
    bench.run(0.5)
    bench.ask(RequestKind.CLEAR)
    servo = bench.world.plant.port("follower")
    servo.write(bytes([0xFF, 0xFF, 3, 4, 3, TORQUE_ENABLE, 0, 0xFF & ~(3 + 4 + 3 + 40)]))
    bench.run(2.0)  # the elbow sags
    assert bench.torque() == [1, 1, 0, 1, 1, 1]
    bench.fastest_rad_s = 0.0
    bench.armed()
    bench.run(1.0)
    assert bench.torque() == [1] * 6
    assert bench.fastest_rad_s <= SINKING_RAD_S


def test_a_reply_lost_at_the_very_end_leaves_no_weak_arm_to_the_next_program(bench: Bench) -> None:
    bench.raised()
    arm = bench.core.arms[0]
    restore, lost = arm.restore_torque_limit, []

    def twice_lost() -> None:
        if len(lost) < 2:
            lost.append(True)
            raise BusError("Servo 3 did not read.", "A lost reply.", "Nothing.")
        restore()

    arm.restore_torque_limit = twice_lost  # type: ignore[method-assign]
    bench.ask(RequestKind.RELEASE)
    bench.until(State.DISARMED)
    assert len(lost) == 2 and bench.torque() == [0] * 6
    assert limits(bench) == [1000] * 5 + [500]
