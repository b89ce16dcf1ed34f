"""The pictures of a recording, decoded when they are asked for.

A frame is found by its time, as LeRobot finds it: where the episode begins in its video, and the
row's own time from there. Whoever asks in the order of episodes and rows has each frame decoded
once: the video stays open, and what lies a little ahead is reached by going on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.recording import Recording, Rows, damaged

_AHEAD = 8  # frames: further, a jump to the key frame before is tried first

Picture = npt.NDArray[np.uint8]


class Pictures:
    """Decodes for one reader; holds one open video a camera."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._videos: dict[str, _Video] = {}
        self._stills: dict[str, _Stills] = {}

    def at(self, rows: Rows, row: int, cameras: Sequence[str]) -> dict[str, Picture]:
        """The pictures of one row, uint8 [height, width, 3], by key. Raises DatasetError."""
        return {key: self._picture(rows, row, key) for key in cameras}

    def _picture(self, rows: Rows, row: int, key: str) -> Picture:
        root, found = self._recording.root, rows.files.videos.get(key)
        if found is None:
            stills = self._stills.get(key)
            if stills is None or stills.rows is not rows:
                stills = self._stills[key] = _Stills(root, rows, key)
            return stills.at(row)
        path, begins_s = root / found[0], found[1]
        video = self._videos.get(key)
        if video is None or video.path != path:
            if video is not None:
                video.close()
            video = self._videos[key] = _Video(root, path, 1.0 / self._recording.fps)
        return video.at(begins_s + float(rows.times_s[row]))

    def close(self) -> None:
        """Close every video."""
        for video in self._videos.values():
            video.close()
        self._videos.clear()


class _Video:
    """One open video and where it was read to."""

    def __init__(self, root: Path, path: Path, step_s: float) -> None:
        import av

        self.path = path
        self._root = root
        self._step_s = step_s
        self._broken = (av.error.FFmpegError, OSError, IndexError, UnicodeDecodeError)
        try:
            self._container = av.open(str(path))
            self._stream = self._container.streams.video[0]
        except self._broken as error:
            raise damaged(root, error) from error
        self._stream.codec_context.thread_count = 1  # frames come out at once, not some later
        self._frames: Any = None
        self._shown: Any = None
        self._reach_s = _AHEAD * step_s

    def at(self, time_s: float) -> Picture:
        """The frame of that time."""
        try:
            frame = self._find(time_s)
        except self._broken as error:
            raise damaged(self._root, f"{self.path.name}: {error}") from error
        if frame is None or abs(self._time_s(frame) - time_s) > self._step_s / 2.0:
            raise damaged(self._root, f"{self.path.name} has no frame at {time_s:.3f} s")
        self._shown = frame
        return np.ascontiguousarray(frame.to_ndarray(format="rgb24"), np.uint8)

    def _find(self, time_s: float) -> Any:
        if self._shown is not None:
            ahead_s = time_s - self._time_s(self._shown)
            if abs(ahead_s) < self._step_s / 2.0:
                return self._shown
            if 0.0 < ahead_s <= self._reach_s:
                return self._forward(time_s)
        at = round(time_s / float(self._stream.time_base))
        self._container.seek(at, backward=True, stream=self._stream)
        self._frames = self._container.decode(self._stream)
        first = next(self._frames, None)
        if first is None or self._near(first, time_s):
            return first
        # So far apart are key frames: what lies nearer ahead is not worth a jump back to one.
        self._reach_s = max(self._reach_s, time_s - self._time_s(first))
        return self._forward(time_s)

    def _forward(self, time_s: float) -> Any:
        return next((frame for frame in self._frames if self._near(frame, time_s)), None)

    def _near(self, frame: Any, time_s: float) -> bool:
        """Whether it is the frame of that time, or already behind it."""
        return frame.pts is not None and self._time_s(frame) >= time_s - self._step_s / 2.0

    def _time_s(self, frame: Any) -> float:
        return float(frame.pts * self._stream.time_base)

    def close(self) -> None:
        self._container.close()


class _Stills:
    """The pictures of one episode that are kept in the rows themselves."""

    def __init__(self, root: Path, rows: Rows, key: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.rows = rows
        self._root, self._key = root, key
        try:
            table = pq.read_table(
                root / rows.files.data,
                columns=["frame_index", key],
                filters=[("episode_index", "=", rows.files.number)],
            )
        except (pa.ArrowException, OSError, KeyError) as error:
            raise damaged(root, error) from error
        self._column = table.sort_by("frame_index")[key]

    def at(self, row: int) -> Picture:
        import cv2

        kept = self._column[row].as_py()
        data = kept["bytes"] or (self._root / str(kept["path"])).read_bytes()
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise damaged(self._root, f"the picture of {self._key} in row {row} is none")
        return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)
