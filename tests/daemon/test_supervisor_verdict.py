"""The verdict of `robotd health`: what it says for which figures, and what it keeps quiet about."""

from dataclasses import replace
from typing import Any

import pytest

from daemon.supervisor.verdict import Figures, ServoFigures, ServoLosses, judge
from robotd.states import State

SERVO = ServoFigures("elbow_flex", 3, 5.0, 35.0, ())
WELL = Figures(
    simulated=False,
    state=State.HOLDING,
    fault="",
    fault_do="",
    starting=False,
    ticked=True,
    tick_hz=120,
    recent_ticks=1_200,
    recent_missed=0,
    late_p99_us=300.0,
    servos=(replace(SERVO, name="shoulder_lift", servo_id=2), SERVO),
    lines={},
    asked_last_minute=7_200,
    reopened_last_minute=0,
    derate_from_c=55.0,
    stop_at_c=65.0,
    twin="agrees",
    twin_finding=("", ""),
    guard="watching",
    guard_what="",
    guard_do="",
    processes={"control": "running", "twin": "running", "recorder": "running"},
    cameras={"wrist": 40.0},
)


def servos(**changes: Any) -> tuple[ServoFigures, ...]:
    return (WELL.servos[0], replace(SERVO, **changes))


def losing(*lost: int, line: str = "arm") -> dict[str, Any]:
    """A line whose servos lost that many replies each, along the chain."""
    named = enumerate(zip(("shoulder_pan", "shoulder_lift", "elbow_flex"), lost, strict=True), 1)
    return {"lines": {line: tuple(ServoLosses(name, k, count) for k, (name, count) in named)}}


QUIET = {
    "a well robot": {},
    "a limp arm": {"state": State.DISARMED, "twin": "limp"},
    "ticks that the machine's host stole": {"recent_missed": 2},
    "a late tick in a hundred, by a third of a period": {"late_p99_us": 2_700.0},
    "single lost replies": losing(0, 4, 4),
    "one reply in two hundred": losing(36, 36, 36),
    "a policy that was unloaded": {"processes": {"control": "running", "policy": "ended"}},
    "no camera at all": {"cameras": {}},
    "no twin wanted": {"twin": "off"},
    "an encoder half a second behind": {"encoder_behind_s": 0.5},
}


@pytest.mark.parametrize("name", QUIET)
def test_what_nobody_has_to_act_on_is_good(name: str) -> None:
    assert judge(replace(WELL, **QUIET[name])) == ("good", ())


