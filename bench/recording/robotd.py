"""robotd's side of `bench record`: its recorder process as the supervisor starts it, fed by others.

The recorder reads the rings of a loop and two cameras that are processes of their own
(`bench.recording.feed`), is told what to do through the supervisor's own channel, and writes journals and
a dataset to the disk. What it costs is what the system says of that process, publishing included.
"""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

from bench.recording.feeders import Feeders
from bench.recording.judge import Verdict, judge
from bench.recording.scene import CAMERAS, FPS, HEIGHT, WIDTH, all_positions, count_in
from bench.rig import Helper, Rig
from config.loader import load
from config.schema import Camera, Config
from daemon.recorder import channel
from daemon.recorder.rows import Body
from robotd.errors import DaemonError
from robotd.messages import RecordingStatus

_SETTLE_S = 1.5
_ANSWER_MS = 60_000
_PUBLISH_MS = 600_000  # publishing steps back behind whatever else the machine does
_SHORT_S = 1.0
_STOPPED_S = 1.0
_DATASET = "local/robotd_bench_record"
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Recorder:
    """The recorder process and the supervisor's end of its channel."""

    def __init__(self, rig: Rig, runtime: Path) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PAIR)
        self._socket.bind(f"ipc://{runtime / channel.RECORDER_SOCKET}")
        self._process = Helper(rig.folder, "daemon.recorder", ("--runtime", str(runtime)))
        self._ids = 0
        self._answers: dict[int, tuple[dict[str, Any], float]] = {}
        self.status = RecordingStatus()
        self.pid = self._process.pid

    def ready(self) -> None:
        self._process.ready()

    def ask(self, make: Any, **fields: Any) -> dict[str, Any]:
        """Have a command carried out; its answer. Raises DaemonError when it is refused, or nothing
        is said."""
        return self.answered(self.send(make, **fields))[0]

    def send(self, make: Any, **fields: Any) -> int:
        """Send a command; its number."""
        self._ids += 1
        self._socket.send(channel.encode(make(id=self._ids, **fields)))
        return self._ids

    def answered(self, number: int) -> tuple[dict[str, Any], float]:
        """What a command was answered, and when (time.perf_counter)."""
        while number not in self._answers:
            answer = self._next()
            if isinstance(answer, channel.Done):
                self._answers[answer.id] = answer.data, time.perf_counter()
            elif isinstance(answer, channel.Refused):
                raise DaemonError(f"The recorder refused: {answer.what}", answer.likely, answer.do)
        return self._answers.pop(number)

    def wait_published(self, episodes: int) -> None:
        """Return when so many episodes are in the dataset. Raises DaemonError when one cannot be."""
        while self.status.episodes_published < episodes:
            if self.status.last_error:
                raise DaemonError(
                    self.status.last_error, self.status.last_error_likely, self.status.last_error_do
                )
            self._next(_PUBLISH_MS)

    def stand_still(self, seconds: float) -> None:
        """Stop the whole process for so long: encoders, rows and all."""
        os.kill(self.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self.pid, signal.SIGCONT)

    def _next(self, patience_ms: int = _ANSWER_MS) -> channel.FromRecorder:
        if not self._socket.poll(patience_ms):
            raise DaemonError(
                "The recorder says nothing.",
                "It ended, or the machine is far too busy.",
                "What it wrote last:\n" + self._process.words(),
            )
        message: channel.FromRecorder = channel.decode_from_recorder(self._socket.recv())
        if isinstance(message, channel.Now):
            self.status = message.status
        return message

    def cpu_s(self) -> float:
        """Seconds of processor that the process has used, all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    def close(self) -> None:
        self._process.stop()
        self._socket.close(linger=0)
        self._context.term()


def measure(rig: Rig, seconds: float, episodes: int) -> dict[str, Any]:
    """Record `episodes` of `seconds` together, one right after the other, and read them back; then
    one more in which the whole recorder process is stopped for a second."""
    runtime = rig.runtime / "robotd-record"
    runtime.mkdir()
    config = _config()
    (runtime / "config.json").write_bytes(msgspec.json.encode(config))
    feeders = Feeders(rig, runtime)
    with feeders.running():
        recorder = Recorder(rig, runtime)
        try:
            told = _session(recorder, seconds / episodes, episodes)
        finally:
            recorder.close()
    taken = {camera: feeders.fed(camera).numbers for camera in CAMERAS}
    body = Body.of(config)
    table = np.stack([body.units(each) for each in all_positions()])

    def expected(state: Sequence[float]) -> dict[str, int]:
        at_ns = feeders.tick_ns(count_in(state, table))
        return {camera: feeders.picture_at(camera, taken[camera], at_ns) for camera in CAMERAS}

    verdicts = judge(Path(told.pop("root")), taken, expected)
    whole = sum((verdicts[index] for index in range(episodes)), Verdict())
    loop = feeders.fed("loop")
    return {
        **told,
        **whole.as_json(),
        "repeated_unsaid": whole.unsaid,
        "stopped_for_a_second": verdicts[episodes].as_json(),
        "loop": {
            "hz": 120,
            "ticks": loop.ticks,
            "missed": loop.missed,
            "scheduler": loop.scheduler,
        },
    }


def _session(recorder: Recorder, episode_s: float, episodes: int) -> dict[str, Any]:
    recorder.ready()
    time.sleep(_SETTLE_S)
    recorder.ask(channel.Open, dataset=_DATASET, task="benchmark", episodes=episodes + 1)
    before_s = recorder.cpu_s()
    recorder.ask(channel.Start)
    ready_ms: list[float] = []
    saved_ms: list[float] = []
    frames = 0
    for _ in range(episodes):
        time.sleep(episode_s)
        began_s = time.perf_counter()
        keep, start = recorder.send(channel.Keep, success=True), recorder.send(channel.Start)
        _, started_s = recorder.answered(start)
        kept, saved_s = recorder.answered(keep)
        ready_ms.append((started_s - began_s) * 1e3)
        saved_ms.append((saved_s - began_s) * 1e3)
        frames += int(kept["frames"])
    recorder.ask(channel.Discard)
    recorder.wait_published(episodes)
    cpu_s = recorder.cpu_s() - before_s
    recorder.ask(channel.Start)
    time.sleep(_SHORT_S)
    recorder.stand_still(_STOPPED_S)
    time.sleep(_SHORT_S + _STOPPED_S)
    recorder.ask(channel.Keep)
    closed = recorder.ask(channel.Close)
    return {
        "root": closed["root"],
        "keep_to_ready_ms": round(max(ready_ms), 1),
        "keep_to_saved_ms": round(max(saved_ms), 1),
        "cpu_s_per_camera_s": round(cpu_s / (frames / FPS * len(CAMERAS)), 4),
        "encoder": recorder.status.encoder,
    }


def _config() -> Config:
    """The simulated arm, whose rows come at 30 Hz with two pictures of 640x480."""
    config = load(simulated=True).config
    camera = Camera(device="synthetic", width=WIDTH, height=HEIGHT, fps=FPS)
    recording = msgspec.structs.replace(
        config.recording, fps=FPS, environment_state=False, gate="flag"
    )
    return msgspec.structs.replace(
        config, cameras=dict.fromkeys(CAMERAS, camera), recording=recording, name="bench"
    )
