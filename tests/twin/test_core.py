"""The twin's core over whole robots, one arm or two."""

import time

import pytest

from config.loader import load
from learning.world import lockstep_config, lockstep_world
from robotd.clock import NS_PER_S
from robotd.layouts import PLAN_WAYPOINTS
from robotd.states import PlanReason, Verdict
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
