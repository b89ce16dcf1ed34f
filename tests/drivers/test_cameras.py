"""Cameras: settings forced and read back, stamps at capture, frames neither doubled nor invented.

No video device exists where these tests run: the V4L2 camera is held against a scripted capture, so
order, read-back, refusals and stamps are tested, a real driver's behaviour is not.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from drivers.cameras import v4l2
from drivers.cameras.ring import RingCamera
from drivers.cameras.source import CameraSettings
from drivers.cameras.v4l2 import V4l2Camera
from drivers.cameras.v4l2_devices import list_cameras, resolve_camera
from robotd.clock import NS_PER_MS, MonotonicClock, VirtualClock
from robotd.errors import CameraError
from robotd.frames import FrameRingWriter

MJPG = int.from_bytes(b"MJPG", "little")
YUYV = int.from_bytes(b"YUYV", "little")
NAMES = {0: "stamp", 3: "width", 4: "height", 5: "fps", 6: "fourcc", 38: "buffers"}


class ScriptedCapture:
    """A camera that keeps what it is told, apart from what it `refuses`."""

    def __init__(self, clock, refuses=None, opened=True) -> None:
        self.clock = clock
        self.values = {"width": 640, "height": 480, "fps": 30.0, "fourcc": YUYV, "buffers": 4}
        self.refuses = refuses or {}
        self.opened = opened
        self.log: list[str] = []
        self.stamp_ms = None
        self.grabs = True
        self.decodes = True
        self.released = 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, prop: int, value: float) -> bool:
        name = NAMES[prop]
        self.log.append(name)
        self.values[name] = self.refuses.get(name, value)
        return name not in self.refuses

    def get(self, prop: int) -> float:
        if NAMES[prop] == "stamp":
            captured_ms = (self.clock.now_ns() - 5 * NS_PER_MS) / 1e6
            return captured_ms if self.stamp_ms is None else self.stamp_ms
        self.log.append(f"read {NAMES[prop]}")
        return float(self.values[NAMES[prop]])

    def grab(self) -> bool:
        self.clock.sleep_until_ns(self.clock.now_ns() + 33 * NS_PER_MS)
        return self.grabs

    def retrieve(self):
        image = np.zeros((480, 640, 3), np.uint8)
        image[..., 0] = 200  # blue, as OpenCV orders channels
        return self.decodes, image

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def device(tmp_path) -> Path:
    path = tmp_path / "video0"
    path.write_bytes(b"")
    return path


def camera(device: Path, capture: ScriptedCapture, **asked: int) -> V4l2Camera:
    size = {"width": 640, "height": 480, "fps": 30} | asked
    return V4l2Camera(
        str(device), **size, clock=capture.clock, open_capture=lambda _device: capture
    )


def test_settings_go_in_the_order_the_driver_needs_and_are_read_back(device) -> None:
    capture = ScriptedCapture(VirtualClock())
    source = camera(device, capture)
    source.open()
    assert capture.log[:5] == ["fourcc", "width", "height", "fps", "buffers"]
    assert set(capture.log[5:]) == {"read width", "read height", "read fps", "read fourcc"}
    assert capture.values["buffers"] == 1
    assert source.settings == CameraSettings(640, 480, 30.0, "MJPG")


def test_a_camera_that_refuses_mjpg_is_refused(device) -> None:
    capture = ScriptedCapture(VirtualClock(), {"fourcc": YUYV})
    with pytest.raises(CameraError, match="'YUYV' instead of MJPG"):
        camera(device, capture).open()
    assert capture.released == 1


def test_a_camera_that_refuses_its_size_is_refused(device) -> None:
    capture = ScriptedCapture(VirtualClock(), {"width": 800, "height": 600})
    with pytest.raises(CameraError, match="800x600 instead of 640x480"):
        camera(device, capture).open()
    assert capture.released == 1


def test_a_slower_rate_is_told_not_refused(device) -> None:
    """Drivers halve the rate in dim light; the recorder's quality gate judges it."""
    source = camera(device, ScriptedCapture(VirtualClock(), {"fps": 15.0}))
    source.open()
    assert source.settings.fps == 15.0


