"""A servo protects itself, says so in its status byte, and forgives as the firmware does."""

from sim.plant import registers as reg
from sim.plant.registers import Status
from sim.plant.servo import Servo

SHAFT = 2000.0


def goal(servo: Servo, ticks: int) -> None:
    servo.write(42, ticks.to_bytes(2, "little"))


def blocked(servo: Servo, milliseconds: int, shaft: float = SHAFT) -> float:
    """The firmware runs; something holds the shaft."""
    duty = 0.0
    for _ in range(milliseconds):
        duty = servo.tick(shaft)
    return duty


def stalled_servo(**overrides: int) -> Servo:
    servo = Servo(1, shaft_ticks=SHAFT, overrides=overrides)
    servo.write(41, b"\xfe")
    blocked(servo, 30)
    goal(servo, 3500)
    return servo


def test_a_stall_trips_overload_after_two_seconds_and_leaves_a_fifth_of_the_torque() -> None:
    servo = stalled_servo()
    early = blocked(servo, 1900)
    assert early > 0.8
    assert servo.status == 0
    duty = blocked(servo, 800)
    assert servo.status == Status.OVERLOAD
    assert duty == 0.2
    assert servo.torque_enable == 1


def test_overload_clears_by_retargeting_to_where_the_shaft_is() -> None:
    servo = stalled_servo()
    blocked(servo, 3000)
    assert servo.status == Status.OVERLOAD
    goal(servo, int(SHAFT))
    blocked(servo, 2000)
    assert servo.status == 0
    goal(servo, 2100)
    assert blocked(servo, 300) > 0.2


def test_overload_clears_when_torque_goes_off() -> None:
    servo = stalled_servo()
    blocked(servo, 3000)
    servo.write(40, b"\x00")
    blocked(servo, 20)
    assert servo.status == 0


def test_a_turning_shaft_is_not_overloaded() -> None:
    servo = stalled_servo()
    shaft = SHAFT
    for _ in range(3000):
        servo.tick(shaft)
        shaft += 0.3
        goal(servo, min(4095, int(shaft) + 900))
    assert servo.status == 0


def test_without_its_mask_bit_overload_is_reported_and_the_torque_stays() -> None:
    servo = stalled_servo(unloading_condition=0x00)
    assert blocked(servo, 3000) > 0.8
    assert servo.status == Status.OVERLOAD


def test_over_current_latches_torque_off_and_the_next_goal_energises_again() -> None:
    servo = stalled_servo(protection_current=250)
    blocked(servo, 3000)
    assert servo.torque_enable == 0
    assert servo.status & Status.OVER_CURRENT
    assert blocked(servo, 500) == 0.0
    assert servo.status & Status.OVER_CURRENT
    goal(servo, 3500)
    assert servo.torque_enable == 1
    assert not servo.status & Status.OVER_CURRENT


def test_stall_current_is_the_published_one() -> None:
    servo = stalled_servo()
    blocked(servo, 1500)
    servo.read(56, 15)
    amperes = reg.read_value(servo.memory, "present_current") * 0.0065
    assert 2.4 < amperes < 2.8


def test_a_stalled_servo_heats_trips_and_recovers_six_degrees_lower() -> None:
    servo = stalled_servo(unloading_condition=0x04, max_temperature_limit=35)
    for _ in range(60):
        if servo.status & Status.TEMPERATURE:
            break
        blocked(servo, 1000)
    assert servo.status & Status.TEMPERATURE
    assert blocked(servo, 10) == 0.0
    servo.winding.temperature_c = 30.0
    blocked(servo, 20)
    assert servo.status & Status.TEMPERATURE
    servo.winding.temperature_c = 29.0
    blocked(servo, 20)
    assert not servo.status & Status.TEMPERATURE


def test_voltage_out_of_range_is_a_status_bit_and_cuts_nothing() -> None:
    servo = stalled_servo()
    servo.supply_v = 3.5
    assert blocked(servo, 100) != 0.0
    assert servo.status == Status.VOLTAGE
    servo.supply_v = 14.5
    blocked(servo, 40)
    assert servo.status == Status.VOLTAGE or servo.status == 0
    blocked(servo, 60)
    assert servo.status == Status.VOLTAGE
    servo.supply_v = 12.0
    blocked(servo, 20)
    assert servo.status == 0


def test_torque_limit_caps_the_duty() -> None:
    servo = stalled_servo()
    servo.write(48, (300).to_bytes(2, "little"))
    assert blocked(servo, 600) == 0.3
    servo.read(56, 15)
    assert reg.read_value(servo.memory, "present_load") == 300
