"""A plan that was made from the past is refused by the twin already, and it says so."""

import pytest

from robotd.clock import NS_PER_MS
from robotd.states import PlanReason, Source
from sim.twin.origin import Origin, stale

NOW_NS = 50_000 * NS_PER_MS
TICK = {"handover_version": 4, "handover_ns": NOW_NS - 3_000 * NS_PER_MS}
LIMIT_MS = 2_000.0


def made(age_ms: int, version: int = 4, source: Source = Source.POLICY) -> Origin:
    return Origin(source, version, NOW_NS - age_ms * NS_PER_MS)


@pytest.mark.parametrize(
    ("origin", "old"),
    [
        (made(40), False),
        (made(2_000), False),
        (made(2_001), True),
        (made(40, version=3), True),
        (made(40, version=5), False),  # a hand-over that the twin has not seen yet
        (made(40, version=0, source=Source.SHADOW), False),
        (made(9_000, version=0, source=Source.SHADOW), True),
    ],
)
def test_old_observations_and_old_hand_overs_are_stale(origin: Origin, old: bool) -> None:
    said = stale(origin, TICK, NOW_NS, LIMIT_MS)
    assert (said is not None) is old
    assert said is None or said.reason is PlanReason.STALE


def test_an_observation_from_before_the_hand_over_is_stale_however_young() -> None:
    tick = {"handover_version": 4, "handover_ns": NOW_NS - 10 * NS_PER_MS}
    assert stale(made(11), tick, NOW_NS, LIMIT_MS) is not None
    assert stale(made(10), tick, NOW_NS, LIMIT_MS) is not None
    assert stale(made(9), tick, NOW_NS, LIMIT_MS) is None
