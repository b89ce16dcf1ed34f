"""The camera process: pictures in their ring, reconnecting for ever, one log line per change."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from config.loader import load
from daemon.camera import CameraPump, make_source
from drivers.cameras.ring import RingCamera
from drivers.cameras.source import CameraSettings, CapturedFrame
from robotd.clock import NS_PER_S, VirtualClock
from robotd.errors import CameraError
from robotd.frames import FrameRingReader, FrameRingWriter

ROOT = Path(__file__).parents[2]
UNPLUGGED = CameraError("It is gone.", "A cable.", "Plug it in.")


class ScriptedCamera:
    """Opens and reads as a script says: a frame, None for silence, or an error."""

    def __init__(self, script: list[str]) -> None:
        self.script = script
        self.opened = 0
        self.closed = 0
        self._sequence = 0

    identity = "scripted"
    settings = CameraSettings(4, 2, 30, "MJPG")

    def open(self) -> None:
        if self.script and self.script[0] == "absent":
            self.script.pop(0)
            raise UNPLUGGED
        self.opened += 1

    def read(self, timeout_s: float) -> CapturedFrame | None:
        what = self.script.pop(0)
        if what == "gone":
            raise UNPLUGGED
        if what == "silent":
            return None
        self._sequence += 1
        rgb = np.full((2, 4, 3), self._sequence, np.uint8)
        return CapturedFrame(rgb, self._sequence * 1000, self._sequence)

    def close(self) -> None:
        self.closed += 1


def pump(
    camera: ScriptedCamera, path: Path, clock: VirtualClock, ready: Callable[[], None]
) -> CameraPump:
    made = CameraPump(camera, lambda: FrameRingWriter(path, 4, 2, 8), clock, ready)
    while camera.script:
        made.step()
    return made


def test_pictures_reach_the_ring_with_their_capture_stamps_and_ready_is_said_once(
    tmp_path: Path,
) -> None:
    said: list[bool] = []
    camera = ScriptedCamera(["frame", "frame", "frame"])
    made = pump(camera, tmp_path / "frames-a", VirtualClock(), lambda: said.append(True))
    reader = FrameRingReader(tmp_path / "frames-a")
    assert reader.count == 3
    assert reader.latest_stamp_ns() == 3000
    assert said == [True]
    made.close()


def test_a_camera_that_is_not_there_is_tried_for_ever_further_and_further_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    began_ns = clock.now_ns()
    camera = ScriptedCamera(["absent"] * 20 + ["frame"])
    with caplog.at_level(logging.INFO):
        pump(camera, tmp_path / "frames-a", clock, lambda: None)
    waited_s = (clock.now_ns() - began_ns) / NS_PER_S
    assert 15 * 5.0 < waited_s <= 20 * 5.0  # the longest back-off is five seconds
    assert len([record for record in caplog.records if "gone" in record.message]) == 1
    assert FrameRingReader(tmp_path / "frames-a").count == 1


def test_a_camera_that_is_pulled_out_and_put_back_goes_on_in_the_same_ring(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    camera = ScriptedCamera(["frame", "gone", "absent", "absent", "frame", "frame"])
    with caplog.at_level(logging.INFO):
        pump(camera, tmp_path / "frames-a", VirtualClock(), lambda: None)
    assert FrameRingReader(tmp_path / "frames-a").count == 3
    assert camera.opened == 2
    assert [r.message for r in caplog.records if "back" in r.message] == ["scripted: back"]


def test_a_camera_that_is_there_but_silent_is_opened_again(tmp_path: Path) -> None:
    camera = ScriptedCamera(["frame", *["silent"] * 4, "frame"])
    pump(camera, tmp_path / "frames-a", VirtualClock(), lambda: None)
    assert camera.opened == 2
    assert camera.closed == 1


def test_the_plants_camera_is_a_ring_and_a_real_one_is_not_opened_by_looking(
    tmp_path: Path,
) -> None:
    config = load(simulated=True).config
    source = make_source("wrist", config.cameras["wrist"], tmp_path, VirtualClock())
    assert isinstance(source, RingCamera)
    real = msgspec.structs.replace(config.cameras["wrist"], device="usb-nothing")
    assert not isinstance(make_source("wrist", real, tmp_path, VirtualClock()), RingCamera)


def test_the_process_copies_the_plants_pictures_and_ends_on_sigterm_only(tmp_path: Path) -> None:
    config = load(simulated=True).config
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(config))
    plant = FrameRingWriter(tmp_path / "plant" / "camera-wrist", 320, 240, 8)
    process = subprocess.Popen(
        [sys.executable, "-m", "daemon.camera", "--runtime", str(tmp_path), "--name", "wrist"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        picture = bytes(range(256)) * 900
        plant.append(123, 0, picture)
        assert process.stdout.readline() == b"READY\n"
        frame = FrameRingReader(tmp_path / "frames-wrist").latest()
        assert frame is not None
        assert (frame.stamp_ns, frame.rgb) == (123, picture)
        process.send_signal(signal.SIGINT)  # Ctrl-C is the supervisor's
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()
        plant.close()
