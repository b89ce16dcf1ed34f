"""The recorder's loop against real rings, journals and datasets; and the process, killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import zmq

from config.loader import load
from config.schema import Config
from daemon.recorder import channel
from daemon.recorder.catalog import read_actions, read_info
from daemon.recorder.disk import DiskLimits
from daemon.recorder.follow import TickFollower
from daemon.recorder.service import RecorderService
from daemon.recorder.session import Session
from robotd import layouts
from robotd.clock import NS_PER_S, VirtualClock
from robotd.frames import FrameRingWriter
from robotd.messages import RecordingStatus
from robotd.shm import RingWriter, SlotWriter
from robotd.states import Source, State, Torque

ROOT = Path(__file__).parents[2]
TICKS_PER_ROW = 8
TICK_NS = NS_PER_S // 120
START_NS = 10 * NS_PER_S


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "lerobot"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(ROOT / "config" / "calibration"))


@pytest.fixture
def config() -> Config:
    config = load(simulated=True).config
    small = {
        name: msgspec.structs.replace(camera, width=32, height=16)
        for name, camera in config.cameras.items()
    }
    recording = msgspec.structs.replace(config.recording, min_free_gb=0.0)
    return msgspec.structs.replace(config, cameras=small, recording=recording)


class Robot:
    """What control, cameras and plant publish, by hand and on a clock of the test's own."""

    def __init__(self, runtime: Path, config: Config, clock: VirtualClock) -> None:
        self.runtime = runtime
        self.clock = clock
        self.index = 0
        self.deaf_cameras: set[str] = set()
        self.state, self.source = State.TELEOP, Source.SCRIPTED
        layout = layouts.tick_layout(6)
        self.layout = layout
        self.ticks = RingWriter(runtime / "ticks", layout, 512)
        self.cameras = {
            name: FrameRingWriter(runtime / f"frames-{name}", camera.width, camera.height, 30)
            for name, camera in config.cameras.items()
        }
        path = runtime / "plant" / "environment_state"
        self.world = SlotWriter(path, layouts.ENVIRONMENT_STATE)

    def now_ns(self, index: int) -> int:
        return START_NS + index * TICK_NS

    def tick(self) -> None:
        """One tick, and a picture of each camera just before each row."""
        deadline_ns = self.now_ns(self.index)
        self.clock.sleep_until_ns(deadline_ns)
        if self.index % TICKS_PER_ROW == 0:
            self.world.write({"stamp_ns": deadline_ns - 5, "values": [float(self.index)] * 7})
            for name, ring in self.cameras.items():
                if name not in self.deaf_cameras:
                    shade = bytes([self.index % 200]) * (32 * 16 * 3)
                    ring.append(deadline_ns - 1_000_000, self.index, shade)
        self.ticks.append(self.record(deadline_ns))
        self.index += 1

    def skip(self, ticks: int) -> None:
        """Ticks that control missed."""
        self.index += ticks
        self.clock.sleep_until_ns(self.now_ns(self.index))

    def record(self, deadline_ns: int) -> dict[str, Any]:
        values: dict[str, Any] = {
            field.name: 0 if field.count == 1 else [0] * field.count for field in self.layout.fields
        }
        return values | {
            "index": self.index,
            "deadline_ns": deadline_ns,
            "state": self.state,
            "torque": Torque.ON,
            "source": self.source,
            "plan_index": -1,
            "present_position_ticks": [2000 + self.index] * 6,
            "goal_ticks": [2010 + self.index] * 6,
            "requested_rad": [0.1] * 6,
            "applied_rad": [0.2] * 6,
        }


class Bench:
    """A recorder service and the robot it records."""

    def __init__(self, tmp_path: Path, config: Config) -> None:
        self.config = config
        self.journals = tmp_path / "journals"
        self.clock = VirtualClock(START_NS - NS_PER_S)
        self.robot = Robot(tmp_path / "runtime", config, self.clock)
        self.answers: list[channel.FromRecorder] = []
        self.ids = 0
        limits = DiskLimits(refuse_below_bytes=0, stop_below_bytes=0)
        self.service = RecorderService(
            config,
            tmp_path / "runtime",
            Session(self.journals, limits=limits),
            self.clock,
            self.answers.append,
        )

    def ask(self, make: Any, **fields: Any) -> channel.Done | channel.Refused:
        """Send a command and run the loop until it is answered."""
        self.ids += 1
        self.service.handle(make(id=self.ids, **fields))
        give_up_s = time.monotonic() + 20
        while time.monotonic() < give_up_s:
            for answer in self.answers:
                if not isinstance(answer, channel.Now) and answer.id == self.ids:
                    return answer
            self.service.step()
            time.sleep(0.005)
        raise AssertionError("the recorder did not answer")

    def done(self, make: Any, **fields: Any) -> dict[str, Any]:
        answer = self.ask(make, **fields)
        assert isinstance(answer, channel.Done), answer
        return answer.data

    def refused(self, make: Any, **fields: Any) -> channel.Refused:
        answer = self.ask(make, **fields)
        assert isinstance(answer, channel.Refused), answer
        return answer

    def open(self, **fields: Any) -> None:
        self.done(channel.Open, **({"dataset": "t/a", "task": "wave", "episodes": 2} | fields))

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.robot.tick()
            self.service.step()

    @property
    def root(self) -> Path:
        return Path(os.environ["HF_LEROBOT_HOME"]) / "t" / "a"

    @property
    def status(self) -> RecordingStatus:
        return self.service.status()


