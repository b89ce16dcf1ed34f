"""A leader that goes away in the middle of teleoperation: the arm stands, and nothing snaps when it
comes back standing elsewhere."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from robotd.states import Fault, LimitedBy, RequestKind, Source, State
from sim.plant.world_messages import ClearFaults, Hand, SetFault

from .zoo import Pair

ELSEWHERE_RAD = [0.5, -1.0, 0.9, 0.4, 0.3, 0.5]


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    made.ask(RequestKind.ARM)
    for _ in range(20):
        made.run(0.25)
        if made.core.state is State.HOLDING:
            break
    made.plant.handle(Hand([0.1, -1.4, 1.3, 0.6, 0.0, 0.2]))
    made.ask(RequestKind.TELEOP, Source.LEADER)
    made.run(1.5)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("name", "servo"), [("silent", 4), ("unplug", None), ("power_cut", None), ("encoder_turns", 1)]
)
def test_a_lost_leader_is_a_hold_and_its_motion_is_taken_anew_when_it_is_back(
    pair: Pair, name: str, servo: int | None
) -> None:
    assert pair.core.state is State.TELEOP
    pair.plant.handle(SetFault(servo, name, arm="leader"))
    pair.run(0.8)
    stood = pair.applied[-1]
    pair.plant.handle(Hand(ELSEWHERE_RAD))
    pair.run(1.5)
    tick = pair.exchange.last_tick
    assert tick is not None
    assert pair.applied[-1] == stood
    assert LimitedBy(tick["limited_by"][0]) & LimitedBy.STALE
    assert (pair.core.state, pair.core.fault.fault) == (State.TELEOP, Fault.NONE)
    pair.plant.handle(ClearFaults("leader"))
    began = len(pair.applied)
    pair.run(6.0)
    back = pair.applied[began:]
    steps = [
        max(abs(b - a) for a, b in zip(before, after, strict=True)) * 120
        for before, after in pairwise(back)
    ]
    assert max(steps) < 0.6  # the offset melts at 25 deg/s, it does not jump
    assert back[-1] != stood
