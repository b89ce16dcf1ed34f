"""Videos looked at without decoding: which frames there are and when, and what they are said to be.

LeRobot finds a frame by time and refuses one that is more than 0.1 ms off, so a frame's time is
what matters; a file's packets tell it.
"""

import errno
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

UNREADABLE = (av.error.FFmpegError, IndexError, UnicodeDecodeError)
"""What PyAV raises on bytes that are no whole video; the last on names and tags in it."""

TOLERANCE_S = 1e-4
"""LeRobot's `tolerance_s`: how far a frame may be from the time that is asked for."""


def _no_times() -> npt.NDArray[np.float64]:
    return np.empty(0)


@dataclass(frozen=True, slots=True)
class VideoFile:
    """One video. `times_s` are the frames' times, sorted; `keys_s` those of its key frames.

    `problem` is "" where the file is whole. Of a torn one `times_s` are the frames before the tear.
    `in_order`: they are stored as they are shown, so that a file can be cut behind any of them.
    """

    name: str
    times_s: npt.NDArray[np.float64] = field(default_factory=_no_times)
    keys_s: npt.NDArray[np.float64] = field(default_factory=_no_times)
    width: int = 0
    height: int = 0
    codec: str = ""
    pix_fmt: str = ""
    problem: str = ""
    in_order: bool = True

    @property
    def frames(self) -> int:
        """How many frames it holds."""
        return len(self.times_s)

    @property
    def period_s(self) -> float:
        """The time from one frame to the next, as most are; 0 where there is no second one."""
        return float(np.median(np.diff(self.times_s))) if self.frames > 1 else 0.0

    def nearest(self, times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The number of the frame nearest to each of `times_s` [n]; there has to be a frame."""
        after = np.clip(np.searchsorted(self.times_s, times_s), 1, max(1, self.frames - 1))
        after = np.minimum(after, self.frames - 1)
        before = np.maximum(after - 1, 0)
        closer = times_s - self.times_s[before] <= self.times_s[after] - times_s
        return np.where(closer, before, after)


def scan_video(path: Path, name: str) -> VideoFile:
    """Read a video's packets. Raises OSError only where the disk refuses."""
    times: list[float] = []
    keys: list[float] = []
    torn = ""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.codec_context is None:
                return VideoFile(name=name, problem="it is of no kind that can be decoded")
            base = float(stream.time_base or 0)
            for packet in container.demux(stream):
                if packet.size == 0 or packet.pts is None:
                    continue
                if packet.is_corrupt:
                    torn = "it is cut off"
                    break
                times.append(packet.pts * base)
                if packet.is_keyframe:
                    keys.append(packet.pts * base)
            expected = stream.frames
            if not torn and expected and expected > len(times):
                torn = f"it is cut off: {len(times)} of its {expected} frames are there"
            return VideoFile(
                name=name,
                times_s=np.sort(np.array(times, np.float64)),
                keys_s=np.array(keys, np.float64),
                width=stream.width,
                height=stream.height,
                codec=stream.codec.canonical_name,
                pix_fmt=stream.pix_fmt or "",
                problem=torn,
                in_order=times == sorted(times),
            )
    except UNREADABLE as failure:
        if isinstance(failure, OSError) and failure.errno in (errno.EIO, errno.EACCES):
            raise
        words = "it has no end, or no video" if not times else "it is cut off"
        return VideoFile(name=name, times_s=np.sort(np.array(times)), problem=words)
