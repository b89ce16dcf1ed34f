"""One servo's registers: what a write does, what survives, what wakes the motor."""

import pytest

from sim.plant import registers as reg
from sim.plant.instructions import execute
from sim.plant.servo import Servo
from sim.plant.wire import Instruction

LOCK, TORQUE, GOAL, OFFSET = 55, 40, 42, 31


def make(**overrides: int) -> Servo:
    servo = Servo(1, shaft_ticks=1304.0, overrides=overrides)
    run(servo, 30)
    return servo


def run(servo: Servo, milliseconds: int, shaft_ticks: float | None = None) -> float:
    """Let the firmware run on a shaft that does not move."""
    duty = 0.0
    for _ in range(milliseconds):
        duty = servo.tick(servo._shaft_ticks if shaft_ticks is None else shaft_ticks)
    return duty


def value(servo: Servo, name: str) -> int:
    servo.read(0, 1)
    return reg.read_value(servo.memory, name)


def test_a_servo_wakes_up_limp_locked_and_recognisable() -> None:
    servo = make(max_torque_limit=500)
    assert value(servo, "model_number") == 777
    assert (value(servo, "firmware_major"), value(servo, "firmware_minor")) == (3, 10)
    assert value(servo, "torque_enable") == 0
    assert value(servo, "lock") == 1
    assert value(servo, "goal_position") == 0
    assert value(servo, "torque_limit") == 500  # copied from Max_Torque_Limit at power-on only


def test_max_torque_limit_reaches_torque_limit_only_at_power_on() -> None:
    servo = make()
    servo.write(LOCK, b"\x00")
    servo.write(16, (500).to_bytes(2, "little"))
    assert value(servo, "torque_limit") == 1000
    servo.power_on()
    assert value(servo, "torque_limit") == 500


def test_a_goal_write_energises() -> None:
    servo = make()
    servo.write(GOAL, (1400).to_bytes(2, "little"))
    assert servo.torque_enable == 1
    assert run(servo, 300) > 0.0


def test_torque_on_alone_holds_where_the_shaft_is() -> None:
    servo = make()
    servo.write(TORQUE, b"\x01")
    assert run(servo, 200) == 0.0
    assert run(servo, 200, shaft_ticks=1334.0) < 0.0


def test_a_shaft_turned_by_hand_is_held_where_it_was_left() -> None:
    servo = make()
    run(servo, 50, shaft_ticks=2000.0)
    servo.write(TORQUE, b"\x01")
    assert run(servo, 100) == 0.0
    assert servo.law.goal == 2000


def test_a_locked_eprom_write_acts_until_power_off() -> None:
    servo = make()
    servo.write(21, b"\x10")
    assert servo.memory[21] == 16
    assert servo.flash_writes == 0
    servo.power_on()
    assert servo.memory[21] == 32


def test_an_unlocked_eprom_write_survives_and_an_equal_one_spares_the_flash() -> None:
    servo = make()
    servo.write(LOCK, b"\x00")
    assert servo.write(21, b"\x10") is True
    assert servo.write(21, b"\x10") is False
    servo.power_on()
    assert servo.memory[21] == 16
    assert servo.memory[LOCK] == 1


def test_sram_does_not_survive() -> None:
    servo = make()
    servo.write(48, (300).to_bytes(2, "little"))
    servo.write(41, b"\xfe")
    servo.power_on()
    assert value(servo, "torque_limit") == 1000
    assert servo.memory[41] == 0


def test_read_only_registers_ignore_writes() -> None:
    servo = make()
    before = servo.read(0, 5)
    servo.write(0, bytes(5))
    servo.write(56, b"\x00\x00")
    assert servo.read(0, 5) == before
    assert value(servo, "present_position") == 1304


def test_a_read_is_clamped_at_the_end_and_unanswered_behind_it() -> None:
    servo = make()
    data = servo.read(80, 20)
    assert data is not None
    assert len(data) == 7
    assert servo.read(87, 1) is None


