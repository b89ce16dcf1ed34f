"""The twin's core over whole robots, one arm or two."""

import math
import time

import msgspec
import pytest

from config.loader import load
from config.schema import Obstacle
from learning.world import lockstep_config, lockstep_world
from robotd.clock import NS_PER_S
from robotd.layouts import PLAN_WAYPOINTS
from robotd.states import HomeWay, PlanReason, RequestKind, Source, Verdict
from robotd.trajectory import Trajectory
from sim.twin.core import TwinCore, trajectory_of


@pytest.mark.parametrize("profile", ["so101-sim", "so101-bimanual-sim"])
def test_the_way_to_rest_is_clear_from_home(profile: str) -> None:
    config = lockstep_config(load(file=profile, simulated=True).config)
    twin = TwinCore(config, time.monotonic_ns)
    assert not twin.park_is_clear(), "before the first tick nobody knows"
    with lockstep_world(config, 0, 1) as world:
        twin.observe(world.tick())
        assert twin.park_is_clear()
        assert abs(twin.residual_rad).max() < 0.1


@pytest.mark.parametrize(
    ("post_m", "way"),
    [
        (None, HomeWay.STRAIGHT),
        ((0.24, -0.14, 0.0), HomeWay.DRAWN_IN),
        ((0.20, -0.16, 0.0), HomeWay.BLOCKED),
    ],
)
def test_the_way_home_goes_round_a_post_or_is_not_gone(
    post_m: tuple[float, float, float] | None, way: HomeWay
) -> None:
    config = lockstep_config()
    if post_m is not None:
        post = Obstacle(shape="box", size_m=(0.03, 0.03, 0.3), foot_m=post_m)
        seen = msgspec.structs.replace(config.twin, obstacles={"post": post})
        config = msgspec.structs.replace(config, twin=seen)
    aside_rad = tuple(math.radians(value) for value in (70, 10, 0, 60, 0, 20))
    twin = TwinCore(config, time.monotonic_ns)
    with lockstep_world(config, 0, 1) as world:
        tick = world.give_to(RequestKind.TELEOP, Source.SCRIPTED)
        for _ in range(4 * config.control.tick_hz):
            world.command(tick, Source.SCRIPTED, aside_rad)
            twin.observe(world.tick())
    assert twin.home_way() is way


def test_a_plan_before_the_first_tick_is_late_not_passed() -> None:
    twin = TwinCore(lockstep_config(), time.monotonic_ns)
    said = twin.judge(Trajectory(0, NS_PER_S // 15, ((0.0,) * 6,)), 0)
    assert (said.verdict, said.reason) == (Verdict.LATE, PlanReason.LATE)
    assert (twin.passed, twin.rejected) == (0, 1)


def test_a_record_without_waypoints_is_an_empty_plan() -> None:
    record = {
        "waypoints": 0,
        "goal_rad": (0.0,) * (PLAN_WAYPOINTS * 6),
        "start_ns": 5,
        "step_ns": 0,
    }
    assert trajectory_of(record, 6).goals_rad == ()
