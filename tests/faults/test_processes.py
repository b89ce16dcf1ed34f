"""Every process killed (SIGKILL) and frozen (SIGSTOP) in turn, at random moments of motion.

The whole daemon with its body in MuJoCo; what became of the arm is read from the world, past every
bus and process that could lie: torque registers, and how fast the joints really moved.
"""

import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.supervisor.process import ProcessId, alive, kill
from robotd.client import Robot
from robotd.errors import DaemonError, RobotdError, StateError
from robotd.messages import (
    Arm,
    Clear,
    CloseSession,
    Goal,
    Hold,
    Home,
    KeepEpisode,
    LoadPolicy,
    OpenSession,
    Replay,
    RunPolicy,
    StartEpisode,
    Status,
    Teleop,
)
from sim.plant.world_client import WorldClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
SEED = 20_261_121
SINKING_RAD_S = 0.5
STANDING_RAD_S = 0.05
PLAN_S = 4.5  # 50 actions at 15 a second: what was approved plays to its end
ACT = ROOT / "policies" / "shipped" / "so101_block_in_bowl_act"
# Homing at 45 deg/s moves faster than an arm may sink; here every hold and release shows.
CONFIG = """
extends: so101-sim
name: f
control: {supervisor_gone_hold_s: 1}
poses: {move_speed_deg_s: 25}
"""


class Notified:
    """A service manager's socket: what came, and when."""

    def __init__(self, path: str) -> None:
        self.said: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                text = self._socket.recv(4096).decode()
            except OSError:
                return
            self.said.append((time.monotonic(), text))

    def fed(self, since_s: float) -> int:
        return sum(when >= since_s and text == "WATCHDOG=1" for when, text in self.said)

    def close(self) -> None:
        self._socket.close()


class Sensor:
    """Samples the world for as long as it is entered: the fastest joint that was."""

    def __init__(self, runtime: Path) -> None:
        self._runtime = runtime
        self.fastest_rad_s = 0.0
        self._end = threading.Event()

    def __enter__(self) -> "Sensor":
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        world = WorldClient(self._runtime)
        while not self._end.is_set():
            try:
                speeds = world.truth().arms[0].velocity_rad_s[:5]
            except DaemonError:
                break  # the plant has ended
            self.fastest_rad_s = max(self.fastest_rad_s, *map(abs, speeds))
            time.sleep(0.005)
        world.close()


