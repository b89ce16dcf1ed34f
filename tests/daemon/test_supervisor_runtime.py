"""The runtime folder: one owner, released by the kernel, taken over with what was left in it."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from config.loader import load
from daemon.guard.machine import Guarding
from daemon.guard.report import GuardReport, ReportWriter
from daemon.supervisor.patience import arm_down_s
from daemon.supervisor.process import ProcessId, alive, ask_to_end, identify
from daemon.supervisor.runtime import CHILDREN_FILE, CONFIG_FILE, LOCK_FILE, RuntimeFolder
from robotd import estop
from robotd.errors import ConfigError, DaemonError

ROOT = Path(__file__).parents[2]
_OWNER = """
import sys, subprocess, time
from pathlib import Path
from daemon.supervisor.runtime import RuntimeFolder
from daemon.supervisor.process import identify
folder = RuntimeFolder.take(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True, stdout=subprocess.DEVNULL)
folder.write_children([identify("camera-top", child.pid)])
(folder.path / "ticks").write_bytes(b"old")
(folder.path / "plant").mkdir()
(folder.path / "plant" / "follower").symlink_to("/dev/nowhere")
print(child.pid, flush=True)
time.sleep(600)
"""


def owner(path: Path) -> tuple["subprocess.Popen[str]", int]:
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_two_daemons_cannot_own_one_robot(tmp_path: Path) -> None:
    folder = RuntimeFolder.take(tmp_path / "a")
    with pytest.raises(DaemonError, match="already running for a"):
        RuntimeFolder.take(tmp_path / "a")
    folder.close()
    RuntimeFolder.take(tmp_path / "a").close()


def test_a_killed_owners_folder_is_taken_over_and_its_children_are_ended(tmp_path: Path) -> None:
    path = tmp_path / "a"
    process, child = owner(path)
    orphan = identify("camera-top", child)
    try:
        with pytest.raises(DaemonError):
            RuntimeFolder.take(path)
        assert (path / "ticks").exists()  # a refused take changes nothing
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert alive(orphan)
        folder = RuntimeFolder.take(path)
        give_up_s = time.monotonic() + 2
        while alive(orphan) and time.monotonic() < give_up_s:
            time.sleep(0.01)
        assert not alive(orphan)
        assert [each.name for each in path.iterdir()] == [LOCK_FILE]
        folder.close()
    finally:
        process.kill()


_SLOW_CONTROL = """
import signal, sys, time
from pathlib import Path
from robotd.estop import EstopCounter
signal.signal(signal.SIGTERM, lambda *_: None)  # it parks, and parks
counter = EstopCounter(Path(sys.argv[1]))
print("up", flush=True)
while counter.presses == 0:
    time.sleep(0.01)
time.sleep(0.2)
(Path(sys.argv[1]).parent / "down").write_text("down")
"""


def test_an_orphaned_control_gets_the_time_of_its_own_speed_then_a_release_and_no_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.mkdir()
    estop.create(path)
    config = load(file="so101-sim").config
    slow = msgspec.structs.replace(config.poses, move_speed_deg_s=5.0)
    config = msgspec.structs.replace(config, poses=slow)
    (path / CONFIG_FILE).write_bytes(msgspec.json.encode(config))
    control = subprocess.Popen(
        [sys.executable, "-c", _SLOW_CONTROL, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert control.stdout is not None
    control.stdout.readline()
    orphan = identify("control", control.pid)
    (path / CHILDREN_FILE).write_bytes(msgspec.json.encode([orphan]))
    waits: list[float] = []

    def half_a_second(process: ProcessId, patience_s: float) -> bool:
        return ask_to_end(process, min(patience_s, 0.5))

    monkeypatch.setattr("daemon.supervisor.runtime.ask_to_end", half_a_second)
    RuntimeFolder.take(path, lambda _, seconds: waits.append(seconds)).close()
    assert waits[0] == arm_down_s(config)
    assert waits[0] > 83.0
    assert control.wait(5) == 0
    assert (tmp_path / "down").read_text() == "down"


def test_a_stranger_with_an_old_childs_pid_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        mine = identify("control", stranger.pid)
        theirs = msgspec.structs.replace(mine, started=mine.started - 5)
        (path / CHILDREN_FILE).write_bytes(msgspec.json.encode([theirs]))
        RuntimeFolder.take(path).close()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_children_file_that_was_cut_off_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / CHILDREN_FILE).write_bytes(b'[{"name": "con')
    RuntimeFolder.take(tmp_path / "a").close()


def test_a_path_too_long_for_a_socket_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        RuntimeFolder.take(tmp_path / ("x" * 120))


def test_a_guard_that_has_the_arm_is_waited_for_before_the_folder_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    writer = ReportWriter(path)
    released_s: list[float] = []

    def lets_down() -> None:
        for state in (Guarding.TAKING, Guarding.HOLDING, Guarding.RELEASING, Guarding.DOWN):
            for _ in range(4):
                held = state is not Guarding.DOWN
                now_ns = time.monotonic_ns()
                writer.write(GuardReport(stamp_ns=now_ns, pid=1, state=state, held=held))
                if state is Guarding.DOWN and not released_s:
                    released_s.append(time.monotonic())
                time.sleep(0.05)

    writer.write(GuardReport(stamp_ns=time.monotonic_ns(), pid=1, state=Guarding.TAKING, held=True))
    guard = threading.Thread(target=lets_down)
    guard.start()
    waits: list[str] = []
    folder = RuntimeFolder.take(path, lambda what, _: waits.append(what))
    assert released_s
    assert waits == ["the guard of a killed robotd lets the arm down"]
    guard.join()
    folder.close()