def test_a_busy_camera_is_a_three_part_error(device) -> None:
    capture = ScriptedCapture(VirtualClock(), opened=False)
    with pytest.raises(CameraError) as caught:
        camera(device, capture).open()
    assert "fuser" in caught.value.do
    assert capture.released == 1


def test_frames_are_rgb_stamped_at_capture_and_counted(device) -> None:
    capture = ScriptedCapture(VirtualClock())
    source = camera(device, capture)
    source.open()
    first, second = source.read(1.0), source.read(1.0)
    assert first is not None
    assert second is not None
    assert first.rgb.shape == (480, 640, 3)
    assert first.rgb[0, 0].tolist() == [0, 0, 200]
    assert (first.sequence, second.sequence) == (0, 1)
    assert second.stamp_ns == pytest.approx(capture.clock.now_ns() - 5 * NS_PER_MS, abs=1000)
    assert second.stamp_ns - first.stamp_ns == pytest.approx(33 * NS_PER_MS, abs=1000)
    assert source.stamps_at_arrival == 0


@pytest.mark.parametrize("stamp_ms", [0.0, -1.0, 1.7e12, float("1e6")])
def test_a_stamp_that_is_not_this_moments_is_replaced_and_counted(device, stamp_ms) -> None:
    capture = ScriptedCapture(VirtualClock(start_ns=10**13))
    source = camera(device, capture)
    source.open()
    capture.stamp_ms = stamp_ms
    frame = source.read(1.0)
    assert frame is not None
    assert frame.stamp_ns == capture.clock.now_ns()
    assert source.stamps_at_arrival == 1


def test_a_stamp_that_stands_still_is_not_believed_twice(device) -> None:
    capture = ScriptedCapture(VirtualClock())
    source = camera(device, capture)
    source.open()
    capture.stamp_ms = (capture.clock.now_ns() + 20 * NS_PER_MS) / 1e6
    first, second = source.read(1.0), source.read(1.0)
    assert first is not None
    assert second is not None
    assert second.stamp_ns > first.stamp_ns
    assert source.stamps_at_arrival == 1


def test_no_frame_in_time_is_none_and_an_unplugged_camera_an_error(device) -> None:
    capture = ScriptedCapture(VirtualClock())
    source = camera(device, capture)
    source.open()
    capture.grabs = False
    assert source.read(0.1) is None
    device.unlink()
    with pytest.raises(CameraError, match="gone"):
        source.read(0.1)


def test_a_broken_picture_is_a_gap_in_the_sequence(device) -> None:
    capture = ScriptedCapture(VirtualClock())
    source = camera(device, capture)
    source.open()
    assert source.read(1.0).sequence == 0
    capture.decodes = False
    assert source.read(1.0) is None
    capture.decodes = True
    assert source.read(1.0).sequence == 2


def test_a_camera_that_is_not_open_says_so(device) -> None:
    capture = ScriptedCapture(VirtualClock())
    source = camera(device, capture)
    for use in (lambda: source.read(0.1), lambda: source.settings):
        with pytest.raises(CameraError, match="not open"):
            use()
    source.open()
    source.close()
    source.close()
    assert capture.released == 1


def test_a_missing_device_is_reported_by_the_real_backend_too(tmp_path, device) -> None:
    """The one thing OpenCV itself can show here: a file that is no camera does not open."""
    source = V4l2Camera(str(device), 640, 480, 30, MonotonicClock(), root=tmp_path)
    with pytest.raises(CameraError, match="could not be opened"):
        source.open()


def test_the_numbers_of_the_properties_are_opencvs() -> None:
    cv2 = pytest.importorskip("cv2")
    for name in ("POS_MSEC", "FRAME_WIDTH", "FRAME_HEIGHT", "FPS", "FOURCC", "BUFFERSIZE"):
        assert getattr(v4l2, f"PROP_{name}") == getattr(cv2, f"CAP_PROP_{name}")
    assert cv2.VideoWriter.fourcc(*"MJPG") == MJPG


