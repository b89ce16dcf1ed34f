"""The guard as a process: one at a time, ended only when nobody depends on it, never in the way."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from config.loader import load
from daemon.guard.machine import Guarding
from daemon.guard.report import GuardReport, ReportReader, guarded
from robotd import estop, layouts
from robotd.shm import SlotWriter

ROOT = Path(__file__).parents[2]


class Scene:
    """A runtime folder with a supervisor's heart, and guards."""

    def __init__(self, runtime: Path) -> None:
        self.runtime = runtime
        config = load(file="so101-sim").config
        (runtime / "config.json").write_bytes(msgspec.json.encode(config))
        estop.create(runtime)
        self.guards: list[subprocess.Popen[bytes]] = []
        self.reports = ReportReader(runtime)

    def beat(self) -> None:
        writer = SlotWriter(self.runtime / "heartbeat", layouts.HEARTBEAT)
        record: dict[str, int] = {f.name: 0 for f in layouts.HEARTBEAT.fields}
        writer.write(record | {"stamp_ns": time.monotonic_ns(), "pid": os.getpid()})
        writer.close()

    def guard(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.guard", "--runtime", str(self.runtime), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.DEVNULL,
        )
        self.guards.append(process)
        return process

    def report(self) -> GuardReport | None:
        return self.reports.read(time.monotonic_ns())

    def until(self, done: Callable[[], bool], seconds: float = 20.0) -> None:
        end_s = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end_s, self.report()
            time.sleep(0.02)

    def by(self, process: "subprocess.Popen[bytes]") -> None:
        """Until that one watches."""

        def watches() -> bool:
            report = self.report()
            return report is not None and report.pid == process.pid

        self.until(watches)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    for process in made.guards:
        process.kill()
        process.wait()


def test_a_second_guard_stands_by_and_takes_over_when_the_first_is_killed(scene: Scene) -> None:
    assert not guarded(scene.runtime)
    first = scene.guard()
    scene.by(first)
    assert guarded(scene.runtime)
    second = scene.guard()
    time.sleep(1.5)
    report = scene.report()
    assert report is not None
    assert (report.pid, report.state) == (first.pid, Guarding.WATCHING)
    first.kill()
    scene.by(second)
    second.terminate()
    assert second.wait(10) == 0


def test_a_guard_ends_by_itself_without_a_supervisor_and_a_units_guard_waits_for_the_next(
    scene: Scene,
) -> None:
    scene.beat()
    process = scene.guard()
    scene.by(process)
    assert process.wait(20) == 0  # five seconds without a beat, and no control
    unit = scene.guard("--stay")
    scene.by(unit)
    (scene.runtime / "config.json").unlink()
    scene.until(lambda: scene.report() is None)
    assert unit.poll() is None
    Scene(scene.runtime)  # the next daemon
    scene.by(unit)
    unit.terminate()
    assert unit.wait(10) == 0


def test_only_a_unit_of_its_own_speaks_to_the_service_manager(scene: Scene, tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(address))
        channel.setblocking(False)
        child = scene.guard(NOTIFY_SOCKET=str(address))
        scene.by(child)
        time.sleep(0.6)
        with pytest.raises(BlockingIOError):
            channel.recv(100)
        child.send_signal(signal.SIGTERM)
        child.wait(10)
        unit = scene.guard("--stay", NOTIFY_SOCKET=str(address))
        scene.by(unit)
        time.sleep(0.6)
        said = {channel.recv(100) for _ in range(3)}
        assert {b"READY=1", b"WATCHDOG=1"} <= said
