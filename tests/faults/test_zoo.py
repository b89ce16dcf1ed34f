"""The zoo: every fault of the table comes while the arm is at speed.

For each: no jump in what is commanded, the documented fault at the right joint, the arm comes down
slowly where something can still be sent, and it can be used again once the cause is gone. The rows
of docs/faults.md name these tests.
"""

from collections.abc import Iterator

import pytest

from robotd.states import Fault, RequestKind, State, Torque
from sim.plant.fault_table import FAULTS, Reach

from .zoo import ELBOW, SINKING_RAD_S, Robot, way_home

ELBOW_JOINT = ELBOW - 1

INVISIBLE = {  # name: value
    "noise": 9,
    "loss": 20,
    "stall": 50,
    "firmware": None,
    "model": None,
}
"""The arm goes on as if nothing were."""

FAULTS_AT_THE_JOINT = {
    "silent": Fault.SERVO_LOST,
    "mute": Fault.SERVO_LOST,
    "bad_checksum": Fault.SERVO_LOST,
    "truncated": Fault.SERVO_LOST,
    "delayed": Fault.SERVO_LOST,
    "wrong_id": Fault.SERVO_LOST,
    "duplicate_id": Fault.SERVO_LOST,
    "cable_break": Fault.SERVO_LOST,
    "reboot": Fault.SERVO_REBOOTED,
    "encoder_bit": Fault.SERVO_STATUS,
    "current_bit": Fault.SERVO_STATUS,
    "temperature_bit": Fault.OVERHEATED,
    "hot": Fault.OVERHEATED,
    "encoder_jump": Fault.ENCODER,
    "encoder_turns": Fault.ENCODER,
}
ATTACHED_ANEW = {Fault.SERVO_LOST, Fault.SERVO_REBOOTED, Fault.ENCODER, Fault.BUS_LOST}
"""After these the arm has to be armed again; after the others `clear` holds it on."""

THE_WHOLE_LINE = ("unplug", "unplug_moved", "power_cut", "power_cut_stiff")
A_FEW_REPLIES = ("silent", "mute", "bad_checksum", "truncated", "delayed", "wrong_id")


@pytest.fixture
def robot() -> Iterator[Robot]:
    made = Robot().on_its_way()
    yield made
    made.close()


def servo_of(name: str) -> int | None:
    return None if FAULTS[name].reach in (Reach.ARM, Reach.WIRE) else ELBOW


@pytest.mark.parametrize("name", INVISIBLE)
def test_what_a_moving_arm_shall_not_notice_changes_no_commanded_value(
    robot: Robot, name: str
) -> None:
    robot.fault(name, servo_of(name), value=INVISIBLE[name])
    robot.until(State.HOLDING)
    assert tuple(robot.applied) == way_home()


@pytest.mark.parametrize("name", A_FEW_REPLIES)
def test_up_to_nine_lost_replies_in_a_row_change_no_commanded_value(
    robot: Robot, name: str
) -> None:
    robot.fault(name, ELBOW, seconds=8.5 / 120)
    robot.until(State.HOLDING)
    assert tuple(robot.applied) == way_home()


@pytest.mark.parametrize("name", ["encoder_jump", "encoder_turns"])
def test_a_position_that_jumps_for_a_moment_moves_nothing(robot: Robot, name: str) -> None:
    robot.fault(name, ELBOW, seconds=8.5 / 120)
    robot.until(State.HOLDING)
    assert tuple(robot.applied) == way_home()


@pytest.mark.parametrize("name", FAULTS_AT_THE_JOINT)
def test_a_lasting_fault_is_named_with_its_joint_the_arm_stands_and_comes_down_slowly(
    robot: Robot, name: str
) -> None:
    robot.fault(name, ELBOW)
    robot.until(State.FAULT, seconds=1.0)
    assert robot.core.fault.fault is FAULTS_AT_THE_JOINT[name]
    assert robot.core.fault.joint == ELBOW_JOINT
    robot.run(0.3)  # it was at speed
    where = robot.pose_rad()
    # A restarted elbow hangs, and takes its time; what holds the others holds.
    robot.run(2.0 if name == "reboot" else 0.5)
    held = [joint for joint in range(6) if name != "reboot" or joint != ELBOW_JOINT]
    now = robot.pose_rad()
    assert [robot.torque()[joint] for joint in held] == [1] * len(held)
    assert max(abs(where[joint] - now[joint]) for joint in held) < 0.05
    assert robot.biggest_step() <= 1.01
    robot.fastest_rad_s = 0.0
    robot.ask(RequestKind.DISARM)
    robot.until(State.DISARMED)
    deaf = {"silent": {ELBOW}, "cable_break": {3, 4, 5, 6}}.get(name, set())
    left = [on for servo, on in enumerate(robot.torque(), start=1) if servo not in deaf]
    assert left == [0] * (6 - len(deaf))
    assert robot.fastest_rad_s <= SINKING_RAD_S


@pytest.mark.parametrize("name", FAULTS_AT_THE_JOINT)
def test_a_fault_whose_cause_is_gone_waits_for_a_person_and_then_is_forgotten(
    robot: Robot, name: str
) -> None:
    robot.fault(name, ELBOW)
    robot.until(State.FAULT, seconds=1.0)
    robot.mend()
    assert robot.is_in(State.FAULT)  # latched, whatever has become of the cause
    robot.applied.clear()
    robot.ask(RequestKind.CLEAR)
    if FAULTS_AT_THE_JOINT[name] in ATTACHED_ANEW:
        assert robot.is_in(State.DISARMED)
        robot.ask(RequestKind.ARM)
    robot.fastest_rad_s = 0.0
    robot.until(State.HOLDING)
    robot.run(1.0)
    assert robot.is_in(State.HOLDING)
    assert robot.torque() == [1] * 6
    assert robot.fastest_rad_s <= SINKING_RAD_S  # nobody homes it, nothing snaps


