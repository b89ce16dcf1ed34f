"""The supervisor's part of the arming list, the idle watch, the stop order and the notifier."""

import math
import os
import socket
from pathlib import Path
from typing import Any, cast

import pytest

from config.loader import load
from daemon.supervisor.blueprint import body_specs, resolve, robot_specs
from daemon.supervisor.checks import Surroundings, failed, surroundings_checks
from daemon.supervisor.idle import IdleWatch, held_for_nobody
from daemon.supervisor.notify import Notifier
from daemon.supervisor.observed import Observed
from daemon.supervisor.pending import Pending
from daemon.supervisor.time_limit import TimeLimit
from daemon.supervisor.words import fault_words
from robotd.clock import NS_PER_S, VirtualClock
from robotd.errors import StateError
from robotd.messages import CameraStatus, PolicyStatus, TwinStatus
from robotd.states import Fault, LimitedBy, State, Torque

FINE = Surroundings(
    joints_read=True,
    simulated=True,
    tick_age_ms=8.0,
    cameras=(CameraStatus(name="wrist", age_ms=40.0, fps=30, width=640, height=480),),
    twin_wanted=True,
    twin=TwinStatus(alive=True, residual_deg=(1.0,) * 6),
    recorder="running",
    processes={},
    policy=PolicyStatus(),
    leader_wanted=False,
    leader_ready=False,
    disk_free_gb=100.0,
    disk_wanted_gb=2.0,
)


def changed(**values: object) -> Surroundings:
    fields = {name: getattr(FINE, name) for name in FINE.__slots__}
    return Surroundings(**(fields | values))  # type: ignore[arg-type]


def test_a_robot_in_order_passes_every_check() -> None:
    assert {check.outcome for check in surroundings_checks(FINE)} == {"pass"}


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (changed(tick_age_ms=None), "control loop"),
        (changed(tick_age_ms=900.0), "control loop"),
        (
            changed(cameras=(CameraStatus(name="top", age_ms=None, fps=0, width=2, height=2),)),
            "camera top",
        ),
        (
            changed(cameras=(CameraStatus(name="top", age_ms=3000.0, fps=0, width=2, height=2),)),
            "camera top",
        ),
        (changed(twin=TwinStatus()), "twin"),
    ],
)
def test_what_the_arm_cannot_do_without_forbids_arming_and_says_what_to_do(
    wrong: Surroundings, name: str
) -> None:
    checks = surroundings_checks(wrong)
    assert failed(checks) == [name]
    assert all(check.do for check in checks if check.outcome == "fail")


def test_cameras_that_are_not_the_trainings_are_named_before_the_arm_is_taken() -> None:
    """58 degrees against 52 look like a bad policy, for weeks."""
    words = "overhead: trained with a vertical field of view of 58°, this one has 52°"
    policy = PolicyStatus(
        phase="ready",
        kind="act",
        camera_differences=(words,),
        camera_do="Use the training's lens",
    )
    checks = {check.name: check for check in surroundings_checks(changed(policy=policy))}
    assert checks["policy cameras"].outcome == "warn"
    assert "58°" in checks["policy cameras"].detail and checks["policy cameras"].do
    same = surroundings_checks(changed(policy=PolicyStatus(phase="ready", kind="act")))
    assert "policy cameras" not in {check.name for check in same}


@pytest.mark.parametrize(
    "wrong",
    [
        changed(recorder="restarting (exit 1)"),
        changed(disk_free_gb=0.5),
        changed(leader_wanted=True),
        changed(policy=PolicyStatus(phase="failed", error="no file")),
        changed(twin=TwinStatus(alive=True, residual_deg=(0.0, 20.0))),
    ],
)
def test_what_the_arm_can_do_without_warns(wrong: Surroundings) -> None:
    checks = surroundings_checks(wrong)
    assert failed(checks) == []
    assert any(check.outcome == "warn" for check in checks)


def test_every_fault_has_words_and_an_action() -> None:
    for fault in Fault:
        what, do = fault_words(fault, "wrist_flex")
        assert bool(what) == bool(do) == (fault is not Fault.NONE)


def test_an_arm_held_for_nobody_is_warned_about_and_then_let_down() -> None:
    clock = VirtualClock()
    watch = IdleWatch(600.0, clock)

    def after(seconds: int) -> tuple[str, bool]:
        clock.sleep_until_ns(clock.now_ns() + seconds * NS_PER_S)
        verdict = watch.look(True)
        return verdict.message, verdict.release

    assert after(500) == ("", False)
    assert "goes down in 50 s" in after(50)[0]
    assert after(51)[1]
    assert not after(1)[1]


def test_an_idle_arm_that_somebody_uses_is_left_alone() -> None:
    clock = VirtualClock()
    watch = IdleWatch(600.0, clock)
    for _ in range(10):
        clock.sleep_until_ns(clock.now_ns() + 500 * NS_PER_S)
        assert not watch.look(True).release
        watch.touch()
    clock.sleep_until_ns(clock.now_ns() + 5000 * NS_PER_S)
    assert not watch.look(False).release
    assert not IdleWatch(0.0, clock).look(True).release


def tick_of(state: State, **known: object) -> dict[str, object]:
    tick: dict[str, object] = {
        "state": state,
        "torque": Torque.ON,
        "command_age_ns": 5,
        "plan_id": 0,
        "limited_by": [0] * 6,
    }
    return tick | known


