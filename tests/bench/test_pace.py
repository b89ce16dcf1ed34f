"""What `bench pace` makes of a session: the ratio, the verdict, the line on the page."""

from typing import Any

import pytest

from bench.pace import LIMIT, judge, table
from bench.page import PAGE, filled, section

SUMMARY: dict[str, Any] = {"kept": 50, "published": 50, "flagged": [{"episode": 3}]}
MACHINE = {"date": "2026-01-02", "cpu": "a CPU", "cores": 2, "kernel": "6.1", "python": "3.12.1"}


def test_the_time_is_that_of_all_episodes_and_resets_and_a_fiftieth_more_is_too_much() -> None:
    made = judge(50, 10.0, 5.0, 757.5, SUMMARY)
    assert (made["sum_s"], made["ratio"], made["flagged"]) == (750.0, 1.01, 1)
    assert made["good"]
    assert judge(50, 10.0, 5.0, 750.0 * LIMIT, SUMMARY)["good"]
    assert not judge(50, 10.0, 5.0, 750.0 * LIMIT + 0.1, SUMMARY)["good"]


@pytest.mark.parametrize(
    "changed", [{"kept": 49}, {"published": 49}, {"kept": 49, "published": 49}]
)
def test_a_quick_session_that_lost_an_episode_is_not_good(changed: dict[str, int]) -> None:
    assert not judge(50, 10.0, 5.0, 700.0, SUMMARY | changed)["good"]


def test_the_result_has_its_place_on_the_page() -> None:
    made = judge(50, 10.0, 5.0, 757.5, SUMMARY)
    report = {"machine": MACHINE | {"load_1min": 0.1}, **made}
    report |= {"keys": 51, "frames": 15_000, "saved_after_s": 1.25}
    place, lines = section(report)
    assert place == "pace"
    (line,) = table(report)
    assert "took 757.5 s where their sum is 750 s (1.010, at most 1.02); 51 keys" in line
    assert line in filled(PAGE.read_text(), place, lines)