@pytest.fixture
def bench(tmp_path: Path, config: Config) -> Iterator[Bench]:
    made = Bench(tmp_path, config)
    made.run(2)
    yield made
    made.service.close()


def test_rows_fall_on_every_eighth_tick_and_hold_what_was_measured_and_sent(bench: Bench) -> None:
    bench.open()
    bench.done(channel.Start)
    bench.run(10 * TICKS_PER_ROW)
    kept = bench.done(channel.Keep, success=True)
    assert kept["frames"] == 10
    closed = bench.done(channel.Close)
    assert [each["episode"] for each in closed.pop("flagged")] == [0]  # its pictures are black
    assert closed == {
        "root": str(bench.root),
        "kept": 1,
        "published": 1,
        **dict.fromkeys(("error", "error_likely", "error_do"), ""),
    }
    recording = read_actions(bench.root, 0)
    assert recording.fps == 15
    # Ten encoder ticks apart is what they were: 10 * 360 / 4095 degrees.
    assert np.allclose((recording.action - recording.state)[:, :5], 10 * 360 / 4095, atol=1e-4)
    steps = np.diff(recording.state[:, 0]) * 4095 / 360
    assert np.allclose(steps, TICKS_PER_ROW, atol=1e-3)


def test_evidence_says_when_each_row_and_picture_was_and_who_moved_the_arm(bench: Bench) -> None:
    bench.open()
    bench.done(channel.Start)
    bench.run(5 * TICKS_PER_ROW)
    bench.done(channel.Keep)
    bench.done(channel.Close)
    folder = bench.root / "robotd" / "episodes" / "episode-000000"
    evidence = pq.read_table(folder / "evidence.parquet").to_pylist()
    assert [row["tick_index"] % TICKS_PER_ROW for row in evidence] == [0] * 5
    assert {row["source"] for row in evidence} == {"scripted"}
    data = pq.read_table(bench.root / "data").to_pylist()
    for row, about in zip(data, evidence, strict=True):
        assert row["observation.environment_state"][0] == about["tick_index"]


def test_a_camera_that_stops_is_repeated_and_flagged_and_costs_no_row(bench: Bench) -> None:
    bench.open()
    bench.done(channel.Start)
    bench.run(3 * TICKS_PER_ROW)
    bench.robot.deaf_cameras.add("wrist")
    bench.run(4 * TICKS_PER_ROW)
    status = bench.status
    assert bench.done(channel.Keep)["frames"] == 7
    assert status.gaps == 0
    assert bench.status.repeated == 4
    bench.done(channel.Close)
    assert read_info(bench.root).frames == 7


def test_ticks_that_control_missed_are_gaps_and_never_invented_rows(bench: Bench) -> None:
    bench.open()
    bench.done(channel.Start)
    bench.run(4 * TICKS_PER_ROW)
    bench.robot.skip(3 * TICKS_PER_ROW)
    bench.run(4 * TICKS_PER_ROW)
    kept = bench.done(channel.Keep)
    # Three rows were due meanwhile; the last of them was still made, two ticks late.
    assert kept["frames"] == 9
    assert bench.status.gaps == 2


def test_one_skipped_tick_moves_a_row_by_that_tick_and_loses_none(tmp_path: Path) -> None:
    layout = layouts.tick_layout(6)
    ring = RingWriter(tmp_path / "ticks", layout, 64)
    empty: dict[str, Any] = {
        field.name: 0 if field.count == 1 else [0] * field.count for field in layout.fields
    }
    follower = TickFollower(tmp_path / "ticks", 6, 8)
    follower.begin()
    for index in (6, 7, 8, 15, 17, 18, 24):
        ring.append(empty | {"index": index})
    rows = follower.rows()
    assert [(row.tick["index"], row.rows_lost) for row in rows] == [(8, 0), (17, 0), (24, 0)]


def test_a_reader_that_was_overrun_counts_the_rows_it_lost(tmp_path: Path) -> None:
    layout = layouts.tick_layout(6)
    ring = RingWriter(tmp_path / "ticks", layout, 16)
    empty: dict[str, Any] = {
        field.name: 0 if field.count == 1 else [0] * field.count for field in layout.fields
    }
    follower = TickFollower(tmp_path / "ticks", 6, 8)
    follower.begin()
    ring.append(empty | {"index": 0})
    assert len(follower.rows()) == 1
    for index in range(1, 801):
        ring.append(empty | {"index": index})
    rows = follower.rows()
    assert sum(row.rows_lost for row in rows) + len(rows) == 100


def test_the_next_episode_starts_at_once_while_the_last_is_being_saved(bench: Bench) -> None:
    bench.open()
    for _ in range(3):
        bench.done(channel.Start)
        bench.run(4 * TICKS_PER_ROW)
        bench.done(channel.Keep)
        assert bench.status.phase == "ready"
    bench.done(channel.Close)
    assert read_info(bench.root).episodes == 3


