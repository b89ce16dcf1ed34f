"""What a policy in shadow proposes can never move the arm, whatever the twin said of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.control.exchange import Plan
from daemon.control.sources import HOLD, Handover, follow_plan
from policies.shadow import SHADOW_VERSION
from robotd.states import RequestKind, Source, State, Verdict
from robotd.trajectory import Trajectory

from .conftest import Bench

NOW_NS = 10_000_000_000


def shadow_plan(version: int, at_ns: int, goal_rad: tuple[float, ...] = (0.1,) * 6) -> Plan:
    path = Trajectory(at_ns, 66_000_000, (goal_rad,) * 100)
    return Plan(7, Source.SHADOW, version, at_ns, Verdict.PASS, path)


@given(
    st.integers(0, SHADOW_VERSION),
    st.sampled_from([each for each in Source if each is not Source.SHADOW]),
    st.booleans(),
)
def test_a_shadows_plan_is_followed_under_no_hand_over_even_of_its_own_version(
    version: int, owner: Source, late_passes: bool
) -> None:
    plan = shadow_plan(version, NOW_NS)
    followed = follow_plan(plan, Handover(version, 0, owner), NOW_NS + 1, late_passes)
    assert followed.asked is HOLD and followed.plan_id == 0


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (RequestKind.POLICY, Source.POLICY),
        (RequestKind.POLICY, Source.SHADOW),  # nobody asks so; it is still the policy's
        (RequestKind.REPLAY, Source.REPLAY),
        (RequestKind.TELEOP, Source.SHADOW),
    ],
)
def test_an_armed_arm_given_to_anybody_stays_where_it_is_under_a_shadows_plan(
    bench: Bench, kind: RequestKind, source: Source
) -> None:
    bench.armed()
    bench.ask(kind, source)
    goals = bench.goals()
    version = bench.core.handover.version
    bench.exchange.newest_plan = shadow_plan(version, bench.world.clock.now_ns() + 1)
    ticks: list[Any] = []
    for _ in range(60):
        bench.run(1 / 120)
        ticks.append(bench.tick)
    assert bench.goals() == goals
    assert {tick["plan_id"] for tick in ticks} == {0}
    assert bench.core.state in (State.POLICY, State.REPLAY, State.TELEOP)
