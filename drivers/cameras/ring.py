"""The plant's camera: frames that another process renders into a shared-memory ring.

Every frame is returned once, in order, as long as the reader keeps up; one that falls behind goes
on with the newest. A plant that was started again makes a new ring under the same name, and the
camera moves over to it.
"""

from pathlib import Path
from typing import Final

import numpy as np

from drivers.cameras.source import CameraSettings, CapturedFrame
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.errors import CameraError
from robotd.frames import Frame, FrameRingReader

_POLL_NS: Final = 2 * NS_PER_MS  # an eighth of a frame at 60 Hz


class RingCamera:
    """Reads the ring at `path`; `fps` is what the ring's writer was asked for."""

    def __init__(self, path: Path, fps: float, clock: Clock, first_frame_s: float = 5.0) -> None:
        self._path = path
        self._fps = fps
        self._clock = clock
        self._first_frame_s = first_frame_s
        self._reader: FrameRingReader | None = None
        self._inode = 0
        self._next = 0

    @property
    def identity(self) -> str:
        return self._path.name

    @property
    def settings(self) -> CameraSettings:
        reader = self._opened()
        return CameraSettings(reader.width, reader.height, self._fps, "RGB3")

    def open(self) -> None:
        """Wait for the ring's first frame. Raises CameraError when none comes."""
        deadline_ns = self._clock.now_ns() + round(self._first_frame_s * NS_PER_S)
        while not self._attach():
            now_ns = self._clock.now_ns()
            if now_ns >= deadline_ns:
                raise CameraError(
                    f"The simulated camera {self.identity} shows no picture.",
                    "The plant's camera process is not running, or no GL backend works.",
                    "Look at `robotd logs` for the plant, then run `robotd start --sim` again.",
                )
            self._clock.sleep_until_ns(min(deadline_ns, now_ns + _POLL_NS))

    def read(self, timeout_s: float) -> CapturedFrame | None:
        reader = self._opened()
        deadline_ns = self._clock.now_ns() + round(timeout_s * NS_PER_S)
        while True:
            frame = self._take(reader)
            if frame is not None:
                self._next = frame.index + 1
                pixels = np.frombuffer(frame.rgb, np.uint8)
                image = pixels.reshape(frame.height, frame.width, 3)
                return CapturedFrame(image, frame.stamp_ns, frame.sequence)
            now_ns = self._clock.now_ns()
            if now_ns >= deadline_ns:
                break
            self._clock.sleep_until_ns(min(deadline_ns, now_ns + _POLL_NS))
        self._follow()
        return None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _take(self, reader: FrameRingReader) -> Frame | None:
        if reader.count <= self._next:
            return None
        return reader.read(self._next) or reader.latest()

    def _attach(self) -> bool:
        try:
            reader = FrameRingReader(self._path)
            self._inode = self._path.stat().st_ino
        except FileNotFoundError:
            return False
        self._reader = reader
        self._next = max(0, reader.count - 1)
        return True

    def _follow(self) -> None:
        """Move to a new ring under the same name. A missing one may be about to come back."""
        try:
            replaced = self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return
        if replaced:
            old = self._reader
            if self._attach() and old is not None:
                old.close()

    def _opened(self) -> FrameRingReader:
        if self._reader is None:
            raise CameraError(
                f"The camera {self.identity} is not open.",
                "It was read before `open`, or after `close`.",
                "Open it first.",
            )
        return self._reader
