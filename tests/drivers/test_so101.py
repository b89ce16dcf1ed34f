"""An arm is looked at without a touch, set only where it differs, and let go joint by joint."""

import numpy as np
import pytest

from drivers import registers as r
from drivers.bus import ServoBus
from drivers.calibration import JOINT_NAMES, MotorCalibration
from drivers.identity import Presence
from drivers.registers import ServoStatus
from drivers.serial_port import PySerialPort
from drivers.so101 import So101Follower, So101Leader, open_bus
from robotd.clock import MonotonicClock, VirtualClock
from robotd.errors import BusError

from .scripted_servos import LoopbackPort, PtyServos, ScriptedServos, words

IDS = (1, 2, 3, 4, 5, 6)
TORQUE_ENABLE, GOAL_POSITION, LOCK = 40, 42, 55


@pytest.fixture
def servos() -> ScriptedServos:
    return ScriptedServos()


@pytest.fixture
def follower(servos) -> So101Follower:
    return So101Follower(ServoBus(LoopbackPort(servos), IDS, VirtualClock()))


def written(servos: ScriptedServos) -> dict[int, list[int]]:
    return {i: [address for address, _ in s.writes] for i, s in servos.servos.items() if s.writes}


def make_right(servos: ScriptedServos) -> None:
    for i, servo in servos.servos.items():
        servo.image[21:24] = bytes([16, 32, 0])
        servo.image[41] = servo.image[85] = 254
        if i == 6:
            servo.image[16:18] = bytes(words(500))
            servo.image[28:30] = bytes(words(250))
            servo.image[36] = 25
        servo.flash = bytearray(servo.image)


def presences(arm) -> dict[str, Presence]:
    return {identity.joint: identity.presence for identity in arm.identify()}


def test_six_good_servos_are_well(follower) -> None:
    identities = follower.identify()
    assert [i.presence for i in identities] == [Presence.WELL] * 6
    assert {i.firmware for i in identities} == {(3, 10)}
    assert [i.problem() for i in identities] == [None] * 6


def test_absent_faulted_foreign_doubled_and_garbled_servos_are_told_apart(follower, servos) -> None:
    servos.servos[1].silent = True
    servos.servos[2].error = 0x20
    servos.servos[3].image[3:5] = bytes(words(2825))
    servos.servos[4].twins = 2
    servos.servos[5].corrupt = True
    identities = follower.identify()
    assert [i.presence for i in identities] == [
        Presence.ABSENT,
        Presence.FAULTED,
        Presence.WRONG_MODEL,
        Presence.DUPLICATE,
        Presence.GARBLED,
        Presence.WELL,
    ]
    assert identities[1].status == ServoStatus.OVERLOAD
    assert identities[2].model == 2825
    for identity in identities[:5]:
        problem = identity.problem()
        assert problem is not None
        assert identity.joint in problem.what
        assert problem.likely
        assert problem.do


def test_two_servos_that_sound_alike_are_found_by_their_measurements(follower, servos) -> None:
    """With one id and the same firmware their identities merge on the wire; positions do not."""

    def collide(replies: list[bytes]) -> bytes:
        return b"".join(
            reply[:5] + bytes([reply[5] & 0x51]) + reply[6:] if len(reply) > 12 else reply
            for reply in replies
        )

    follower.bus.port.mangle = collide
    for servo in servos.servos.values():
        servo.image[56:58] = bytes(words(0x0AAA))
    assert set(presences(follower).values()) == {Presence.GARBLED}


def test_one_lost_reply_does_not_make_a_servo_absent(follower, servos) -> None:
    for servo in servos.servos.values():
        servo.drop_next = 1
    assert set(presences(follower).values()) == {Presence.WELL}


def test_a_servo_that_answers_late_is_not_taken_for_two(servos) -> None:
    slow = iter([0.022])  # the first reply comes when the question has been asked again
    with PtyServos(servos, lambda _reply: next(slow, 0.0)) as line:
        bus = ServoBus(PySerialPort(line.path), IDS, MonotonicClock())
        found = presences(So101Follower(bus))
        bus.close()
    assert set(found.values()) == {Presence.WELL}


@pytest.mark.parametrize("bit", list(ServoStatus))
def test_every_complaint_of_a_servo_has_a_remedy(follower, servos, bit) -> None:
    servos.servos[1].error = int(bit)
    problem = follower.identify()[0].problem()
    assert problem is not None
    assert "shoulder_pan" in problem.what


def test_an_unknown_complaint_is_told_as_such(follower, servos) -> None:
    servos.servos[1].error = 0x40
    problem = follower.identify()[0].problem()
    assert problem is not None
    assert "0x40" in problem.what


def test_a_factory_fresh_arm_differs_where_lerobot_would_write(follower) -> None:
    differences = follower.check_registers()
    names = {d.register.name for d in differences if d.joint == "shoulder_pan"}
    assert names == {"P_Coefficient", "Maximum_Acceleration", "Acceleration"}
    gripper = {d.register.name for d in differences if d.joint == "gripper"} - names
    assert gripper == {"Max_Torque_Limit", "Protection_Current", "Overload_Torque"}
    assert "should be 16" in str(next(d for d in differences if d.register is r.P_COEFFICIENT))


