"""A person takes a moving arm from a policy and gives it back: nothing snaps, in either direction."""

import math
from itertools import pairwise

import pytest

from daemon.control.exchange import Command, Plan
from robotd.clock import NS_PER_MS
from robotd.states import RequestKind, Source, State, Verdict
from robotd.trajectory import Trajectory

from .conftest import Bench

SPEED_RAD_S, ACCELERATION_RAD_S2 = math.radians(120.0), math.radians(600.0)
TICK_S = 1 / 120
LEADER_RAD = (-0.9, -1.2, 1.1, 0.0, 0.9, 0.0)  # far from where the follower is


class Hand:
    """A leader arm that a test holds."""

    seen = True

    def __init__(self) -> None:
        self.position_rad = list(LEADER_RAD)

    def age_ns(self, now_ns: int) -> int:
        return 1_000_000


def plan(bench: Bench, to_pan_rad: float) -> Plan:
    """An approved plan that turns the pan from where its goal is, as fast as the limits let it."""
    now_ns = bench.world.clock.now_ns()
    here = bench.tick["applied_rad"]
    path = Trajectory(now_ns, 400 * NS_PER_MS, (tuple(here), (to_pan_rad, *here[1:])))
    version = bench.core.handover.version
    return Plan(now_ns, Source.POLICY, version, now_ns + 1, Verdict.PASS, path)


def applied(bench: Bench, seconds: float) -> list[list[float]]:
    """The goals applied in every tick of that time."""
    found = []
    for _ in range(round(seconds / TICK_S)):
        bench.run(TICK_S)
        found.append(list(bench.tick["applied_rad"]))
    return found


def assert_smooth(goals: list[list[float]]) -> None:
    """No joint's goal jumps, and none changes its speed faster than the gate lets it."""
    speeds = [
        [(b - a) / TICK_S for a, b in zip(one, two, strict=True)] for one, two in pairwise(goals)
    ]
    assert max(abs(value) for each in speeds for value in each[:3]) <= SPEED_RAD_S * 1.001
    changes = [
        abs(b - a) / TICK_S
        for one, two in pairwise(speeds)
        for a, b in zip(one[:3], two[:3], strict=True)
    ]
    assert max(changes) <= ACCELERATION_RAD_S2 * 1.001


@pytest.mark.parametrize("who", [Source.LEADER, Source.KEYBOARD])
def test_a_person_takes_a_moving_arm_and_gives_it_back_without_a_jump(
    bench: Bench, who: Source
) -> None:
    bench.raised()
    hand = Hand()
    bench.core._pilot._leaders = [hand]  # type: ignore[list-item]
    bench.ask(RequestKind.POLICY)
    bench.run(TICK_S)
    bench.exchange.newest_plan = old = plan(bench, 0.8)
    goals = applied(bench, 0.25)
    assert abs(goals[-1][0] - goals[0][0]) > 0.1  # it is on its way
    correcting = who is Source.LEADER
    bench.ask(RequestKind.CORRECT if correcting else RequestKind.TELEOP, who)
    goals.append(list(bench.tick["applied_rad"]))
    assert bench.core.handover.source is (Source.CORRECTION if correcting else who)
    goals += applied(bench, 0.4)
    assert goals[-1][0] < 0.75  # the policy's plan is nobody's any more
    if correcting:
        still = goals[-1]
        hand.position_rad[1] += 0.1
        goals += applied(bench, 0.5)
        moved = [b - a for a, b in zip(still, goals[-1], strict=True)]
        assert moved == pytest.approx([0, 0.1, 0, 0, 0, 0], abs=0.01)  # its motion, not its pose
    else:
        target = (goals[-1][0], goals[-1][1] + 0.1, *goals[-1][2:])
        version = bench.core.handover.version
        for _ in range(15):
            now_ns = bench.world.clock.now_ns()
            bench.exchange.newest_command = Command(who, version, now_ns, target)
            goals += applied(bench, 4 * TICK_S)
        assert goals[-1] == pytest.approx(target, abs=0.01)
    bench.ask(RequestKind.POLICY)
    goals.append(list(bench.tick["applied_rad"]))
    bench.exchange.newest_plan = old  # computed before the person took the arm
    here = goals[-1]
    goals += applied(bench, 0.3)
    assert goals[-1] == pytest.approx(here, abs=0.02)
    bench.exchange.newest_plan = plan(bench, 0.0)
    goals += applied(bench, 0.6)
    assert goals[-1][0] == pytest.approx(0.0, abs=0.02)
    assert_smooth(goals)
    assert bench.core.state is State.POLICY