CRIES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "a fault": (
        "bad",
        {"state": State.FAULT, "fault": "elbow_flex is too hot", "fault_do": "Let it cool."},
        "elbow_flex is too hot",
        "Let it cool",
    ),
    "a disk that fills": (
        "degraded",
        {"disk_left_s": 400.0},
        "room for 7 more minutes of recording",
        "Free space",
    ),
    "an encoder that lags": (
        "degraded",
        {"encoder_behind_s": 1.4},
        "The video encoder is 1.4 s behind",
        "smaller pictures",
    ),
    "one silent servo, by name": (
        "bad",
        {"state": State.DISARMED, "servos": servos(age_ms=1_001.0)},
        "No answer from elbow_flex",
        "servo 3",
    ),
    "a servo that never answered": ("bad", {"servos": servos(age_ms=-1.0)}, "elbow_flex", "cable"),
    "all servos silent": (
        "bad",
        {"servos": (replace(SERVO, age_ms=-1.0),)},
        "No servo answers",
        "supply",
    ),
    "one tick in eight missed": (
        "bad",
        {"recent_ticks": 1_050, "recent_missed": 150},
        "150 ticks were missed",
        "top",
    ),
    "a servo at the stopping temperature": (
        "bad",
        {"servos": servos(temperature_c=65.0)},
        "65 °C",
        "disarm",
    ),
    "two ticks in a hundred missed": (
        "degraded",
        {"recent_ticks": 1_176, "recent_missed": 24},
        "24 ticks were missed",
        "top",
    ),
    "ticks late by more than half a period": (
        "degraded",
        {"late_p99_us": 4_300.0},
        "4.3 ms late",
        "top",
    ),
    "a software stop": ("degraded", {"state": State.ESTOP}, "software stop", "clear"),
    "a start that goes on": ("degraded", {"starting": True}, "starting", "Wait"),
    "a cable that loses replies": (
        "degraded",
        losing(0, 2, 80),
        "elbow_flex lost 80",
        "servo 3",
    ),
    "a line on which all servos lose replies": (
        "degraded",
        losing(76, 80, 90, line="right leader"),
        "All servos of the right leader lose replies: 90",
        "USB",
    ),
    "virtual servos without their turn": (
        "degraded",
        {"simulated": True, **losing(90, 90, 90)},
        "All servos",
        "top",
    ),
    "an adapter that came back": ("degraded", {"reopened_last_minute": 1}, "went away", "USB"),
    "a servo that is derated": (
        "degraded",
        {"servos": servos(temperature_c=56.0)},
        "56 °C",
        "rest",
    ),
    "a servo that complains": (
        "degraded",
        {"servos": servos(flags=("overload",))},
        "overload",
        "arm --check",
    ),
    "a dead process": (
        "degraded",
        {"processes": {"recorder": "dead (exit 1)"}},
        "recorder is dead",
        "robotd logs recorder",
    ),
    "a guard that is gone": ("degraded", {"guard": "absent"}, "No guard", "logs guard"),
    "a guard that keeps dying": (
        "degraded",
        {"guard": "absent", "processes": {"guard": "restarting (exit 1)"}},
        "guard is restarting",
        "logs guard",
    ),
    "a guard that cannot": (
        "degraded",
        {"guard": "cannot", "guard_what": "It may not open the port.", "guard_do": "dialout"},
        "may not open",
        "dialout",
    ),
    "a twin that is gone": ("degraded", {"twin": "absent"}, "twin", "logs twin"),
    "an arm that is not where its goals are": (
        "degraded",
        {"twin": "collision", "twin_finding": ("the arm meets something", "Free the arm")},
        "meets something",
        "Free",
    ),
    "a camera that froze": ("degraded", {"cameras": {"wrist": 4_000.0}}, "wrist is 4 s", "cable"),
    "a camera without a picture": ("degraded", {"cameras": {"wrist": None}}, "no picture", "cable"),
}


@pytest.mark.parametrize("name", CRIES)
def test_what_a_person_can_act_on_is_said_with_what_to_do(name: str) -> None:
    verdict, changes, what, do = CRIES[name]
    said, reasons = judge(replace(WELL, **changes))
    assert said == verdict
    assert len(reasons) == 1
    assert what in reasons[0].what
    assert do in reasons[0].do


def test_the_worst_reason_comes_first() -> None:
    verdict, reasons = judge(
        replace(WELL, state=State.FAULT, fault="no servo answers", cameras={"wrist": None})
    )
    assert verdict == "bad"
    assert [reason.what for reason in reasons] == [
        "no servo answers",
        "The camera wrist has sent no picture.",
    ]


def test_servos_are_not_blamed_for_a_dead_control() -> None:
    """Their answers are old because nobody asks: the cable is fine."""
    died = replace(WELL, state=State.FAULT, fault="control died", servos=servos(age_ms=60_000.0))
    assert [reason.what for reason in judge(died)[1]] == ["control died"]


def test_a_robot_that_starts_is_not_blamed_for_what_is_not_there_yet() -> None:
    figures = replace(
        WELL,
        starting=True,
        ticked=False,
        servos=(),
        twin="absent",
        guard="absent",
        cameras={"wrist": None},
    )
    verdict, reasons = judge(figures)
    assert (verdict, len(reasons)) == ("degraded", 1)
