"""Pictures into an MP4 that plays in a browser and survives being cut off: h264, fragmented, true
times."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

from robotd.errors import DatasetError
from sim.view.compose import Rgb

_TIME_BASE = Fraction(1, 1000)
_NOMINAL_FPS = 15  # only a hint for players; every picture carries its own time


class Mp4Writer:
    """Writes pictures with their times. Use it as a context manager.

    The first picture decides the size (even width and height). Times are seconds from any zero and
    must grow; one that does not is moved a millisecond on. Raises DatasetError when the file cannot
    be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pictures = 0
        try:
            # Ours, not PyAV's: it opens a file only when the first picture is ready, and unbuffered
            # writes are on disk when the process is killed.
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise DatasetError(
                f"The video {path} cannot be written: {error.strerror}.",
                "The folder is missing, full or not yours.",
                "Choose another file: --mp4 FILE",
            ) from error
        self._container = av.open(
            self._file,
            "w",
            format="mp4",
            options={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
        )
        self._stream = self._container.add_stream("libx264", rate=_NOMINAL_FPS)
        self._stream.pix_fmt = "yuv420p"
        # No B-frames: they would shift every time by the frames they wait for.
        self._stream.options = {
            "preset": "veryfast",
            "crf": "23",
            "g": str(_NOMINAL_FPS),
            "bf": "0",
        }
        self._stream.time_base = _TIME_BASE
        self._stream.codec_context.time_base = _TIME_BASE
        self._first_s: float | None = None
        self._last_pts = -1

    def add(self, picture: Rgb, at_s: float) -> None:
        """Append one picture, uint8 [H, W, 3], that belongs to the time `at_s`."""
        if self._first_s is None:
            self._first_s = at_s
            self._stream.height, self._stream.width = picture.shape[:2]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        pts = max(self._last_pts + 1, round((at_s - self._first_s) * 1000))
        frame.pts, frame.time_base = pts, _TIME_BASE
        self._last_pts = pts
        self._container.mux(self._stream.encode(frame))
        self.pictures += 1

    def close(self) -> None:
        """Write what is left and close the file."""
        if self.pictures:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