class Daemon:
    """One daemon in places of its own, and a hand on every process of it."""

    def __init__(self, folder: Path, short: Path) -> None:
        self.random = random.Random(SEED)
        self.runtime = short / "robotd" / "f"
        self.logs = folder / "state" / "robotd" / "f" / "logs"
        self.notified = Notified(str(short / "notify"))
        config = folder / "f.yaml"
        config.write_text(CONFIG)
        reader, writer = os.pipe()
        command = ["--ready-fd", str(writer), "--sim", "--config", str(config)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "daemon.supervisor", *command],
            pass_fds=(writer,),
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "XDG_STATE_HOME": str(folder / "state"),
                "XDG_CONFIG_HOME": str(folder / "config"),
                "XDG_RUNTIME_DIR": str(short),
                "HF_LEROBOT_HOME": str(folder / "lerobot"),
                "NOTIFY_SOCKET": str(short / "notify"),
            },
            start_new_session=True,
        )
        os.close(writer)
        with os.fdopen(reader) as lines:
            self.said: dict[str, Any] = [json.loads(line) for line in lines][-1]
        self.robot = Robot.connect("f")

    def children(self) -> dict[str, ProcessId]:
        data = (self.runtime / "children.json").read_bytes()
        return {each.name: each for each in msgspec.json.decode(data, type=list[ProcessId])}

    def torque(self) -> list[int]:
        world = WorldClient(self.runtime)
        try:
            return world.truth().arms[0].torque_enable
        finally:
            world.close()

    def until(self, true: Callable[[Status], bool], seconds: float = 40.0) -> Status:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            status = self.robot.status()
            if true(status):
                return status
            time.sleep(0.05)
        raise AssertionError(f"it did not happen in time: {status}")

    def raised(self) -> None:
        """Armed and at home, whatever was before. Where control is only just up again, or a busy
        machine lost a register's reply, the answer says so and the person asks again."""
        for _ in range(5):
            try:
                if self.robot.status().state == "fault":
                    self.robot.request(Clear(), timeout_s=20)
                if self.robot.status().state != "holding":
                    self.robot.request(Arm(consent=True), timeout_s=40)
                break
            except (StateError, DaemonError):
                time.sleep(1.0)
        self.robot.request(Home())
        self.until(lambda status: status.state == "holding")

    def replay(self, dataset: str) -> None:
        """Begin a replay; a busy machine takes longer to start one than the daemon waits."""
        for _ in range(3):
            try:
                self.robot.request(Replay(dataset=dataset, episode=0), timeout_s=60)
                return
            except DaemonError:
                continue

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Somebody moves the arm to and fro, slowly, for as long as this lasts."""
        version = self.robot.request(Teleop(source="scripted"))["handover_version"]
        pose = [joint.applied_rad for joint in self.robot.status().joints]
        end = threading.Event()

        def move() -> None:
            with Robot.connect("f") as hand:
                began_s = time.monotonic()
                while not end.is_set():
                    far_rad = 0.15 * math.sin(math.tau * 0.25 * (time.monotonic() - began_s))
                    goal = (pose[0] + far_rad, pose[1] + abs(far_rad), *pose[2:])
                    try:
                        wish = Goal(source="scripted", handover_version=version, goal_rad=goal)
                        hand.request(wish)
                    except RobotdError:
                        return  # control or supervisor is gone: what this is about
                    end.wait(1 / 30)

        hand = threading.Thread(target=move)
        hand.start()
        try:
            self.pause(0.3, 1.5)
            yield
        finally:
            end.set()
            hand.join()

    def pause(self, least_s: float, most_s: float) -> None:
        """A moment at random."""
        time.sleep(self.random.uniform(least_s, most_s))

    def hurt(self, name: str, number: signal.Signals) -> ProcessId:
        victim = self.children()[name]
        os.kill(victim.pid, number)
        return victim

    def end(self) -> None:
        self.robot.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()
        for child in self.left():
            kill(child)
        self.notified.close()

    def left(self) -> list[ProcessId]:
        try:
            return [child for child in self.children().values() if alive(child)]
        except FileNotFoundError:
            return []


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="rf") as short, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", short)
        made = Daemon(tmp_path_factory.mktemp("f"), Path(short))
        assert made.said.get("ready"), made.said
        yield made
        made.end()


def test_the_service_manager_hears_ready_and_no_watchdog_while_control_does_not_tick(
    daemon: Daemon,
) -> None:
    daemon.until(lambda status: bool(status.joints) and status.joints[0].age_ms < 100)
    assert "READY=1" in [text for _, text in daemon.notified.said]
    began_s = time.monotonic()
    time.sleep(1.0)
    assert daemon.notified.fed(began_s) >= 3
    victim = daemon.hurt("control", signal.SIGSTOP)
    time.sleep(0.5)  # the last tick was seen by now
    stopped_s = time.monotonic()
    time.sleep(2.0)
    assert daemon.notified.fed(stopped_s) == 0
    assert any("silent" in text for when, text in daemon.notified.said if when > stopped_s - 0.5)
    assert daemon.robot.status().guard.state == "watching"  # the arm is limp
    os.kill(victim.pid, signal.SIGCONT)
    again_s = time.monotonic()
    daemon.until(lambda status: status.state == "disarmed")
    time.sleep(0.5)
    assert daemon.notified.fed(again_s) > 0


def test_no_process_but_control_takes_the_arm_with_it(daemon: Daemon) -> None:
    daemon.raised()
    victims = [
        (name, number)
        for name in ("twin", "recorder", "camera-wrist", "plant-cameras", "guard")
        for number in (signal.SIGKILL, signal.SIGSTOP)
    ]
    daemon.random.shuffle(victims)
    stopped: list[ProcessId] = []
    with Sensor(daemon.runtime) as sensor, daemon.moving():
        for name, number in victims:
            if name not in daemon.children():
                daemon.until(lambda _, name=name: name in daemon.children())  # type: ignore[misc]
            victim = daemon.hurt(name, number)
            if number is signal.SIGSTOP:
                stopped.append(victim)
            daemon.pause(0.2, 0.8)
            status = daemon.robot.status()
            assert status.state == "teleop", (name, number, status.fault)
            assert daemon.torque() == [1] * 6, (name, number)
    for victim in stopped:
        if victim.name != "guard" and alive(victim):
            os.kill(victim.pid, signal.SIGCONT)
    assert sensor.fastest_rad_s < SINKING_RAD_S  # the hand moves at half of that, and nothing else
    daemon.robot.request(Hold())
    # A frozen guard is noticed, ended and replaced; whatever died has come back.
    status = daemon.until(lambda s: set(s.processes.values()) == {"running"}, 60.0)
    assert status.state == "holding"
    assert daemon.until(lambda s: s.guard.state == "watching").guard.scheduler


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_control_that_is_killed_or_frozen_in_motion_leaves_the_arm_to_the_guard(
    daemon: Daemon, number: signal.Signals
) -> None:
    daemon.raised()
    with daemon.moving():
        daemon.hurt("control", number)
        hurt_s = time.monotonic()
    with Sensor(daemon.runtime) as sensor:
        status = daemon.until(lambda status: status.guard.state == "holding", 10.0)
        if number is signal.SIGSTOP:
            assert time.monotonic() - hurt_s > 0.9  # one that is only late is not killed
        assert status.state == "fault"
        assert "guard" in status.fault
        assert daemon.torque() == [1] * 6
        daemon.until(lambda status: status.guard.state == "down")
        time.sleep(1.0)
    assert daemon.torque() == [0] * 6
    assert sensor.fastest_rad_s < SINKING_RAD_S
    assert daemon.robot.status().torque == "off"
    daemon.robot.request(Clear(), timeout_s=20)
    daemon.until(lambda status: status.state == "disarmed" and status.fault == "")


def test_a_replay_that_dies_leaves_an_arm_that_holds(daemon: Daemon) -> None:
    daemon.raised()
    daemon.robot.request(OpenSession(dataset="t/f", task="wave"), timeout_s=30)
    daemon.robot.request(StartEpisode(), timeout_s=10)
    with daemon.moving():
        time.sleep(2.0)
    daemon.robot.request(KeepEpisode(), timeout_s=10)
    daemon.robot.request(CloseSession(), timeout_s=60)
    daemon.robot.request(Home())
    daemon.until(lambda status: status.state == "holding")
    daemon.replay("t/f")
    daemon.until(lambda status: status.state == "replay")
    daemon.pause(0.1, 1.0)
    with Sensor(daemon.runtime) as sensor:
        daemon.hurt("replay", signal.SIGKILL)
        status = daemon.until(lambda status: status.state == "holding")
        time.sleep(0.5)
    assert status.torque == "on"
    assert sensor.fastest_rad_s < SINKING_RAD_S


def test_a_policy_that_freezes_or_dies_leaves_an_arm_that_holds_and_a_reason(
    daemon: Daemon,
) -> None:
    pytest.importorskip("torch")
    daemon.raised()
    for number, words in ((signal.SIGSTOP, "no sign"), (signal.SIGKILL, "ended")):
        daemon.robot.request(LoadPolicy(path=str(ACT)), timeout_s=400)
        daemon.raised()  # the simulated line may have been silent while a busy machine loaded
        daemon.robot.request(RunPolicy(), timeout_s=40)
        daemon.until(lambda status: status.policy.phase == "running")
        daemon.pause(0.5, 2.0)
        daemon.hurt("policy", number)
        status = daemon.until(lambda status: status.policy.phase == "failed")
        assert words in status.policy.error and status.policy.likely and status.policy.do
        daemon.until(lambda status: status.state == "holding")
        time.sleep(PLAN_S if number is signal.SIGKILL else 0.5)
        with Sensor(daemon.runtime) as sensor:
            time.sleep(1.0)
        assert sensor.fastest_rad_s < STANDING_RAD_S
        assert daemon.torque() == [1] * 6


def test_a_supervisor_that_is_frozen_costs_ten_seconds_and_the_arm_is_parked(
    daemon: Daemon,
) -> None:
    daemon.raised()
    before = daemon.children()["control"]
    with daemon.moving():
        daemon.process.send_signal(signal.SIGSTOP)
        with Sensor(daemon.runtime) as sensor:
            end_s = time.monotonic() + 60
            while alive(before) and time.monotonic() < end_s:
                time.sleep(0.1)
            time.sleep(0.5)
        assert daemon.torque() == [0] * 6
        daemon.process.send_signal(signal.SIGCONT)
    # It was driven down: at 25 deg/s, with the jolts of a joint that starts to move.
    assert sensor.fastest_rad_s < 2 * math.radians(25)
    assert "-> PARKING" in (daemon.logs / "control.log").read_text()
    # It ended limp, so it is started again by itself.
    daemon.until(lambda status: status.state == "disarmed" and status.fault == "")


def test_without_supervisor_and_control_the_guard_alone_brings_the_arm_down_and_all_ends(
    daemon: Daemon,
) -> None:
    daemon.raised()
    children = daemon.children()
    with daemon.moving():
        daemon.process.kill()
        kill(children["control"])
    with Sensor(daemon.runtime) as sensor:
        end_s = time.monotonic() + 40
        while any(daemon.torque()) and time.monotonic() < end_s:
            time.sleep(0.1)
        time.sleep(0.5)
        assert daemon.torque() == [0] * 6
    assert sensor.fastest_rad_s < SINKING_RAD_S
    end_s = time.monotonic() + 60
    while daemon.left() and time.monotonic() < end_s:
        time.sleep(0.2)
    assert daemon.left() == []
