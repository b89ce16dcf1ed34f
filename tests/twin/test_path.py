"""Where an arm is expected while it follows a plan: nothing between two poses is missed."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robotd.clock import NS_PER_S
from robotd.states import PlanReason, Verdict
from robotd.trajectory import Trajectory, rest_to_rest
from sim.model.scene import ArmPlacement, Obstacle
from sim.twin.apply import TwinBody
from sim.twin.path import SWEEP_M, PathMaker
from sim.twin.preflight import Preflight

STEP_NS = NS_PER_S // 30
HOME = tuple(math.radians(angle) for angle in (0.0, -60.0, 45.0, 65.0, 0.0, 20.0))
REST = tuple(math.radians(angle) for angle in (0.0, -97.4, 92.2, 37.8, 0.0, 0.0))
SPEED = tuple(math.radians(speed) for speed in (120.0, 120.0, 120.0, 180.0, 180.0, 180.0))
REACH = (0.9, 0.0, 0.1, 1.2, 0.6, 0.7)


@pytest.fixture(scope="module")
def body() -> TwinBody:
    return TwinBody((ArmPlacement(),))


def corners_m(body: TwinBody, position: np.ndarray) -> np.ndarray:
    """The eight corners of every box of the arm [K, 3]."""
    body.place(position)
    arm = body.index.arms[0]
    geoms = sorted(arm.link_geoms | arm.fixed_finger_geoms | arm.moving_finger_geoms)
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    points = [
        body.data.geom_xpos[geom]
        + (signs * body.model.geom_size[geom]) @ body.data.geom_xmat[geom].reshape(3, 3).T
        for geom in geoms
    ]
    return np.concatenate(points)


@settings(max_examples=15, deadline=None)
@given(
    to=st.tuples(
        st.floats(-1.8, 1.8),
        st.floats(-1.6, 1.6),
        st.floats(-1.6, 1.6),
        st.floats(-1.6, 1.6),
        st.floats(-2.6, 2.6),
        st.floats(-0.1, 1.7),
    ),
    waypoints=st.integers(2, 60),
)
def test_no_point_of_the_arm_moves_further_than_the_sweep_between_two_poses(
    body: TwinBody, to: tuple[float, ...], waypoints: int
) -> None:
    steps = np.linspace(0.0, 1.0, waypoints)[:, None]
    goals = np.array(HOME) + steps * (np.array(to) - np.array(HOME))
    plan = Trajectory(0, STEP_NS, tuple(map(tuple, goals.tolist())))
    state = body.start(HOME, np.array(HOME) + body.sag_rad(HOME))
    path = PathMaker(body, SPEED).expected(plan, state, HOME, 0)
    before = corners_m(body, path.positions_rad[0])
    for position in path.positions_rad[1:]:
        after = corners_m(body, position)
        assert np.linalg.norm(after - before, axis=1).max() <= SWEEP_M + 1e-9
        before = after


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6])
def test_a_thin_wall_in_the_way_of_the_fastest_move_is_not_jumped_over(phase: float) -> None:
    """A bowl's wall is 4 mm thick; at full speed the tip moves 2 cm from one waypoint to the next."""
    wall = Obstacle("wall", "box", (0.28, 0.10 + 0.02 * phase, 0.0), (0.3, 0.004, 0.4))
    body = TwinBody((ArmPlacement(),), (wall,))
    judge = Preflight(body, time.monotonic_ns, REST, SPEED, (wall,))
    start = (0.6, *REACH[1:])
    plan = rest_to_rest(start, (-0.9, *REACH[1:]), 0, STEP_NS, SPEED[0])
    state = body.start(start, np.array(start) + body.sag_rad(start))
    said = judge.check(plan, state, start, 0, 1_000.0)
    assert (said.verdict, said.reason) == (Verdict.REJECT, PlanReason.LINK_ON_OBSTACLE)


def test_the_gate_s_speeds_are_taken_into_account(body: TwinBody) -> None:
    """A plan that asks for a jump is walked at the gate's speed, and not finished within it."""
    there = (0.7, *HOME[1:])
    plan = Trajectory(0, STEP_NS, (there,) * 4)
    state = body.start(HOME, np.array(HOME) + body.sag_rad(HOME))
    path = PathMaker(body, SPEED).expected(plan, state, HOME, 0)
    lasted_s = float(path.seconds[-1])
    assert 0.05 < path.positions_rad[-1][0] < SPEED[0] * lasted_s + math.radians(2.0)


def test_a_payload_stays_and_friction_does_not(body: TwinBody) -> None:
    """An arm that hangs 6 degrees lower than its weight explains hangs lower after the move too; one
    that is held up by a degree of friction does not."""
    there = (HOME[0], HOME[1] + 0.5, *HOME[2:])
    plan = rest_to_rest(HOME, there, 0, STEP_NS, 1.0)
    maker = PathMaker(body, SPEED)
    at = np.array(HOME) + body.sag_rad(HOME)
    ends = {}
    for name, offset_deg in (("free", 0.0), ("loaded", 6.0), ("stuck", -1.0)):
        offset = np.array([0.0, math.radians(offset_deg), 0.0, 0.0, 0.0, 0.0])
        path = maker.expected(plan, body.start(HOME, at + offset), HOME, 0)
        ends[name] = math.degrees(path.positions_rad[-1][1])
    assert ends["loaded"] - ends["free"] > 2.5
    assert abs(ends["stuck"] - ends["free"]) < 0.2


def test_a_plan_of_an_hour_makes_no_more_poses_than_it_moves(body: TwinBody) -> None:
    plan = Trajectory(0, 3_600 * NS_PER_S, (HOME, HOME, HOME))
    state = body.start(HOME, np.array(HOME) + body.sag_rad(HOME))
    assert len(PathMaker(body, SPEED).expected(plan, state, HOME, 0).seconds) < 2_500
