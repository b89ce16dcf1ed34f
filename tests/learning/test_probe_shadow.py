"""What a shadow says of a checkpoint without a recording: the coarse things, each by its own name."""

from typing import Any

import pytest

from learning.probe_shadow import judged, shadow_text
from robotd.messages import PolicyStatus, ShadowStatus


def ended(**changes: Any) -> ShadowStatus:
    fine: dict[str, Any] = {
        "phase": "finished",
        "elapsed_s": 10.0,
        "chunks": 12,
        "refused": 0,
        "reach_deg": 24.0,
        "jump_deg": 2.0,
        "inference_ms": 9.0,
        "inference_max_ms": 11.0,
    }
    return ShadowStatus(**(fine | changes))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, ""),
        ({"jump_deg": 80.0, "reach_deg": 3.0}, "un-normalised"),
        ({"jump_deg": 80.0}, "starts-elsewhere"),
        ({"reach_deg": 0.6}, "stands-still"),
        ({"refused": 9, "reasons": {"it presses on the table": 9}}, "refused"),
    ],
)
def test_a_shadow_names_what_it_can_see_and_says_what_it_cannot(
    changes: dict[str, Any], cause: str
) -> None:
    found = judged(ended(**changes), PolicyStatus(path="P"))
    assert (found.cause, found.outcome) == (cause, "fail" if cause else "pass")
    words = shadow_text(found)
    assert (
        "robotd probe --policy CHECKPOINT --dataset NAME" in words
    )  # what it would take to know more
    assert bool(found.do) == bool(cause)
