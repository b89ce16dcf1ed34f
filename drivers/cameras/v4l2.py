"""A USB camera through OpenCV's V4L2 backend.

MJPG is forced, because OpenCV's own choice (YUYV) reserves so much of the USB bus that a second
camera is refused; the order of the settings matters to the driver (format, size, rate, buffers) and
all of them are read back, because a driver refuses in silence. One buffer: frames never queue.

V4L2 stamps a buffer with CLOCK_MONOTONIC when its exposure starts, and OpenCV hands that out as
CAP_PROP_POS_MSEC. A driver that puts something else there is noticed, and arrival is used instead
(`stamps_at_arrival` counts those frames).

OpenCV waits for a frame in steps of a whole second (its OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT, 10 s if
unset); `read` therefore returns up to a second after its timeout when a camera has gone silent.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from drivers.cameras.source import CameraSettings, CapturedFrame, RgbImage
from drivers.cameras.v4l2_devices import V4L_BY_ID, resolve_camera
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.errors import CameraError

# OpenCV's own numbers (videoio.hpp), so that asking for them needs no cv2.
PROP_POS_MSEC: Final = 0
PROP_FRAME_WIDTH: Final = 3
PROP_FRAME_HEIGHT: Final = 4
PROP_FPS: Final = 5
PROP_FOURCC: Final = 6
PROP_BUFFERSIZE: Final = 38

MJPG: Final = "MJPG"
_OLDEST_STAMP_NS: Final = NS_PER_S  # a stamp older than this is not this frame's
_FUTURE_STAMP_NS: Final = NS_PER_MS  # rounding of a float in milliseconds


class Capture(Protocol):
    """What is used of cv2.VideoCapture."""

    def isOpened(self) -> bool: ...  # noqa: N802
    def set(self, prop: int, value: float) -> bool: ...
    def get(self, prop: int) -> float: ...
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


def open_with_cv2(device: str) -> Capture:
    """Open a device with OpenCV's V4L2 backend and no other."""
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")
    import cv2

    capture: Capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    return capture


class V4l2Camera:
    """One camera by path or by-id name, at the size and rate the profile asks for."""

    def __init__(
        self,
        device: str,
        width: int,
        height: int,
        fps: int,
        clock: Clock,
        *,
        root: Path = V4L_BY_ID,
        open_capture: Callable[[str], Capture] = open_with_cv2,
    ) -> None:
        self.stamps_at_arrival = 0
        self._device = device
        self._wanted = CameraSettings(width, height, fps, MJPG)
        self._clock = clock
        self._root = root
        self._open_capture = open_capture
        self._capture: Capture | None = None
        self._settings: CameraSettings | None = None
        self._identity = device
        self._target = Path(device)
        self._sequence = 0
        self._last_stamp_ns = 0

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def settings(self) -> CameraSettings:
        if self._settings is None:
            raise self._not_open()
        return self._settings

    def open(self) -> None:
        """Start the camera. Raises CameraError when absent, busy, or its settings are refused."""
        if self._open_capture is open_with_cv2 and sys.platform != "linux":
            raise CameraError(
                "USB cameras work on Linux only.",
                "V4L2 is Linux's; on macOS robotd runs the simulation and the screens.",
                "Use `--sim` here, or run robotd on a Linux machine (WSL2 counts).",
            )
        found = resolve_camera(self._device, self._root)
        self._identity, self._target = found.name, found.target
        capture = self._open_capture(str(found.target))
        if not capture.isOpened():
            capture.release()
            raise CameraError(
                f"The camera {self._identity} could not be opened.",
                "Another program uses it, or this user is not in the group `video`.",
                f"`fuser -v {found.target}` shows who has it; `sudo usermod -aG video $USER` "
                "gives access after the next login.",
            )
        try:
            self._settings = self._configure(capture)
        except CameraError:
            capture.release()
            raise
        self._capture = capture

    def read(self, timeout_s: float) -> CapturedFrame | None:
        capture = self._capture
        if capture is None:
            raise self._not_open()
        deadline_ns = self._clock.now_ns() + round(timeout_s * NS_PER_S)
        while not capture.grab():
            if not self._target.exists():
                raise CameraError(
                    f"The camera {self._identity} is gone.",
                    "Its USB cable came loose.",
                    "Plug it in again; recording goes on when its picture is back.",
                )
            if self._clock.now_ns() >= deadline_ns:
                return None
        stamp_ns = self._stamp(capture)
        decoded, image = capture.retrieve()
        if not decoded:  # a truncated JPEG: the sequence shows the gap
            self._sequence += 1
            return None
        frame = CapturedFrame(_to_rgb(image), stamp_ns, self._sequence)
        self._sequence += 1
        return frame

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _configure(self, capture: Capture) -> CameraSettings:
        wanted = self._wanted
        capture.set(PROP_FOURCC, _fourcc_number(wanted.fourcc))
        capture.set(PROP_FRAME_WIDTH, wanted.width)
        capture.set(PROP_FRAME_HEIGHT, wanted.height)
        capture.set(PROP_FPS, wanted.fps)
        capture.set(PROP_BUFFERSIZE, 1)
        found = CameraSettings(
            int(capture.get(PROP_FRAME_WIDTH)),
            int(capture.get(PROP_FRAME_HEIGHT)),
            capture.get(PROP_FPS),
            _fourcc_text(int(capture.get(PROP_FOURCC))),
        )
        if found.fourcc != wanted.fourcc:
            raise CameraError(
                f"The camera {self._identity} sends {found.fourcc!r} instead of {wanted.fourcc}.",
                "It has no compressed format at this size, so two of them overload the USB bus.",
                f"`v4l2-ctl -d {self._target} --list-formats-ext` shows what it can do; choose a "
                "size listed under MJPG in the robot's profile.",
            )
        if (found.width, found.height) != (wanted.width, wanted.height):
            raise CameraError(
                f"The camera {self._identity} gives {found.width}x{found.height} instead of "
                f"{wanted.width}x{wanted.height}.",
                "It has no such size.",
                f"`v4l2-ctl -d {self._target} --list-formats-ext` shows its sizes; put one of "
                "them in the robot's profile.",
            )
        return found

    def _stamp(self, capture: Capture) -> int:
        now_ns = self._clock.now_ns()
        stamp_ns = round(capture.get(PROP_POS_MSEC) * NS_PER_MS)
        newest_ns = now_ns + _FUTURE_STAMP_NS
        if not max(self._last_stamp_ns + 1, now_ns - _OLDEST_STAMP_NS) <= stamp_ns <= newest_ns:
            self.stamps_at_arrival += 1
            stamp_ns = now_ns
        self._last_stamp_ns = stamp_ns
        return stamp_ns

    def _not_open(self) -> CameraError:
        return CameraError(
            f"The camera {self._identity} is not open.",
            "It was read before `open`, or after `close`.",
            "Open it first.",
        )


def _to_rgb(bgr: Any) -> RgbImage:
    import cv2

    image: RgbImage = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return image


def _fourcc_number(text: str) -> int:
    return int.from_bytes(text.encode("ascii"), "little")


def _fourcc_text(number: int) -> str:
    return number.to_bytes(4, "little", signed=number < 0).decode("ascii", "replace")
