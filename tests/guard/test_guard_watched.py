"""Whose ticks these are, and whether that process lives: with a real process and a real ring."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daemon.guard.machine import Life
from daemon.guard.watched import WatchedControl
from daemon.supervisor.process import ProcessId, identify
from robotd.clock import NS_PER_MS, NS_PER_S

ROOT = Path(__file__).parents[2]
_TICKS = """
import sys, time
from pathlib import Path
from robotd import layouts
from robotd.shm import RingWriter
from robotd.states import State, Torque
layout = layouts.tick_layout(6)
ring = RingWriter(Path(sys.argv[1]) / "ticks", layout, 16)
zero = {f.name: 0 if f.count == 1 else [0] * f.count for f in layout.fields}
tick = zero | {"state": State.HOLDING, "torque": Torque.ON}
ring.append(tick)
print("up", flush=True)
while True:
    time.sleep(0.005)
    ring.append(tick)
"""


class Scene:
    def __init__(self, runtime: Path) -> None:
        self.runtime = runtime
        self.now_ns = NS_PER_S
        self.processes: list[subprocess.Popen[bytes]] = []
        self.watched = WatchedControl(runtime, 6, NS_PER_S)

    def control(self) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-c", _TICKS, str(self.runtime)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.processes.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def lists(self, *children: ProcessId) -> None:
        (self.runtime / "children.json").write_bytes(msgspec.json.encode(list(children)))

    def looks(self, seconds: float) -> Life:
        """Looks twenty times a second; only the clock is virtual."""
        for _ in range(round(seconds * 20)):
            self.now_ns += 50 * NS_PER_MS
            self.watched.look(self.now_ns)
        return self.watched.life


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def stopped(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


def test_a_control_is_ticking_then_silent_then_frozen_and_dead_once_it_is_killed(
    scene: Scene,
) -> None:
    assert scene.looks(0.1) is Life.ABSENT
    process = scene.control()
    scene.lists(identify("control", process.pid))
    assert scene.looks(0.05) is Life.TICKING
    assert scene.watched.held
    stopped(process)
    scene.looks(0.05)
    assert scene.looks(0.9) is Life.SILENT
    assert scene.looks(0.2) is Life.FROZEN
    assert scene.looks(1.0) is Life.LOST
    process.send_signal(signal.SIGCONT)
    time.sleep(0.1)
    assert scene.looks(0.05) is Life.TICKING
    stopped(process)
    assert scene.watched.kill() == ""
    process.wait(10)
    assert scene.looks(0.05) is Life.DEAD


def test_a_control_that_is_started_anew_is_followed(scene: Scene) -> None:
    first = scene.control()
    scene.lists(identify("control", first.pid))
    scene.looks(0.1)
    first.kill()
    first.wait()
    scene.lists()
    assert scene.looks(0.1) is Life.DEAD
    second = scene.control()
    scene.lists(identify("control", second.pid))
    assert scene.looks(0.05) is Life.TICKING
    assert scene.watched.pid == second.pid


def test_a_stranger_with_controls_pid_is_never_killed(scene: Scene) -> None:
    process = scene.control()
    real = identify("control", process.pid)
    scene.lists(msgspec.structs.replace(real, started=real.started - 5))
    scene.looks(0.1)
    assert scene.watched.kill() == ""  # it is dead, so there is nothing to do
    scene.lists(msgspec.structs.replace(real, name="camera-top"))
    unsure = WatchedControl(scene.runtime, 6, NS_PER_S)
    unsure.look(scene.now_ns)
    assert "not known" in unsure.kill()
    time.sleep(0.1)
    assert process.poll() is None


def test_a_folder_that_is_emptied_under_a_living_control_changes_nothing(scene: Scene) -> None:
    process = scene.control()
    scene.lists(identify("control", process.pid))
    assert scene.looks(0.05) is Life.TICKING
    for file in scene.runtime.iterdir():
        file.unlink()
    time.sleep(0.05)
    assert scene.looks(0.05) is Life.TICKING
    stopped(process)
    scene.looks(0.05)
    assert scene.looks(1.1) is Life.FROZEN
    assert scene.watched.kill() == ""
    assert process.wait(10) == -signal.SIGKILL
