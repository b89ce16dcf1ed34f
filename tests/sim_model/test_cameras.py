"""The plant's camera process, as the plant starts it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from robotd.frames import FrameRingReader
from robotd.shm import SlotWriter
from sim.model.scene import REST_POSE_RAD
from sim.plant.cameras import CamerasOptions, PlantCamera
from sim.plant.state_layout import state_layout

ROOT = Path(__file__).parents[2]
NQ = 13  # six joints and the block
QPOS = [*REST_POSE_RAD, 0.217, 0.225, 0.0096, 1.0, 0.0, 0.0, 0.0]
OPTIONS = CamerasOptions(
    cameras=(
        PlantCamera(name="overhead", width=64, height=48, fps=20),
        PlantCamera(name="wrist", width=64, height=48, fps=20),
    )
)


def start(runtime: Path, options: CamerasOptions = OPTIONS) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "sim.plant.cameras", "--runtime", str(runtime)),
            *("--options", msgspec.json.encode(options).decode(), "--parent", str(os.getpid())),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def ring(runtime: Path, name: str) -> FrameRingReader | None:
    try:
        return FrameRingReader(runtime / "plant" / f"camera-{name}")
    except FileNotFoundError:
        return None


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    running = start(tmp_path)
    yield running
    running.kill()
    running.communicate()


def test_every_camera_delivers_frames_stamped_with_the_pose_they_show(
    tmp_path: Path, process: subprocess.Popen[str]
) -> None:
    slot = SlotWriter(tmp_path / "plant" / "state", state_layout(NQ))
    stamps: set[int] = set()

    def publish_until_seen() -> bool:
        stamp_ns = time.monotonic_ns()
        stamps.add(stamp_ns)
        slot.write({"stamp_ns": stamp_ns, "qpos": QPOS})
        rings = [ring(tmp_path, camera.name) for camera in OPTIONS.cameras]
        return all(each is not None and each.count >= 5 for each in rings)

    wait_for(publish_until_seen)
    for camera in OPTIONS.cameras:
        reader = ring(tmp_path, camera.name)
        assert reader is not None
        frames = [frame for index in range(reader.count) if (frame := reader.read(index))]
        assert {frame.stamp_ns for frame in frames} <= stamps
        assert [frame.sequence for frame in frames] == list(range(len(frames)))
        assert len(set(frames[-1].rgb)) > 20  # a picture, not a blank
    slot.close()


def test_a_plant_that_stands_still_gives_no_new_pictures(
    tmp_path: Path, process: subprocess.Popen[str]
) -> None:
    slot = SlotWriter(tmp_path / "plant" / "state", state_layout(NQ))
    slot.write({"stamp_ns": time.monotonic_ns(), "qpos": QPOS})
    wait_for(lambda: all(ring(tmp_path, camera.name) for camera in OPTIONS.cameras))
    time.sleep(0.3)  # six periods
    for camera in OPTIONS.cameras:
        reader = ring(tmp_path, camera.name)
        assert reader is not None and reader.count == 1
    slot.close()


@pytest.mark.parametrize("drawing", [False, True])
def test_a_sigterm_ends_it_cleanly(
    tmp_path: Path, process: subprocess.Popen[str], drawing: bool
) -> None:
    if drawing:
        slot = SlotWriter(tmp_path / "plant" / "state", state_layout(NQ))
        slot.write({"stamp_ns": time.monotonic_ns(), "qpos": QPOS})
        wait_for(lambda: ring(tmp_path, "overhead") is not None)
    else:
        time.sleep(1.0)  # it has installed its handler and waits for the plant
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=5)
    assert (process.returncode, errors) == (0, "")


def test_it_ends_when_its_parent_does(tmp_path: Path) -> None:
    options = msgspec.json.encode(OPTIONS).decode()
    parent = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-m', 'sim.plant.cameras', '--runtime',"
            " sys.argv[1], '--options', sys.argv[2], '--parent', str(os.getpid())],"
            " stderr=subprocess.DEVNULL)\n"
            "print(child.pid)",
            str(tmp_path),
            options,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    child = int(parent.stdout)

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().split()[2] == "Z"
        except FileNotFoundError:
            return True

    wait_for(gone)


def test_a_camera_the_scene_does_not_have_is_named(tmp_path: Path) -> None:
    process = start(tmp_path, CamerasOptions(cameras=(PlantCamera(name="belly"),)))
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "belly" in errors and "overhead" in errors