def test_importing_the_cameras_does_not_import_cv2() -> None:
    import subprocess

    code = (
        "import sys, drivers.cameras.v4l2, drivers.cameras.ring, drivers.so101;"
        "sys.exit('cv2' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def plug_in(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / f"video{number}").write_bytes(b"")
        (root / name).symlink_to(root / f"video{number}")


def test_a_camera_is_named_by_what_stays_with_it(tmp_path) -> None:
    plug_in(
        tmp_path,
        "usb-Arducam_UC684-video-index0",
        "usb-Arducam_UC684-video-index1",
        "usb-Innomaker_U20-video-index0",
    )
    assert [c.name for c in list_cameras(tmp_path)] == ["usb-Arducam_UC684", "usb-Innomaker_U20"]
    assert resolve_camera("Innomaker", tmp_path).target.name == "video2"
    assert resolve_camera("usb-Arducam_UC684", tmp_path).target.name == "video0"
    with pytest.raises(CameraError, match="2 cameras"):
        resolve_camera("usb", tmp_path)
    with pytest.raises(CameraError, match="Plugged in: usb-Arducam_UC684, usb-Innomaker_U20"):
        resolve_camera("Logitech", tmp_path)
    with pytest.raises(CameraError, match="no camera"):
        resolve_camera(str(tmp_path / "video9"), tmp_path)
    assert list_cameras(tmp_path / "nowhere") == []


class Ring:
    def __init__(self, path: Path, capacity: int = 8) -> None:
        self.writer = FrameRingWriter(path, 4, 2, capacity)
        self.shown = 0

    def show(self) -> None:
        self.shown += 1
        self.writer.append(self.shown * 1000, self.shown, bytes([self.shown % 256]) * 24)


def opened(path: Path, clock=None) -> RingCamera:
    source = RingCamera(path, 15, clock or VirtualClock())
    source.open()
    return source


def test_the_plants_frames_come_once_each_and_in_order(tmp_path) -> None:
    ring = Ring(tmp_path / "camera-wrist")
    ring.show()
    source = opened(tmp_path / "camera-wrist")
    assert source.settings == CameraSettings(4, 2, 15, "RGB3")
    assert source.identity == "camera-wrist"
    first = source.read(0.0)
    assert (first.sequence, first.stamp_ns, first.rgb.shape) == (1, 1000, (2, 4, 3))
    assert source.read(0.01) is None
    for _ in range(3):
        ring.show()
    assert [source.read(0.0).sequence for _ in range(3)] == [2, 3, 4]
    assert source.read(0.0) is None


def test_a_reader_that_fell_behind_goes_on_with_the_newest(tmp_path) -> None:
    ring = Ring(tmp_path / "camera", capacity=4)
    ring.show()
    source = opened(tmp_path / "camera")
    for _ in range(20):
        ring.show()
    assert source.read(0.0).sequence == 21
    assert source.read(0.0) is None


def test_a_ring_that_was_made_anew_is_followed(tmp_path) -> None:
    ring = Ring(tmp_path / "camera")
    for _ in range(5):
        ring.show()
    source = opened(tmp_path / "camera")
    assert source.read(0.0).sequence == 5
    again = Ring(tmp_path / "camera")
    assert source.read(0.01) is None
    again.show()
    assert source.read(0.01) is None
    assert source.read(0.01).sequence == 1
    again.show()
    assert source.read(0.01).sequence == 2


def test_a_plant_without_a_picture_is_a_camera_error(tmp_path) -> None:
    source = RingCamera(tmp_path / "camera", 15, VirtualClock(), first_frame_s=0.1)
    with pytest.raises(CameraError, match="no picture"):
        source.open()
    FrameRingWriter(tmp_path / "camera", 4, 2, 4)
    with pytest.raises(CameraError, match="no picture"):
        source.open()
    with pytest.raises(CameraError, match="not open"):
        source.read(0.0)
