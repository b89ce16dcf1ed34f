"""Camera frames in shared memory: a ring of raw RGB pictures, each stamped at capture.

Same rules as `robotd.shm`: one writer, no locks. A reader gets a copy, or None when the frame was
overwritten while it was being copied.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from robotd.clock import NS_PER_MS
from robotd.shm import Field, Layout, RingReader, RingWriter, _open

PICTURE_WAIT_NS = 120 * NS_PER_MS
"""How long a row waits for the picture that belongs to it: one over USB may still be on its way.
Recorder and policy wait alike, so that a policy sees what a row of the same tick would hold."""

_STAMP = struct.Struct("<qQII")
_FRAME_VERSION = 1


def _layout(width: int, height: int) -> Layout:
    fields = [
        Field("stamp_ns", "q"),
        Field("sequence", "Q"),
        Field("width", "I"),
        Field("height", "I"),
    ]
    return Layout("frame", _FRAME_VERSION, [*fields, Field("rgb", "B", width * height * 3)])


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. `rgb` is height*width*3 bytes, row by row; `stamp_ns` is CLOCK_MONOTONIC."""

    index: int
    stamp_ns: int
    sequence: int
    width: int
    height: int
    rgb: bytes


class FrameRingWriter:
    """Appends pictures of one size."""

    def __init__(self, path: Path, width: int, height: int, capacity: int) -> None:
        self._size = width * height * 3
        self._width = width
        self._height = height
        self._ring = RingWriter(path, _layout(width, height), capacity)

    @property
    def count(self) -> int:
        return self._ring.count

    def append(self, stamp_ns: int, sequence: int, rgb: bytes | memoryview) -> int:
        """Append one picture of width*height*3 bytes and return its index."""
        pixels = bytes(rgb)
        if len(pixels) != self._size:
            raise ValueError(f"a frame here has {self._size} bytes, not {len(pixels)}")
        header = _STAMP.pack(stamp_ns, sequence, self._width, self._height)
        return self._ring.append_packed(header + pixels)

    def close(self) -> None:
        self._ring.close()


class FrameRingReader:
    """Reads pictures by index, newest first, or by capture time."""

    def __init__(self, path: Path) -> None:
        memory, _, record_size, _ = _open(path, b"RBDRING1")
        _, _, width, height = _STAMP.unpack_from(memory, 64)
        memory.close()
        if width == 0 or record_size != _STAMP.size + width * height * 3:
            raise FileNotFoundError(f"{path.name} holds no frame yet")
        self.width = width
        self.height = height
        self._ring = RingReader(path, _layout(width, height))

    @property
    def count(self) -> int:
        return self._ring.count

    def read(self, index: int) -> Frame | None:
        """Return one frame, or None when not yet written or already overwritten."""
        header = self._ring.read_packed(index, 0, _STAMP.size)
        # The pixels are checked after the header: both were whole when they were copied.
        rgb = self._ring.read_packed(index, _STAMP.size)
        if header is None or rgb is None:
            return None
        stamp_ns, sequence, width, height = _STAMP.unpack(header)
        return Frame(index, stamp_ns, sequence, width, height, rgb)

    def latest(self) -> Frame | None:
        """Return the newest frame, or None before the first."""
        while (count := self.count) > 0:
            frame = self.read(count - 1)
            if frame is not None:
                return frame
        return None

    def latest_stamp_ns(self) -> int | None:
        """When the newest frame was taken, without copying it; None before the first."""
        while (count := self.count) > 0:
            header = self._ring.read_packed(count - 1, 0, _STAMP.size)
            if header is not None:
                return int(_STAMP.unpack(header)[0])
        return None

    def newest_at(self, stamp_ns: int) -> Frame | None:
        """Return the newest frame captured at or before `stamp_ns` that is still there."""
        for index in range(self.count - 1, max(-1, self.count - self._ring.capacity), -1):
            header = self._ring.read_packed(index, 0, _STAMP.size)
            if header is None:
                return None
            if _STAMP.unpack(header)[0] <= stamp_ns:
                return self.read(index)
        return None

    def close(self) -> None:
        self._ring.close()