@pytest.mark.parametrize(
    ("tick", "idle"),
    [
        (tick_of(State.HOLDING), True),
        (tick_of(State.TELEOP), False),
        (tick_of(State.TELEOP, limited_by=[LimitedBy.STALE] * 6), True),
        (tick_of(State.TELEOP, command_age_ns=-1), True),  # nothing ever came
        (tick_of(State.POLICY, plan_id=3), False),
        (tick_of(State.POLICY, plan_id=3, limited_by=[LimitedBy.STARVED] * 6), True),
        (tick_of(State.POLICY, plan_id=3, limited_by=[LimitedBy.VERDICT] * 6), True),
        (tick_of(State.REPLAY, plan_id=3, limited_by=[LimitedBy.SPEED] * 6), False),
        (tick_of(State.FAULT), True),
        (tick_of(State.FAULT, torque=Torque.OFF), False),
        (tick_of(State.HOMING), False),
        (tick_of(State.DISARMED), False),
        (None, False),
    ],
)
def test_a_source_that_is_silent_and_a_fault_hold_the_arm_for_nobody(
    tick: dict[str, object] | None, idle: bool
) -> None:
    assert held_for_nobody(tick) == idle


class _Robot:
    """The newest tick, and how often hold was asked for."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = {"state": State.POLICY, "handover_version": 4}
        self.holds = 0

    def tick(self) -> dict[str, Any]:
        return self.now

    def hold(self) -> None:
        self.holds += 1


def limited(robot: _Robot, clock: VirtualClock, seconds: float | None) -> TimeLimit:
    limit = TimeLimit(cast(Observed, robot), clock.now_ns, robot.hold)
    pending = limit.on(lambda: Pending(lambda: {"handover_version": 4}, 2.0, "control"), seconds)
    assert pending.poll() == {"handover_version": 4}
    return limit


def test_a_policys_time_ends_in_a_hold_though_its_client_is_gone() -> None:
    robot, clock = _Robot(), VirtualClock()
    limit = limited(robot, clock, 30.0)
    clock.sleep_until_ns(clock.now_ns() + 29 * NS_PER_S)
    limit.step()
    assert robot.holds == 0
    clock.sleep_until_ns(clock.now_ns() + 2 * NS_PER_S)
    limit.step()
    limit.step()
    assert robot.holds == 1


def test_a_time_limit_is_of_one_hand_over_and_never_ends_another_ones_run() -> None:
    robot, clock = _Robot(), VirtualClock()
    limit = limited(robot, clock, 30.0)
    robot.now["handover_version"] = 5
    clock.sleep_until_ns(clock.now_ns() + 60 * NS_PER_S)
    limit.step()
    assert robot.holds == 0
    limited(robot, clock, None).step()
    assert robot.holds == 0


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_time_limit_that_is_none_is_refused_before_the_arm_is_given(seconds: float) -> None:
    with pytest.raises(StateError, match="cannot last"):
        limited(_Robot(), VirtualClock(), seconds)


def test_the_children_of_a_simulated_robot_know_paths_and_not_that_it_is_simulated(
    tmp_path: Path,
) -> None:
    config = resolve(load(simulated=True).config, tmp_path, yields_priority=False)
    (arm,) = config.arms.values()
    assert arm.port == str(tmp_path / "plant" / "follower")
    assert arm.leader is not None
    assert arm.leader.port == str(tmp_path / "plant" / "leader")
    assert [spec.module for spec in body_specs(config, tmp_path)] == [
        "sim.plant",
        "sim.plant.cameras",
    ]
    assert "control" in [spec.name for spec in robot_specs(config, tmp_path)]


def test_a_rehearsal_beside_a_real_arm_asks_for_no_realtime_priority(tmp_path: Path) -> None:
    config = load(simulated=True).config
    assert config.control.realtime_priority > 0
    quiet = resolve(config, tmp_path, yields_priority=True)
    assert quiet.control.realtime_priority == 0


def test_two_simulated_arms_have_two_devices_each(tmp_path: Path) -> None:
    config = resolve(load(file="so101-bimanual-sim").config, tmp_path, yields_priority=False)
    assert [Path(arm.port).name for arm in config.arms.values()] == [
        "left_follower",
        "right_follower",
    ]


def test_control_is_never_restarted_by_rule(tmp_path: Path) -> None:
    config = load(simulated=True).config
    rules = {spec.name: spec.restarts for spec in robot_specs(config, tmp_path)}
    assert rules["control"] is False
    assert rules["recorder"] and rules["twin"] and rules["camera-wrist"]


def test_systemd_hears_ready_status_and_watchdog(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(2.0)
        notifier = Notifier(str(address))
        notifier.ready()
        notifier.status("holding")
        notifier.status("holding")  # the same again says nothing
        notifier.watchdog()
        heard = [manager.recv(200).decode() for _ in range(3)]
    assert heard == ["READY=1", "STATUS=holding", "WATCHDOG=1"]
    notifier.stopping()  # nobody listens any more: no error


def test_nothing_is_said_where_no_manager_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier().ready()
    assert "NOTIFY_SOCKET" not in os.environ


def test_a_twin_that_saw_no_joint_is_not_said_to_agree_with_it() -> None:
    (twin,) = [c for c in surroundings_checks(changed(joints_read=False)) if c.name == "twin"]
    assert "no joint" in twin.detail and "agrees" not in twin.detail
