"""The wire recorder against a sender whose goal writes are known."""

import os
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.wire import Recorded, WireRecorder
from drivers import framer
from drivers.serial_port import PySerialPort

ROOT = Path(__file__).parents[2]
GOALS = framer.sync_write(42, dict.fromkeys(range(1, 7), b"\x00\x08"))
FULL_GOALS = framer.sync_write(41, dict.fromkeys(range(1, 7), b"\x00\x00\x08\x00\x00\x00\x00"))
LIMITS = framer.sync_write(48, dict.fromkeys(range(1, 7), b"\xe8\x03"))
ASK = framer.sync_read(56, 15, range(1, 7))
ASK_ONE = framer.read(3, 40, 10)


class Line:
    """The servos' end, and a recorder between it and a client."""

    def __init__(self, folder: Path) -> None:
        self.servos, slave = os.openpty()
        tty.setraw(slave)
        self.recorder = WireRecorder(PySerialPort(os.ttyname(slave)), folder / "wire")
        self.client = PySerialPort(folder / "wire")
        self._slave = slave
        self._folder = folder

    def send(self, data: bytes) -> bytes:
        self.client.write(data)
        self.recorder.pass_on(1.0)
        return os.read(self.servos, 4_096)

    def answer(self, data: bytes) -> bytes:
        os.write(self.servos, data)
        self.recorder.pass_on(1.0)
        time.sleep(0.001)
        return self.client.read_available()

    def recorded(self) -> Recorded:
        self.recorder.save(self._folder / "stamps")
        return Recorded.read(self._folder / "stamps")

    def close(self) -> None:
        self.client.close()
        self.recorder.close()
        os.close(self.servos)
        os.close(self._slave)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.close()


def test_every_goal_write_is_stamped_when_it_passes_and_nothing_else_is(line: Line) -> None:
    sent: list[tuple[int, int]] = []
    for data in (GOALS, LIMITS, ASK, FULL_GOALS, ASK_ONE, GOALS + ASK):
        before_ns = time.monotonic_ns()
        assert line.send(data) == data
        sent.append((before_ns, time.monotonic_ns()))
    goals = line.recorded().goals
    assert len(goals) == 3
    for stamp, (before_ns, after_ns) in zip(goals, (sent[0], sent[3], sent[5]), strict=True):
        assert before_ns <= stamp <= after_ns


def test_a_goal_write_that_comes_in_pieces_is_one(line: Line) -> None:
    for piece in (GOALS[:5], GOALS[5:11], GOALS[11:]):
        line.send(piece)
    assert len(line.recorded().goals) == 1


def test_the_answer_ends_with_the_last_byte_of_a_sync_read_and_not_with_later_ones(
    line: Line,
) -> None:
    line.send(ASK)
    assert line.answer(b"\xff\xff\x01") == b"\xff\xff\x01"
    line.answer(b"rest")
    answered_ns = time.monotonic_ns()
    line.send(ASK_ONE)
    line.answer(b"another servo's registers")
    seen = line.recorded()
    assert len(seen.asked) == 1
    assert seen.asked[0] < seen.answered[0] <= answered_ns


def test_a_client_that_does_not_read_does_not_end_it(line: Line) -> None:
    for _ in range(40):
        os.write(line.servos, bytes(4_000))
        line.recorder.pass_on(1.0)
    line.client.flush_input()
    assert line.send(GOALS) == GOALS
    assert len(line.recorded().goals) == 1


def test_the_process_says_ready_and_leaves_its_stamps_behind(tmp_path: Path) -> None:
    servos, slave = os.openpty()
    tty.setraw(slave)
    out = tmp_path / "stamps"
    arguments = ["--line", os.ttyname(slave), "--link", str(tmp_path / "wire"), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.wire", *arguments], stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"READY")
        client = PySerialPort(tmp_path / "wire")
        for _ in range(5):
            client.write(GOALS)
            heard = b""
            while len(heard) < len(GOALS):
                heard += os.read(servos, 4_096)
            assert heard == GOALS
        client.close()
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        os.close(servos)
        os.close(slave)
    goals = Recorded.read(out).goals
    assert len(goals) == 5
    assert (np.diff(goals) > 0).all()


def test_another_file_is_not_taken_for_stamps(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"something else entirely")
    with pytest.raises(ValueError, match="not written by the wire recorder"):
        Recorded.read(tmp_path / "other")