@pytest.mark.parametrize("name", THE_WHOLE_LINE)
def test_a_lost_line_is_a_fault_and_after_it_the_arm_is_where_it_is(
    robot: Robot, name: str
) -> None:
    robot.fault(name)
    robot.until(State.FAULT, seconds=0.5)
    assert (robot.core.fault.fault, robot.core.fault.joint) == (Fault.BUS_LOST, -1)
    robot.run(2.0)
    robot.mend()
    robot.run(5.0)  # the longest back-off
    assert robot.is_in(State.FAULT)
    assert robot.core.torque is (Torque.OFF if name == "power_cut" else Torque.ON)  # read, not kept
    robot.ask(RequestKind.CLEAR)
    assert robot.is_in(State.DISARMED)
    where = robot.pose_rad()
    robot.run(1.0)
    assert max(abs(a - b) for a, b in zip(where, robot.pose_rad(), strict=True)) < 0.02
    robot.fastest_rad_s = 0.0
    robot.ask(RequestKind.ARM)
    robot.until(State.HOLDING)
    assert robot.fastest_rad_s <= SINKING_RAD_S


@pytest.mark.parametrize("cut_s", [0.1, 0.5])
def test_servos_that_lost_their_power_for_a_moment_are_not_switched_on_again(
    robot: Robot, cut_s: float
) -> None:
    robot.fault("power_cut", seconds=cut_s)
    robot.until(State.FAULT, seconds=1.0)
    robot.run(1.0)
    assert robot.is_in(State.FAULT)
    assert robot.torque() == [0] * 6


@pytest.mark.parametrize("tenths_v", [35, 160])
def test_a_supply_outside_its_window_is_a_fault_that_holds(robot: Robot, tenths_v: int) -> None:
    robot.fault("supply", value=tenths_v)
    robot.until(State.FAULT, seconds=2.0)
    assert robot.core.fault.fault is Fault.SUPPLY_VOLTAGE
    assert robot.torque() == [1] * 6
    robot.mend()
    robot.ask(RequestKind.CLEAR)
    robot.until(State.HOLDING, seconds=1.0)


def test_a_joint_whose_servo_calls_itself_overloaded_stops_pushing_and_is_named(
    robot: Robot,
) -> None:
    robot.fault("overload_bit", ELBOW)
    robot.until(State.FAULT, seconds=5.0)
    assert (robot.core.fault.fault, robot.core.fault.joint) == (Fault.STALLED, ELBOW_JOINT)
    robot.mend()
    robot.ask(RequestKind.CLEAR)
    robot.until(State.HOLDING, seconds=1.0)


def test_a_jammed_joint_does_not_stop_the_arm_for_good(robot: Robot) -> None:
    robot.fault("stuck", ELBOW)
    robot.run(8.0)
    assert robot.is_in(State.FAULT, State.HOLDING, State.HOMING)
    elbow_load = robot.core.arms[0].loads_permille()[ELBOW_JOINT]
    assert abs(elbow_load) <= 600  # it does not go on pushing with all it has
    robot.mend()
    if robot.is_in(State.FAULT):
        assert (robot.core.fault.fault, robot.core.fault.joint) == (Fault.STALLED, ELBOW_JOINT)
        robot.ask(RequestKind.CLEAR)
    robot.ask(RequestKind.HOME)
    robot.until(State.HOLDING)
    assert robot.pose_rad()[ELBOW_JOINT] == pytest.approx(way_home()[-1][ELBOW_JOINT], abs=0.15)


# --- before anything moves ------------------------------------------------------------------------


@pytest.fixture
def limp() -> Iterator[Robot]:
    made = Robot()
    made.run(0.2)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("name", "line", "outcome", "says"),
    [
        ("silent", "servo elbow_flex", "fail", "does not answer"),
        ("cable_break", "servo gripper", "fail", "does not answer"),
        ("duplicate_id", "servo elbow_flex", "fail", "readably|More than one"),
        ("wrong_id", "servo elbow_flex", "fail", "does not answer|readably"),
        ("model", "servo elbow_flex", "fail", "model 1029"),
        ("firmware", "firmware", "warn", "3.9, 3.10"),
        ("overload_bit", "servo elbow_flex", "warn", "overloaded"),
        ("voltage_bit", "servo elbow_flex", "warn", "voltage"),
        ("hot", "temperature", "fail", "66"),
        ("encoder_turns", "pose", "fail", "where it cannot be"),
        ("encoder_jump", "pose", "fail", "where it cannot be"),
    ],
)
def test_the_arming_list_names_what_is_wrong_with_a_servo(
    limp: Robot, name: str, line: str, outcome: str, says: str
) -> None:
    limp.fault(name, ELBOW)
    check = limp.checks()[line]
    assert check.outcome == outcome
    assert any(part in check.detail for part in says.split("|"))
    assert check.do
    assert limp.torque() == [0] * 6


@pytest.mark.parametrize("name", ["unplug", "power_cut"])
def test_an_arm_that_is_not_there_is_not_armed(limp: Robot, name: str) -> None:
    limp.fault(name)
    limp.run(0.5)
    assert "fail" in {check.outcome for check in limp.checks().values()}
    limp.ask(RequestKind.ARM)
    limp.run(8.0)
    assert limp.is_in(State.DISARMED)


def test_mixed_firmware_is_told_and_the_arm_works(limp: Robot) -> None:
    limp.fault("firmware", ELBOW)
    limp.ask(RequestKind.ARM)
    limp.until(State.HOLDING)