def test_a_leader_is_asked_only_for_what_reading_needs(servos) -> None:
    leader = So101Leader(ServoBus(LoopbackPort(servos), IDS, VirtualClock()))
    assert leader.check_registers() == []
    servos.servos[2].image[18] |= 0x10
    [difference] = leader.check_registers()
    assert (difference.joint, difference.wanted) == ("shoulder_lift", 12)


def test_a_leader_can_neither_be_driven_nor_stiffened() -> None:
    assert not {name for name in dir(So101Leader) if "goal" in name or "torque_limit" in name}
    assert not hasattr(So101Leader, "write_torque_enable")


def test_looking_at_an_arm_writes_nothing(follower, servos) -> None:
    make_right(servos)
    follower.identify()
    follower.check_registers()
    follower.check_voltage()
    follower.check_calibration({n: MotorCalibration(i, 0, 0, 0, 4095) for i, n in named()})
    follower.read_positions()
    follower.read_torque_enable()
    assert written(servos) == {}


def named():
    return enumerate(JOINT_NAMES, 1)


def test_a_right_arm_is_left_alone(follower, servos) -> None:
    make_right(servos)
    assert follower.check_registers() == []
    follower.write_registers(follower.check_registers())
    assert written(servos) == {}


def test_written_registers_hold_survive_a_power_cut_and_move_nothing(follower, servos) -> None:
    servos.servos[3].image[18] |= 0x10
    follower.write_registers(follower.check_registers())
    assert follower.check_registers() == []
    for servo in servos.servos.values():
        assert servo.image[LOCK] == 1
        assert not {TORQUE_ENABLE, GOAL_POSITION} & {address for address, _ in servo.writes}
        servo.power_cycle()
    # Acceleration is SRAM, the only thing a power cut takes.
    assert {d.register.name for d in follower.check_registers()} == {"Acceleration"}
    assert servos.servos[3].image[18] == 12
    assert servos.servos[6].image[48:50] == bytes(words(500))


def test_only_what_still_differs_is_written(follower, servos) -> None:
    differences = follower.check_registers()
    make_right(servos)
    follower.write_registers(differences)
    addresses = {address for _, all_ in written(servos).items() for address in all_}
    assert addresses <= {LOCK}


def test_settings_in_flash_are_refused_under_torque_before_anything_is_written(
    follower, servos
) -> None:
    differences = follower.check_registers()
    servos.servos[6].image[TORQUE_ENABLE] = 1
    with pytest.raises(BusError, match="gripper"):
        follower.write_registers(differences)
    assert written(servos) == {}


def test_what_lives_in_ram_is_written_under_torque_without_unlocking(follower, servos) -> None:
    make_right(servos)
    servos.servos[2].image[41] = 0
    servos.servos[2].image[TORQUE_ENABLE] = 1
    follower.write_registers(follower.check_registers())
    assert servos.servos[2].writes == [(41, bytes([254]))]


def test_a_servo_that_keeps_its_old_value_is_an_error_and_ends_locked(follower, servos) -> None:
    differences = follower.check_registers()

    class Stubborn(bytearray):
        def __setitem__(self, key, value):
            if key != slice(21, 22):
                super().__setitem__(key, value)

    servos.servos[1].image = Stubborn(servos.servos[1].image)
    with pytest.raises(BusError, match="P_Coefficient"):
        follower.write_registers(differences)
    assert servos.servos[1].image[LOCK] == 1


def test_a_servo_that_acknowledges_nothing_is_taught_to(follower, servos) -> None:
    make_right(servos)
    quiet = servos.servos[4]
    quiet.image[8] = 0
    real_answer = servos.answer

    def silent_on_writes(request: bytes) -> list[bytes]:
        level = quiet.image[8]
        replies = real_answer(request)
        return [] if request[2] == 4 and request[4] == 0x03 and level == 0 else replies

    servos.answer = silent_on_writes
    [difference] = follower.check_registers()
    follower.write_registers([difference])
    assert quiet.flash[8] == 1
    assert quiet.image[LOCK] == 1


def test_calibration_and_servo_are_compared_and_brought_together(follower, servos) -> None:
    make_right(servos)
    calibration = {n: MotorCalibration(i, 0, -85 * i, 700, 3300) for i, n in named()}
    differences = follower.check_calibration(calibration)
    assert len(differences) == 18
    follower.write_registers(differences)
    assert follower.check_calibration(calibration) == []
    # Homing_Offset is sign-magnitude with its sign in bit 11.
    assert servos.servos[1].flash[31:33] == bytes(words(0x800 | 85))
    for servo in servos.servos.values():
        servo.power_cycle()
    assert follower.check_calibration(calibration) == []


