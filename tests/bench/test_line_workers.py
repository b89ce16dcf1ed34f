"""The kernel's workers are hurried for a measurement and ordinary again afterwards."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.line_workers import LineWorkers, hurried


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[int]:
    """A process of ours that a made-up /proc calls a worker of an unbound pool."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder = tmp_path / str(process.pid)
    folder.mkdir()
    (folder / "comm").write_text("kworker/u8:3-events_unbound\n")
    other = tmp_path / "1"
    other.mkdir()
    (other / "comm").write_text("systemd\n")
    yield process.pid
    process.kill()
    process.wait()
    process.stdin.close()  # type: ignore[union-attr]


def test_workers_get_the_priority_and_lose_it_again(worker: int, tmp_path: Path) -> None:
    workers = LineWorkers(5, tmp_path)
    workers.hurry()
    if workers.why_not:
        assert os.sched_getscheduler(worker) == os.SCHED_OTHER
        assert workers.scheduler.startswith("other (")
        return
    assert os.sched_getscheduler(worker) == os.SCHED_FIFO
    assert workers.scheduler == "fifo:5"
    workers.restore()
    assert os.sched_getscheduler(worker) == os.SCHED_OTHER


def test_no_worker_of_this_machine_keeps_the_priority() -> None:
    def fifo() -> set[int]:
        found = set()
        for comm in Path("/proc").glob("[0-9]*/comm"):
            try:
                if comm.read_text().startswith("kworker/u"):
                    pid = int(comm.parent.name)
                    found |= {pid} if os.sched_getscheduler(pid) == os.SCHED_FIFO else set()
            except OSError:
                continue
        return found

    before = fifo()
    with hurried(5):
        pass
    assert fifo() <= before
