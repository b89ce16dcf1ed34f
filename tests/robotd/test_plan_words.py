"""What a person reads when the twin refused a plan."""

import pytest

from robotd.plan_words import FIRST_OBSTACLE, PARTS_PER_ARM, Part, Refusal, sentence
from robotd.states import PlanReason

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
BOTH = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in JOINTS)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (
            Refusal(PlanReason.LINK_ON_TABLE, -1, 24, 0.8, 12.3, Part.UPPER_ARM, Part.TABLE),
            "the upper arm would hit the table 0.8 s into the plan, 12 mm deep",
        ),
        (
            Refusal(PlanReason.FINGERS_IN_TABLE, -1, 24, 1.25, 31.0, Part.FINGERS, Part.TABLE),
            "the fingers would press into the table 1.2 s into the plan, 31 mm deep",
        ),
        (
            Refusal(PlanReason.LINK_ON_OBSTACLE, -1, 2, 0.1, 6.0, Part.HAND, FIRST_OBSTACLE + 1),
            "the hand would hit the camera foot 0.1 s into the plan, 6 mm deep",
        ),
        (
            Refusal(PlanReason.RANGE, 2, 7, 0.2, 23.4),
            "elbow_flex would go 23° beyond its range 0.2 s into the plan",
        ),
        (
            Refusal(PlanReason.SPEED, 0, 7, 0.2, 410.0),
            "shoulder_pan would have to go 410°/s 0.2 s into the plan, faster than the arm can",
        ),
        (
            Refusal(PlanReason.JUMP, 0, 0, 0.0, 60.0),
            "the plan begins 60° from where shoulder_pan is",
        ),
        (Refusal(PlanReason.STALE, amount=4.5), "it was made from an observation 4.5 s old"),
        (Refusal(PlanReason.STALE), "it was made before the last hand-over"),
        (Refusal(PlanReason.LATE), PlanReason.LATE.words),
        (Refusal(PlanReason.NONE), ""),
    ],
)
def test_a_refusal_says_what_would_have_happened_where_and_when(
    refusal: Refusal, words: str
) -> None:
    assert sentence(refusal, JOINTS, ("bowl", "camera foot")) == words


def test_two_arms_are_told_apart() -> None:
    refusal = Refusal(
        PlanReason.ARMS_MEET, -1, 3, 0.4, 9.0, Part.WRIST, PARTS_PER_ARM + Part.LOWER_ARM
    )
    assert sentence(refusal, BOTH, ()) == (
        "the left wrist would hit the right lower arm 0.4 s into the plan, 9 mm deep"
    )


def test_every_reason_makes_a_sentence() -> None:
    for reason in PlanReason:
        assert sentence(Refusal(reason), JOINTS, ()) or reason is PlanReason.NONE