def test_an_episode_ends_at_its_time_limit_and_waits_for_a_decision(bench: Bench) -> None:
    bench.open(episode_limit_s=1.0)
    bench.done(channel.Start)
    bench.run(30 * TICKS_PER_ROW)
    assert bench.status.frames == 15
    assert bench.status.phase == "recording"
    assert bench.done(channel.Keep)["frames"] == 15


def test_undo_takes_the_last_kept_episode_back_out_and_discard_leaves_nothing(
    bench: Bench,
) -> None:
    bench.open()
    for make in (channel.Keep, channel.Discard, channel.Keep):
        bench.done(channel.Start)
        bench.run(3 * TICKS_PER_ROW)
        bench.done(make)
    bench.done(channel.Undo)
    assert bench.status.episodes_kept == 1
    bench.done(channel.Close)
    assert read_info(bench.root).episodes == 1
    assert bench.refused(channel.Undo).kind == "StateError"


def test_what_cannot_be_recorded_is_refused_in_three_parts_and_changes_nothing(
    bench: Bench,
) -> None:
    assert bench.refused(channel.Start).kind == "StateError"
    refused = bench.refused(channel.Open, dataset="../../etc", task="a", episodes=1)
    assert refused.kind == "DatasetError"
    assert refused.what and refused.likely and refused.do
    assert bench.refused(channel.Open, dataset="t/a", task="  ", episodes=1).kind == "DatasetError"
    bench.open()
    assert bench.refused(channel.Keep).kind == "StateError"
    bench.done(channel.Start)
    assert bench.refused(channel.Start).kind == "StateError"
    assert bench.refused(channel.SetTask, task="x" * 10_000_000).kind == "DatasetError"
    assert bench.refused(channel.SetTask, task="wave\x1b[2J").kind == "DatasetError"


def test_an_episode_needs_every_camera_and_a_ticking_loop(tmp_path: Path, config: Config) -> None:
    bench = Bench(tmp_path, config)
    bench.robot.deaf_cameras.add("overhead")
    bench.run(2)
    bench.open()
    refused = bench.refused(channel.Start)
    assert refused.kind == "CameraError"
    assert "overhead" in refused.what
    bench.robot.deaf_cameras.clear()
    bench.run(TICKS_PER_ROW)
    bench.clock.sleep_until_ns(bench.clock.now_ns() + 5 * NS_PER_S)
    assert "ticks" in bench.refused(channel.Start).what
    bench.service.close()


def test_closing_the_session_in_the_middle_of_an_episode_keeps_it_as_interrupted(
    bench: Bench,
) -> None:
    bench.open()
    bench.done(channel.Start)
    bench.run(5 * TICKS_PER_ROW)
    assert bench.done(channel.Close)["kept"] == 0
    bench.service.close()
    session = Session(bench.journals, limits=DiskLimits(refuse_below_bytes=0))
    (offered,) = session.recover().offered
    assert offered.rows == 5
    session.close()
    bench.service = RecorderService(
        bench.config, bench.robot.runtime, Session(bench.journals), bench.clock, print
    )


def test_a_recorder_killed_in_mid_episode_loses_less_than_a_second_and_nothing_saved(
    tmp_path: Path, config: Config
) -> None:
    runtime = tmp_path / "r"
    runtime.mkdir()
    (runtime / "config.json").write_bytes(msgspec.json.encode(config))
    context = zmq.Context()
    line = context.socket(zmq.PAIR)
    line.bind(f"ipc://{runtime / channel.RECORDER_SOCKET}")
    clock = VirtualClock(START_NS - NS_PER_S)
    robot = Robot(runtime, config, clock)
    robot.now_ns = lambda index: began_ns + index * TICK_NS  # type: ignore[method-assign]
    process = subprocess.Popen(
        [sys.executable, "-m", "daemon.recorder", "--runtime", str(runtime)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    began_ns = 0

    def tick_on() -> None:
        due = (time.monotonic_ns() - began_ns) // TICK_NS
        while robot.index <= due:
            robot.tick()

    def say(command: channel.ToRecorder) -> channel.Done:
        line.send(channel.encode(command))
        while robot.index < 120 * 20:
            tick_on()
            if not line.poll(4):
                continue
            answer = channel.decode_from_recorder(line.recv())
            if not isinstance(answer, channel.Now):
                assert isinstance(answer, channel.Done), answer
                return answer
        raise AssertionError("no answer")

    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"READY\n"
        began_ns = time.monotonic_ns()
        say(channel.Open(id=1, dataset="t/a", task="wave", episodes=1))
        say(channel.Start(id=2))
        end_s = time.monotonic() + 2.0
        while time.monotonic() < end_s:
            tick_on()
            time.sleep(0.004)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finally:
        process.kill()
        process.wait()
        line.close(linger=0)
        context.term()
    session = Session(tmp_path / "state" / "robotd" / "sim" / "journals")
    (offered,) = session.recover().offered
    session.close()
    assert offered.state == "interrupted"
    assert 15 <= offered.rows <= 31
