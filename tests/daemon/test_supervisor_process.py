"""The whole daemon as processes: up, used, hurt, and down, with every child it really has."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.cli.main import main
from daemon.supervisor.process import ProcessId, alive, end, identify
from robotd import messages
from robotd.client import Robot, running_instances
from robotd.errors import ConfigError, RobotdError, StateError
from robotd.messages import (
    Arm,
    Clear,
    Goal,
    Home,
    OpenSession,
    RunPolicy,
    SetTask,
    Shutdown,
    StartEpisode,
    Status,
    Teleop,
)

ROOT = Path(__file__).parents[2]
NO_ARM = """
extends: so101
name: bench
arms: {arm: {port: /dev/robotd-test-nothing, id: sim}}
"""


class Daemon:
    """One supervisor process in places of its own."""

    def __init__(self, *arguments: str) -> None:
        reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "daemon.supervisor", "--ready-fd", str(writer), *arguments],
            pass_fds=(writer,),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        os.close(writer)
        with os.fdopen(reader) as line:
            said = [json.loads(each) for each in line]
        self.said: dict[str, Any] = said[-1] if said else {}
        self.waited = [each["waiting"] for each in said[:-1]]

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("STATE_HOME", "CONFIG_HOME"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / name))
    # A socket's path is at most 108 bytes long, and pytest's folders are not short.
    short = tempfile.TemporaryDirectory(prefix="rd")
    (tmp_path / "RUNTIME_DIR").symlink_to(short.name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", short.name)
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "lerobot"))
    calibration = ROOT / "config" / "calibration"
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(calibration))
    yield
    for file in Path(short.name).rglob("children.json"):  # only when a test failed in the middle
        for child in msgspec.json.decode(file.read_bytes(), type=list[ProcessId]):
            end(child, 0.0)
    short.cleanup()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Daemon]:
    """A real robot's daemon whose arm is not plugged in."""
    path = tmp_path / "CONFIG_HOME" / "robotd" / "robotd.yaml"
    path.parent.mkdir()
    path.write_text(NO_ARM)
    daemon = Daemon()
    yield daemon
    daemon.stop()


def until(robot: Robot, true: Callable[[Status], bool], seconds: float = 15.0) -> Status:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        status = robot.status()
        if true(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"it did not happen in time: {status}")


def pid_of(runtime: Path, name: str) -> int:
    children = json.loads((runtime / "children.json").read_bytes())
    return next(int(child["pid"]) for child in children if child["name"] == name)


def test_a_daemon_without_its_arm_says_what_is_wrong_moves_nothing_and_owns_its_name(
    bench: Daemon,
) -> None:
    assert bench.said["ready"] is True
    with Robot.connect("bench") as robot:
        assert not robot.instance.simulated
        status = robot.status()
        assert status.state == "disarmed"
        assert len(status.joints) == 6
        with pytest.raises(StateError) as caught:
            robot.request(Arm(consent=True), timeout_s=20)
        assert caught.value.do
        checks = robot.request(Arm(consent=False), timeout_s=20)["checks"]
        assert "fail" in {check["outcome"] for check in checks}
        assert robot.status().state in ("disarmed", "fault")
        for request in (Home(), Teleop(source="keyboard"), RunPolicy(), StartEpisode()):
            with pytest.raises(RobotdError):
                robot.request(request)
        with pytest.raises(StateError, match="bytes long"):
            robot.request(SetTask(task="x" * 10_000_000), timeout_s=20)
        with pytest.raises(StateError):
            robot.request(Goal(source="keyboard", handover_version=0, goal_rad=(0.0,) * 5))
        assert robot.watch(2.0) is not None
        status = robot.status()
        assert messages.decode_status(msgspec.json.encode(status)) == status
    _a_second_daemon_of_the_same_robot_is_refused()
    with Robot.connect("bench") as robot:
        assert robot.status().name == "bench"


