"""A person is told why a policy moves nothing, while it happens and when it is over."""

import math
from typing import Any

import pytest

from daemon.cli.played import Played
from robotd.errors import StateError
from robotd.messages import PolicyStatus, Status, TwinStatus

from ..tui.scripted_robot import JOINTS, joint, status


def shown(passed: int, refused: int, error: str = "", *, lift_deg: float = 0.0) -> Status:
    moved: dict[str, Any] = {"position_rad": math.radians(lift_deg)}
    return status(
        state="policy",
        joints=tuple(
            joint(name, 0.0, **(moved if name == "shoulder_lift" else {"position_rad": 0.0}))
            for name in JOINTS
        ),
        twin=TwinStatus(alive=True, plans_passed=passed, plans_rejected=refused),
        policy=PolicyStatus(phase="running", error=error),
    )


def played(*seen: Status) -> tuple[Played, list[str]]:
    it = Played("my_policy")
    return it, [line for each in seen if (line := it.see(each))]


def test_why_the_arm_waits_is_said_once_for_each_kind_of_reason() -> None:
    _, lines = played(
        shown(3, 0),
        shown(3, 1, "shoulder_pan would go 402° beyond its range 0.0 s into the plan"),
        shown(3, 2, "shoulder_pan would go 380° beyond its range 0.1 s into the plan"),
        shown(3, 2, "no picture of overhead for 0.4 s"),
        shown(3, 2, "no picture of overhead for 0.5 s"),
    )
    assert lines == [
        "  the arm waits: shoulder_pan would go 402° beyond its range 0.0 s into the plan",
        "  the arm waits: no picture of overhead for 0.4 s",
    ]


def test_the_summary_counts_this_episodes_chunks_and_how_far_the_arm_moved() -> None:
    it, lines = played(shown(100, 7), shown(120, 8, lift_deg=-10.0), shown(140, 9, lift_deg=31.0))
    assert lines == []
    assert it.summary() == (
        "  40 chunks passed the twin, 2 did not; the arm moved 41° at most (shoulder_lift)"
    )
    it.raise_if_nothing()


def test_a_twin_that_was_restarted_takes_nothing_from_the_count() -> None:
    it, _ = played(shown(100, 7), shown(110, 8), shown(2, 0), shown(5, 1, lift_deg=31.0))
    assert it.summary().startswith("  15 chunks passed the twin, 2 did not;")


def test_a_policy_whose_every_chunk_was_refused_is_an_error_with_the_commonest_reason() -> None:
    reason = "elbow_flex would go 90° beyond its range 0.0 s into the plan"
    it, _ = played(shown(5, 0), shown(5, 4, "late"), *(shown(5, n, reason) for n in range(5, 9)))
    with pytest.raises(StateError, match="none of its 8 chunks passed") as caught:
        it.raise_if_nothing()
    assert reason in caught.value.likely
    assert "robotd probe --policy my_policy" in caught.value.do


def test_a_policy_that_never_answered_is_told_from_one_that_was_refused() -> None:
    with pytest.raises(StateError, match="made no chunk"):
        Played("my_policy").raise_if_nothing()
    it, _ = played(shown(5, 2, "the server is gone"), shown(5, 2, "the server is gone"))
    with pytest.raises(StateError, match="made no chunk") as caught:
        it.raise_if_nothing()
    assert "the server is gone" in caught.value.likely


def test_a_policy_that_proposes_to_stand_is_told_though_every_chunk_passed() -> None:
    it, _ = played(shown(0, 0), shown(30, 0, lift_deg=1.0))
    it.raise_if_nothing()
    assert "it proposes the pose that the arm is in" in it.summary()
    assert "robotd probe --policy my_policy" in it.summary()