def test_the_supply_is_compared_with_the_servos_own_limits(follower, servos) -> None:
    servos.servos[2].image[62] = 150
    readings = {v.joint: v for v in follower.check_voltage()}
    assert not readings["shoulder_lift"].within_limits
    assert (readings["gripper"].present_v, readings["gripper"].maximum_v) == (12.1, 14.0)
    assert readings["gripper"].within_limits


def test_positions_come_in_joint_order_or_as_an_error_naming_the_joint(follower, servos) -> None:
    assert follower.read_positions() == (2001, 2002, 2003, 2004, 2005, 2006)
    servos.servos[5].image[56:58] = bytes(words(4096))
    with pytest.raises(BusError, match="wrist_roll"):
        follower.read_positions()
    servos.servos[2].silent = True
    with pytest.raises(BusError, match="shoulder_lift"):
        follower.read_positions()


def test_goals_reach_all_six_in_one_frame(follower, servos) -> None:
    follower.write_goal_ticks(np.array([0, 1, 2, 3, 4, 4095]))
    assert [s.writes for s in servos.servos.values()] == [
        [(GOAL_POSITION, bytes(words(goal)))] for goal in (0, 1, 2, 3, 4, 4095)
    ]
    assert len(servos.requests) == 1


@pytest.mark.parametrize("bad", [-1, 4096, 2000.0, float("nan"), None, "2000"])
def test_a_goal_that_is_no_tick_never_reaches_a_servo(follower, servos, bad) -> None:
    with pytest.raises((ValueError, TypeError)):
        follower.write_goal_ticks([2000, 2000, bad, 2000, 2000, 2000])
    with pytest.raises(ValueError, match="zip"):
        follower.write_goal_ticks([2000] * 5)
    assert servos.requests == []


def test_the_gripper_never_gets_more_torque_than_its_cap(follower, servos) -> None:
    follower.write_torque_limit(1000)
    limits = [int.from_bytes(s.image[48:50], "little") for s in servos.servos.values()]
    assert limits == [1000] * 5 + [500]
    follower.write_torque_limit([10, 20, 30, 40, 50, 60])
    limits = [int.from_bytes(s.image[48:50], "little") for s in servos.servos.values()]
    assert limits == [10, 20, 30, 40, 50, 60]
    with pytest.raises(ValueError, match="permille"):
        follower.write_torque_limit(1001)


def test_letting_go_reaches_every_joint_though_one_is_in_fault_and_one_is_silent(
    follower, servos
) -> None:
    """LeRobot's disconnect stops at the first servo with a status bit and leaves the rest stiff."""
    for servo in servos.servos.values():
        servo.image[TORQUE_ENABLE] = 1
    servos.servos[2].error = 0x20
    servos.servos[4].silent = True
    states = follower.release()
    assert states == {n: None if i == 4 else False for i, n in named()}
    assert [s.image[TORQUE_ENABLE] for s in servos.servos.values()] == [0, 0, 0, 1, 0, 0]


def test_a_release_the_servo_missed_is_sent_again(follower, servos) -> None:
    for servo in servos.servos.values():
        servo.image[TORQUE_ENABLE] = 1
    real_store, missed = servos._store, []

    def miss_first(servo_id: int, address: int, data: bytes) -> None:
        if servo_id == 3 and not missed:
            missed.append(data)
            return
        real_store(servo_id, address, data)

    servos._store = miss_first
    assert set(follower.write_torque_enable(False).values()) == {False}


def test_torque_on_is_sent_once_and_reported_as_the_servos_tell_it(follower, servos) -> None:
    def refuse(servo_id: int, address: int, data: bytes) -> None:
        if servo_id != 3:
            real_store(servo_id, address, data)

    real_store, servos._store = servos._store, refuse
    states = follower.write_torque_enable(True)
    assert states == {n: i != 3 for i, n in named()}
    assert sum(request[4] == 0x83 for request in servos.requests) == 1


def test_an_arm_has_six_servos(servos) -> None:
    with pytest.raises(ValueError, match="6 servos"):
        So101Follower(ServoBus(LoopbackPort(servos), (1, 2), VirtualClock()))


def test_the_same_holds_on_a_real_serial_line(servos, tmp_path) -> None:
    with PtyServos(servos) as line:
        by_id = tmp_path / "by-id"
        by_id.mkdir()
        (by_id / "usb-1a86_5A6800-if00").symlink_to(line.path)
        bus = open_bus("5A6800", MonotonicClock(), by_id)
        assert isinstance(bus.port, PySerialPort)
        follower = So101Follower(bus)
        servos.servos[5].silent = True
        servos.servos[6].twins = 2
        found = presences(follower)
        assert found.pop("wrist_roll") is Presence.ABSENT
        assert found.pop("gripper") is Presence.DUPLICATE
        assert set(found.values()) == {Presence.WELL}
        servos.servos[5].silent = False
        servos.servos[6].twins = 1
        follower.write_registers(follower.check_registers())
        assert follower.check_registers() == []
        bus.close()
