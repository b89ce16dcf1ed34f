"""What a person notices of an encoder that stands still or fails: words and counts, never a wait."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from config.schema import Config
from daemon.recorder import channel
from daemon.recorder.catalog import read_info
from daemon.recorder.disk import DiskLimits
from daemon.recorder.lane import ThreadLane
from daemon.recorder.service import RecorderService
from daemon.recorder.session import Session
from daemon.recorder.video import VideoWriter

from .test_recorder_process import TICKS_PER_ROW, Bench, config, own_places

__all__ = ["config", "own_places"]  # fixtures

FPS = 15


class Gate:
    """Encoders that stand still while it is closed, or fail from frame `fails_at` on."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.fails_at = -1

    def lane(self, writer: VideoWriter) -> ThreadLane:
        return ThreadLane(_Behind(writer, self))  # type: ignore[arg-type]


class _Behind:
    def __init__(self, writer: VideoWriter, gate: Gate) -> None:
        self._writer = writer
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def append(self, rgb: npt.NDArray[np.uint8]) -> None:
        assert self._gate.open.wait(30)
        if self._writer.frames == self._gate.fails_at:
            raise av.error.ExternalError(1, "no session left")
        self._writer.append(rgb)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def bench(tmp_path: Path, config: Config, gate: Gate) -> Iterator[Bench]:
    made = Bench(tmp_path, config)
    made.service.close()
    limits = DiskLimits(refuse_below_bytes=0, stop_below_bytes=0)
    session = Session(made.journals, limits=limits, open_lane=gate.lane)
    runtime = tmp_path / "runtime"
    made.service = RecorderService(config, runtime, session, made.clock, made.answers.append)
    made.run(2)
    made.open()
    yield made
    gate.open.set()
    made.service.close()


def rows(bench: Bench, count: int) -> None:
    bench.run(count * TICKS_PER_ROW)


def until(bench: Bench, true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 20
    while not true() and time.monotonic() < give_up_s:
        bench.service.step()
        time.sleep(0.005)
    assert true()


def answered(bench: Bench, number: int) -> bool:
    return any(getattr(answer, "id", None) == number for answer in bench.answers)


def test_the_next_episode_runs_while_the_last_one_waits_for_its_encoder(
    bench: Bench, gate: Gate
) -> None:
    bench.done(channel.Start)
    gate.open.clear()
    rows(bench, 10)
    bench.service.handle(channel.Keep(id=900, success=True))
    assert bench.status.phase == "ready"
    assert bench.status.episodes_kept == 1
    bench.done(channel.Start)
    rows(bench, 12)
    bench.service.handle(channel.Undo(id=901))  # of an episode that is not on the disk yet
    assert not answered(bench, 900)
    gate.open.set()
    until(bench, lambda: answered(bench, 900) and answered(bench, 901))
    kept = next(each for each in bench.answers if getattr(each, "id", None) == 900)
    undo = next(each for each in bench.answers if getattr(each, "id", None) == 901)
    assert isinstance(kept, channel.Done) and kept.data["frames"] == 10
    assert isinstance(undo, channel.Refused)  # because the second one runs
    bench.done(channel.Keep)
    bench.done(channel.Close)
    assert read_info(bench.root).lengths == (10, 12)


def test_only_two_episodes_may_wait_for_an_encoder(bench: Bench, gate: Gate) -> None:
    for number in (900, 901):
        bench.done(channel.Start)
        gate.open.clear()
        rows(bench, 3)
        bench.service.handle(channel.Keep(id=number))
    assert "still being written" in bench.refused(channel.Start).what
    gate.open.set()
    until(bench, lambda: answered(bench, 901))
    bench.done(channel.Start)
    bench.done(channel.Discard)


def test_an_encoder_far_behind_is_said_and_its_pictures_are_counted(
    bench: Bench, gate: Gate
) -> None:
    bench.done(channel.Start)
    rows(bench, FPS)
    until(bench, lambda: bench.status.encoder_behind_s == 0.0)
    gate.open.clear()
    rows(bench, 10 * FPS)
    status = bench.status
    assert status.frames >= 9 * FPS  # a row waits a second for its encoder, not longer
    assert status.lagged >= 2 * 6 * FPS
    assert status.repeated >= status.lagged
    assert status.encoder_behind_s > 8.0
    assert [each for each in status.warnings if "libx264 was too slow" in each]
    gate.open.set()
    until(bench, lambda: bench.status.encoder_behind_s == 0.0)
    rows(bench, FPS)
    kept = bench.done(channel.Keep)
    assert kept["frames"] == 12 * FPS
    said = re.search(r"(\d+) repeated", bench.status.episodes[-1].note)
    # A picture that came late while the machine was busy is one more.
    assert said is not None and int(said.group(1)) >= status.repeated
    bench.done(channel.Close)
    assert read_info(bench.root).lengths == (12 * FPS,)


def test_after_an_encoder_failed_the_next_episode_has_another(bench: Bench, gate: Gate) -> None:
    bench.done(channel.Start)
    gate.fails_at = 5
    for _ in range(100):
        rows(bench, 1)
        time.sleep(0.01)
        if bench.status.phase == "ready":
            break
    gate.fails_at = -1
    status = bench.status
    assert status.episodes[-1].outcome == "interrupted"
    assert "failed at frame 5: no session left" in status.last_error
    assert (status.encoder, "no session left" in status.encoder_note) == ("libx264", True)
    bench.done(channel.Start)
    rows(bench, 5)
    assert bench.done(channel.Keep)["kept"]