@pytest.mark.parametrize("offset", [-2047, -123, 0, 85, 2047])
def test_present_is_actual_minus_offset(offset: int) -> None:
    servo = make(homing_offset=offset)
    assert value(servo, "homing_offset") == offset
    assert value(servo, "present_position") == (1304 - offset) % 4096


def test_torque_128_makes_here_2048_and_lets_go() -> None:
    servo = make()
    servo.write(TORQUE, b"\x80")
    assert servo.torque_enable == 0
    assert value(servo, "present_position") == 2048
    servo.power_on()  # it went to flash although Lock is 1
    assert value(servo, "present_position") == 2048


def test_calibrate_sets_any_position() -> None:
    servo = make()
    execute(servo, Instruction.CALIBRATE, (1000).to_bytes(2, "little"))
    assert value(servo, "present_position") == 1000


def test_a_new_offset_under_torque_does_not_make_the_arm_jump() -> None:
    servo = make()
    servo.write(GOAL, (1304).to_bytes(2, "little"))
    run(servo, 100)
    servo.write(OFFSET, (300).to_bytes(2, "little"))
    assert run(servo, 100) == 0.0


def test_goals_are_clamped_to_the_position_limits() -> None:
    servo = make(min_position_limit=1000, max_position_limit=1500)
    servo.write(GOAL, (3000).to_bytes(2, "little"))
    assert servo.law.goal == 1500
    assert value(servo, "goal_position") == 3000  # stored as given


def test_reg_write_waits_for_action() -> None:
    servo = make()
    execute(servo, Instruction.REG_WRITE, b"\x2a" + (1400).to_bytes(2, "little"))
    assert servo.memory[64] == 1
    assert servo.torque_enable == 0
    execute(servo, Instruction.ACTION, b"")
    assert servo.memory[64] == 0
    assert servo.law.goal == 1400


def test_recover_restores_the_backup_and_keeps_the_id() -> None:
    servo = make()
    servo.write(LOCK, b"\x00")
    servo.write(21, b"\x10")
    execute(servo, Instruction.BACKUP, b"")
    servo.write(21, b"\x30")
    servo.write(5, b"\x09")
    execute(servo, Instruction.RECOVER, b"")
    assert servo.memory[21] == 16
    assert servo.servo_id == 9


def test_status_level_zero_answers_only_ping_and_read() -> None:
    servo = make(response_status_level=0)
    assert execute(servo, Instruction.PING, b"")[0] == b""
    assert execute(servo, Instruction.READ, b"\x38\x02")[0] is not None
    assert execute(servo, Instruction.WRITE, b"\x28\x00")[0] is None


def test_an_unknown_instruction_gets_a_plain_status() -> None:
    assert execute(make(), 0x55, b"\x01")[0] == b""


@pytest.mark.parametrize(("name", "bit"), [("goal_position", 15), ("homing_offset", 11)])
def test_signs_are_sign_magnitude(name: str, bit: int) -> None:
    servo = make()
    reg.write_value(servo.memory, name, -123)
    assert reg.read_raw(servo.memory, name) == 123 | (1 << bit)
    assert reg.read_value(servo.memory, name) == -123


def test_pwm_mode_drives_open_loop_and_multi_turn_mode_counts_turns() -> None:
    servo = make()
    servo.write(33, b"\x02")
    servo.write(44, (200 | 1 << 10).to_bytes(2, "little"))
    servo.write(TORQUE, b"\x01")
    assert run(servo, 5) == pytest.approx(-0.2)
    servo.write(TORQUE, b"\x00")
    servo.write(33, b"\x00")
    servo.write(18, bytes((0x0C | 0x10,)))
    run(servo, 20, shaft_ticks=5000.0)
    assert value(servo, "present_position") == 5000


def test_velocity_mode_turns_and_step_mode_steps() -> None:
    servo = make()
    servo.write(33, b"\x01")
    servo.write(46, (1000).to_bytes(2, "little"))
    servo.write(TORQUE, b"\x01")
    assert run(servo, 200) > 0.0
    servo.write(TORQUE, b"\x00")
    servo.write(33, b"\x03")
    servo.write(GOAL, (100 | 1 << 15).to_bytes(2, "little"))
    assert servo.law.goal == 1204
