"""The selftest on the virtual arm: what it confirms, what it catches, and that it ends limp."""

import msgspec
import pytest

from daemon.selftest.facts import FACTS
from daemon.selftest.person import Answer
from daemon.selftest.record import Record
from robotd.errors import RobotdError
from sim.plant.options import PlantOptions
from sim.plant.registers import Phase
from sim.plant.world_messages import ForceStatus, SetFault

from .stage import Someone, Stage, angle_deg, verdicts

TORQUE_LIMIT, MAX_TORQUE, LOCK = 48, 16, 55
SINKING_RAD_S = 0.5


@pytest.fixture(scope="module")
def whole() -> tuple[Stage, Record, RobotdError | None]:
    """One selftest from end to end, with a person who lays hands on the arm and looks."""
    stage = Stage(Someone())
    record, trouble = stage.run()
    return stage, record, trouble


def test_it_passes_on_the_virtual_arm_and_confirms_every_fact(
    whole: tuple[Stage, Record, RobotdError | None],
) -> None:
    _, record, trouble = whole
    assert trouble is None
    wrong = {fact.id: fact.measured for fact in record.facts if fact.verdict != "confirmed"}
    assert wrong == {}
    assert record.trusted
    assert 250 < record.heaviest_hold_permille < 450  # what the reset phase's default rests on


def test_it_ends_limp_with_every_register_as_at_power_on(
    whole: tuple[Stage, Record, RobotdError | None],
) -> None:
    stage, record, _ = whole
    assert stage.torque() == [0] * 6
    assert 0 < record.sinking_rad_s <= SINKING_RAD_S
    for servo in range(1, 7):
        limit = stage.memory(servo, TORQUE_LIMIT, 2)
        assert limit == stage.memory(servo, MAX_TORQUE, 2) == (500 if servo == 6 else 1000)
        assert stage.memory(servo, LOCK) == 1


def test_nothing_moves_before_it_was_said_and_agreed_to(
    whole: tuple[Stage, Record, RobotdError | None],
) -> None:
    stage, _, _ = whole
    heard = " ".join(stage.person.heard)
    for words in ("wrist_roll alone", "whole arm is taken", "elbow_flex moves", "sinks by itself"):
        assert words in heard


def test_a_person_who_agrees_to_nothing_sees_nothing_driven() -> None:
    def no(question: str) -> Answer | None:
        return Answer.NO if "label" not in question else None

    stage = Stage(Someone(hands=False, says=no))
    driven = []
    advance = stage.plant.advance
    stage.plant.advance = lambda to_ns: (advance(to_ns), driven.append(sum(stage.torque())))[0]  # type: ignore[method-assign]
    record, trouble = stage.run()
    assert trouble is None
    assert not any(driven)
    assert not record.trusted
    assert verdicts(record)["goal-is-torque"] == "not tried"


def test_a_stop_in_the_middle_lets_the_arm_down() -> None:
    def stop(question: str) -> Answer | None:
        return Answer.STOP if "Next: elbow_flex" in question else None

    stage = Stage(Someone(hands=False, says=stop))
    record, trouble = stage.run()
    assert trouble is not None and "person" in trouble.what
    assert stage.torque() == [0] * 6
    assert not record.finished


def test_ctrl_c_lets_the_arm_down() -> None:
    def interrupt(question: str) -> Answer | None:
        if "Next: shoulder_lift" in question:
            raise KeyboardInterrupt
        return None

    stage = Stage(Someone(hands=False, says=interrupt))
    _, trouble = stage.run()
    assert trouble is not None and "Ctrl-C" in trouble.what
    assert stage.torque() == [0] * 6


def test_a_servo_that_goes_silent_under_torque_ends_it_and_the_rest_is_let_down() -> None:
    def cut(question: str) -> Answer | None:
        if "Next: shoulder_lift" in question:
            stage.plant.handle(SetFault(servo_id=4, kind="mute"))
        return None

    stage = Stage(Someone(hands=False, says=cut))
    _, trouble = stage.run()
    assert trouble is not None
    assert stage.torque() == [0] * 6  # the mute one hears


def test_a_motor_that_turns_against_its_sensor_is_stopped_before_it_gets_strong() -> None:
    stage = Stage(Someone(hands=False))
    servo = stage.plant.world.arm("follower").servos[0]
    servo.write(18, bytes([servo.memory[18] ^ Phase.DRIVE_REVERSED]))
    before = angle_deg(stage, 0)
    record, trouble = stage.run()
    assert verdicts(record)["sign-shoulder_pan"] == "contradicted"
    assert trouble is not None and "shoulder_pan moves against" in trouble.what
    assert stage.torque() == [0] * 6
    assert abs(angle_deg(stage, 0) - before) < 20.0


def test_a_reading_that_goes_against_the_hand_contradicts_the_sign() -> None:
    def enough(question: str) -> Answer | None:
        return Answer.STOP if "wrist_roll alone" in question else None

    record, _ = Stage(Someone(says=enough, backwards="wrist_roll")).run()
    signs = {name: said for name, said in verdicts(record).items() if name.startswith("sign-")}
    assert signs.pop("sign-wrist_roll") == "contradicted"
    assert set(signs.values()) == {"confirmed"}


def test_eyes_that_see_another_direction_contradict_a_reading_that_follows() -> None:
    def see(question: str) -> Answer | None:
        if "Did shoulder_pan" in question:
            return Answer.NO
        return Answer.STOP if "Next: shoulder_lift" in question else None

    record, _ = Stage(Someone(hands=False, says=see)).run()
    assert verdicts(record)["sign-shoulder_pan"] == "contradicted"


def test_a_label_that_says_otherwise_ends_it_before_anything_is_driven() -> None:
    def deny(question: str) -> Answer | None:
        return Answer.NO if "label" in question else None

    record, trouble = Stage(Someone(says=deny)).run()
    assert trouble is not None and "label" in trouble.what
    assert verdicts(record)["supply"] == "contradicted"
    assert verdicts(record)["48-at-once"] == "not tried"


def test_a_servo_that_complains_is_named_first() -> None:
    stage = Stage(Someone())
    stage.plant.handle(ForceStatus(servo_id=3, bits=0x20))
    _, trouble = stage.run()
    assert trouble is not None and "elbow_flex" in trouble.what


def test_a_weak_kit_is_named_and_raised_too() -> None:
    stage = Stage(Someone(hands=False), PlantOptions(leader=False, supply="5V"))
    record, trouble = stage.run()
    assert trouble is None
    assert record.supply == "5V"
    assert verdicts(record)["droop"] == verdicts(record)["law"] == "confirmed"


def test_every_fact_says_where_it_is_from_and_what_is_expected() -> None:
    assert len({fact.id for fact in FACTS}) == len(FACTS)
    for fact in FACTS:
        assert all(msgspec.to_builtins(fact)[key] for key in ("text", "source", "how", "predicted"))
