"""A camera's pictures episode by episode, decoded once from front to back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daemon.recorder import video
from daemon.recorder.source import Source
from robotd.errors import DatasetError


class Film:
    """One camera of a dataset. Episodes that follow each other in a file cost one decoding."""

    def __init__(self, source: Source, key: str) -> None:
        self._key = key
        self._fps = int(source.info["fps"])
        self._lengths = source.column("length")
        self._starts_s = source.column(f"videos/{key}/from_timestamp")
        places = zip(
            source.column(f"videos/{key}/chunk_index"),
            source.column(f"videos/{key}/file_index"),
            strict=True,
        )
        self._paths = [source.root / source.video_name(key, *place) for place in places]
        self._open: Path | None = None
        self._frames: Iterator[tuple[int, Any]] = iter(())
        self._next = 0

    def episode(self, episode: int) -> Iterator[npt.NDArray[np.uint8]]:
        """The pictures uint8 [H, W, 3] (RGB) of an episode, in order; take all before the next.

        Raises DatasetError when the file ends before them.
        """
        path, first = self._paths[episode], round(self._starts_s[episode] * self._fps)
        last = first + int(self._lengths[episode])
        if path != self._open or first < self._next:
            self._open, self._frames, self._next = path, video.decode_frames(path), 0
        while self._next < last:
            found = next(self._frames, None)
            if found is None:
                raise DatasetError(
                    f"{path} ends after {self._next} frames; episode {episode} needs {last}.",
                    "The file was damaged, or copied in part.",
                    "`robotd dataset check` says which episodes are whole.",
                )
            self._next = found[0] + 1
            if found[0] >= first:
                yield found[1].to_ndarray(format="rgb24")