def test_health_of_an_arm_that_is_not_there_is_bad_by_exit_status_too(
    bench: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Robot.connect("bench") as robot:
        until(robot, lambda status: status.health.hz > 0)
    assert main(["health", "--json"]) == 1
    body = json.loads(capsys.readouterr().out)
    assert body["verdict"] == "bad"
    assert "No servo answers." in [reason["what"] for reason in body["reasons"]]
    assert body["bus"]["errors"] == 0  # nobody was there to lose a reply
    assert main(["status", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["health"]) == set(body)
    assert bench.stop() == 0
    kept = tmp_path / "STATE_HOME" / "robotd" / "bench" / "logs" / "timing.json"
    assert json.loads(kept.read_bytes())["stages"]["work"]["count"] > 0


def _a_second_daemon_of_the_same_robot_is_refused() -> None:
    second = Daemon()
    assert second.process.wait(30) != 0
    assert second.said["kind"] == "DaemonError"
    assert "already running" in second.said["what"]


def test_shutdown_leaves_nothing_behind_and_exits_with_zero(bench: Daemon, tmp_path: Path) -> None:
    runtime = tmp_path / "RUNTIME_DIR" / "robotd" / "bench"
    pids = [child["pid"] for child in json.loads((runtime / "children.json").read_bytes())]
    with Robot.connect("bench") as robot:
        assert robot.request(Shutdown())["pid"] == bench.process.pid
    assert bench.process.wait(30) == 0
    assert [each.name for each in runtime.iterdir()] == ["lock"]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert running_instances() == {}


def test_a_recorder_that_is_killed_comes_back_and_the_daemon_serves_on(
    bench: Daemon, tmp_path: Path
) -> None:
    runtime = tmp_path / "RUNTIME_DIR" / "robotd" / "bench"
    with Robot.connect("bench") as robot:
        os.kill(pid_of(runtime, "recorder"), signal.SIGKILL)
        until(robot, lambda status: "restarting" in status.processes["recorder"])
        # What is asked meanwhile waits for the new one.
        opened = robot.request(OpenSession(dataset="t/a", task="wave"), timeout_s=30)
        assert robot.status().processes["recorder"] == "running"
        assert opened["root"] == str(tmp_path / "lerobot" / "t" / "a")


def test_control_is_not_started_again_while_the_arm_may_be_stiff(
    bench: Daemon, tmp_path: Path
) -> None:
    runtime = tmp_path / "RUNTIME_DIR" / "robotd" / "bench"
    with Robot.connect("bench") as robot:
        before = pid_of(runtime, "control")
        os.kill(before, signal.SIGKILL)
        # Without a servo its torque is unknown, not off: it is not started again blindly.
        status = until(robot, lambda status: status.state == "fault")
        assert "control process died" in status.fault
        assert "robotd clear" in status.fault_do
        robot.request(Clear(), timeout_s=15)
        until(robot, lambda status: status.state == "disarmed" and status.fault == "")
        assert pid_of(runtime, "control") != before


def test_a_killed_daemon_is_taken_over_with_its_children(bench: Daemon, tmp_path: Path) -> None:
    runtime = tmp_path / "RUNTIME_DIR" / "robotd" / "bench"
    orphan = identify("control", pid_of(runtime, "control"))
    bench.process.kill()
    bench.process.wait()
    assert running_instances() == {}
    again = Daemon()
    try:
        assert again.said["ready"] is True
        assert "parks and lets the arm down" in again.waited[0]
        assert pid_of(runtime, "control") != orphan.pid
        assert not alive(orphan)
    finally:
        assert again.stop() == 0


def test_nothing_configured_is_an_error_and_starts_nothing(tmp_path: Path) -> None:
    daemon = Daemon()
    assert daemon.process.wait(10) == ConfigError.exit_code
    assert daemon.said["kind"] == "ConfigError"
    assert "--sim" in daemon.said["do"]
    assert not list((tmp_path / "RUNTIME_DIR").resolve().rglob("*"))


def test_a_missing_calibration_is_named_before_anything_is_started(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(NO_ARM.replace("id: sim", "id: nobody"))
    daemon = Daemon("--config", str(path))
    assert daemon.process.wait(10) != 0
    assert daemon.said["kind"] == "CalibrationError"
    assert "nobody" in daemon.said["what"]


@pytest.mark.slow
def test_the_simulated_arm_arms_moves_and_is_parked_when_the_daemon_is_stopped(
    tmp_path: Path,
) -> None:
    daemon = Daemon("--sim", "--name", "t")
    try:
        assert daemon.said["ready"] is True, daemon.said
        assert daemon.said["seconds"] < 15.0  # 5 on a machine that does nothing else
        with Robot.connect("t") as robot:
            until(robot, lambda s: all(c.age_ms is not None for c in s.cameras))
            assert robot.request(Arm(consent=True), timeout_s=30)["armed"] is True
            assert robot.status().torque == "on"
            version = robot.request(Teleop(source="scripted"))["handover_version"]
            pose = [joint.applied_rad for joint in robot.status().joints]
            goal = (pose[0] + 0.2, *pose[1:])
            for _ in range(75):
                robot.request(Goal(source="scripted", handover_version=version, goal_rad=goal))
                time.sleep(1 / 30)
            moved = robot.status()
            assert moved.joints[0].position_rad > pose[0] + 0.1
            assert moved.health.stages["period"].since_start.count > 100
            assert moved.health.p99_us == moved.loop.late_p99_us
            with pytest.raises(StateError):
                stale = Goal(source="scripted", handover_version=version - 1, goal_rad=goal)
                robot.request(stale)
            os.kill(pid_of(tmp_path / "RUNTIME_DIR" / "robotd" / "t", "control"), signal.SIGKILL)
            # The guard holds the arm and lets it down; nobody starts control meanwhile.
            status = until(robot, lambda status: status.guard.state == "holding")
            assert status.state == "fault"
            assert "guard" in status.fault
            with pytest.raises(StateError, match="guard"):
                robot.request(Clear())
            until(robot, lambda s: s.guard.state == "down" and s.torque == "off", 30)
            robot.request(Clear(), timeout_s=15)
            until(robot, lambda status: status.state == "disarmed" and status.fault == "")
            assert robot.request(Arm(consent=True), timeout_s=30)["armed"] is True
        began_s = time.monotonic()
        assert daemon.stop(signal.SIGINT) == 0
        assert time.monotonic() - began_s < 45
        log = (tmp_path / "STATE_HOME" / "robotd" / "t" / "logs" / "control.log").read_text()
        assert "torque OFF" in log
    finally:
        daemon.stop()


def test_the_supervisor_imports_no_model_no_encoder_and_no_policy() -> None:
    heavy = ("torch", "cv2", "mujoco", "av", "pyarrow", "lerobot")
    code = (
        f"import sys, daemon.supervisor.__main__; print([m for m in {heavy} if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


@pytest.mark.slow
def test_when_the_supervisor_is_killed_control_parks_the_arm_and_everything_ends(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("extends: so101-sim\nname: t\ncontrol: {supervisor_gone_hold_s: 1}\n")
    daemon = Daemon("--sim", "--config", str(path))
    assert daemon.said["ready"] is True, daemon.said
    runtime = tmp_path / "RUNTIME_DIR" / "robotd" / "t"
    with Robot.connect("t") as robot:
        until(robot, lambda s: all(c.age_ms is not None for c in s.cameras))
        assert robot.request(Arm(consent=True), timeout_s=30)["armed"] is True
        robot.request(Home())
        until(robot, lambda status: status.state == "holding")
    pids = {c["name"]: c["pid"] for c in json.loads((runtime / "children.json").read_bytes())}
    daemon.process.kill()
    daemon.process.wait()

    def left() -> list[str]:
        return [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()]

    end_s = time.monotonic() + 45
    while left() and time.monotonic() < end_s:
        time.sleep(0.1)
    assert left() == []
    log = (tmp_path / "STATE_HOME" / "robotd" / "t" / "logs" / "control.log").read_text()
    assert "-> PARKING" in log
    assert "torque OFF" in log
