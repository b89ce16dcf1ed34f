"""The benchmark of protection: its sums, and that it can see both an alarm and a catch."""

import argparse

import pytest

from bench import protection
from bench.protection_run import Caught, Quiet
from bench.rates import upper_95


def test_no_event_in_a_thousand_bounds_the_rate_by_three_in_a_thousand() -> None:
    assert upper_95(0, 1000) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert upper_95(0, 0) == 1.0
    assert upper_95(1, 10) == pytest.approx(0.394, abs=0.001)  # a table's value


def quiet(seed: int, **changes: object) -> Quiet:
    values: dict[str, object] = {
        "seed": seed,
        "outcome": "success",
        "ticks": 100,
        "fault": "",
        "fault_joint": -1,
        "fault_s": -1.0,
        "warnings": {},
    }
    return Quiet(**{**values, **changes})  # type: ignore[arg-type]


def test_a_fault_and_a_goal_moved_back_are_alarms_and_a_word_of_the_mirror_is_not() -> None:
    episodes = [
        quiet(0),
        quiet(1, fault="collision"),
        quiet(2, warnings={"goal moved back": 1}),
        quiet(3, warnings={"mirror: slipped": 2}),
    ]
    caught = [
        Caught("jam", 9, True, "goal moved back", 0.3, "stalled", 2.3, 700),
        Caught("jam", 10, True, "", -1.0, "", -1.0, 100),
        Caught("jam", 11, False, "", -1.0, "", -1.0, 0),
    ]
    report = protection.report_of(episodes, caught, "scripted")
    assert report["false_alarms"]["episodes"] == 2
    assert report["false_alarms"]["seeds"] == [1, 2]
    assert report["warnings"] == {"goal moved back": 1, "mirror: slipped": 2}
    jams = report["troubles"]["jam"]
    assert (jams["struck"], jams["noticed"], jams["unnoticed_seeds"]) == (2, 1, [10])
    assert "2 false alarms in 4 episodes" in protection.table(report | {"wall_s": 1.0})


def test_a_normal_episode_is_quiet_and_a_jam_is_not() -> None:
    parser = argparse.ArgumentParser()
    protection.configure(parser)
    said: list[str] = []
    args = parser.parse_args(["--episodes", "1", "--troubles", "1", "--first-seed", "3"])
    report = protection.measure(args, said.append)
    assert report["false_alarms"]["episodes"] == 0
    assert report["outcomes"] == {"success": 1}
    jam = report["troubles"]["jam"]
    assert (jam["struck"], jam["noticed"]) == (1, 1)
    assert jam["noticed_max_s"] < 1.0
    assert said
