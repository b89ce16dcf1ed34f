"""What `status` says of the twin: verdict, and what a refused plan would have done."""

from typing import Any

from config.loader import load
from daemon.supervisor.status import twin_status
from robotd.clock import NS_PER_S
from robotd.layouts import twin_layout
from robotd.plan_words import FIRST_OBSTACLE, Part
from robotd.states import PlanReason, Verdict

NOW_NS = 100 * NS_PER_S
CONFIG = load(simulated=True).config


def record(**values: Any) -> dict[str, Any]:
    blank: dict[str, Any] = {
        field.name: 0 if field.count == 1 else (0.0,) * field.count
        for field in twin_layout(6).fields
    }
    return blank | {"stamp_ns": NOW_NS} | values


def test_a_refusal_is_told_with_bodies_time_and_depth_and_stays_after_the_next_plan_passed() -> (
    None
):
    said = twin_status(
        CONFIG,
        record(
            plans_passed=7,
            plans_rejected=1,
            last_verdict=Verdict.PASS,
            refused_ns=NOW_NS - 4 * NS_PER_S,
            refused_reason=PlanReason.LINK_ON_OBSTACLE,
            refused_joint=-1,
            refused_waypoint=24,
            refused_into_s=0.8,
            refused_amount=12.0,
            refused_body=Part.FINGERS,
            refused_against=FIRST_OBSTACLE,
        ),
        NOW_NS,
    )
    assert said.verdict == "pass"
    assert said.last_reason == "the fingers would hit the bowl 0.8 s into the plan, 12 mm deep"
    assert said.refused_ago_s == 4.0


def test_without_a_refusal_there_is_no_reason() -> None:
    said = twin_status(CONFIG, record(last_verdict=Verdict.PASS, plans_passed=3), NOW_NS)
    assert (said.verdict, said.last_reason, said.refused_ago_s) == ("pass", "", None)
