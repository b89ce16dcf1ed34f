"""Pictures decoded: statistics of an episode's frames, and whether a video comes out whole.

Statistics are LeRobot's, over the frames that LeRobot would sample. A file is decoded once, however
many episodes are in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder.stats import FeatureStats, Stats, aggregate, image_stats, sampled_frames
from dataset.checking.contents import Contents, place_in
from dataset.checking.stats import check_picture_stats
from dataset.checking.videos import UNREADABLE
from dataset.findings import Finding, error


@dataclass(frozen=True, slots=True)
class Span:
    """An episode's frames in a video: from `first` on, `count` of them, in the order of time."""

    episode: int
    first: int
    count: int


def is_depth(feature: dict[str, Any]) -> bool:
    """Whether a camera's pictures are distances."""
    return bool((feature.get("info") or {}).get("is_depth_map"))


def video_stats(path: Path, spans: Sequence[Span]) -> tuple[dict[int, FeatureStats], int, str]:
    """Statistics by episode, the number of frames decoded, and why not more came out ("" if all).

    `spans` may not overlap. Episodes whose frames did not all come out have no statistics.
    """
    decoder = _Decoder(path)
    found: dict[int, FeatureStats] = {}
    for span in sorted(spans, key=lambda each: each.first):
        wanted = [span.first + each for each in sampled_frames(span.count)]
        pictures = decoder.pictures(wanted)
        first = next(pictures, None)
        if first is None:
            break
        stats = image_stats(_chained(first, pictures))
        if decoder.done > wanted[-1]:
            found[span.episode] = stats
    decoder.drain()
    return found, decoder.done, decoder.problem


def picture_stats(column: pa.ChunkedArray) -> FeatureStats:
    """Statistics of embedded pictures, structs of `bytes` (PNG or JPEG)."""
    import cv2

    def pictures() -> Iterator[npt.NDArray[np.uint8]]:
        for index in sampled_frames(len(column)):
            data = np.frombuffer(column[index].as_py()["bytes"], np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
            if picture is None:
                raise ValueError(f"picture {index} cannot be decoded")
            yield np.asarray(picture[:, :, ::-1], np.uint8)

    return image_stats(pictures())


def check_pictures(found: Contents, wanted: range | None) -> list[Finding]:
    """Decode every video that those episodes are in; judge what comes out and its statistics."""
    findings: list[Finding] = []
    seen: dict[str, Stats] = {}
    for key in found.video_keys:
        parts: list[Stats] = []
        for place, video in found.videos[key].items():
            rows = [
                row
                for row in found.episodes
                if place_in(row, f"videos/{key}") == place
                and (wanted is None or int(row["episode_index"]) in wanted)
            ]
            if not rows or not video.frames:
                continue
            spans = [] if is_depth(found.features[key]) else _spans(rows, key, video.nearest)
            stats, done, problem = video_stats(found.root / video.name, spans)
            parts += [{key: each} for each in stats.values()]
            if not problem and done != video.frames:
                problem = f"{done} of {video.frames} frames come out"
            if problem:
                findings.append(
                    error(
                        "decode",
                        f"{video.name} cannot be decoded whole: {problem}.",
                        "The file was damaged after it was written, or a disk lost data.",
                        "Restore it from the hub or a backup.",
                        episodes=tuple(int(row["episode_index"]) for row in rows),
                    )
                )
        if parts:
            seen[key] = aggregate(parts)
    return findings + check_picture_stats(found, seen, whole=wanted is None)


def _spans(rows: list[dict[str, Any]], key: str, nearest: Any) -> list[Span]:
    spans: list[Span] = []
    for row in rows:
        start = row.get(f"videos/{key}/from_timestamp")
        if start is None or int(row["length"]) < 1:
            continue
        first = int(nearest(np.array([float(start)]))[0])
        spans.append(Span(int(row["episode_index"]), first, int(row["length"])))
    spans.sort(key=lambda each: each.first)
    # What is said wrongly may overlap; a file is decoded once, so such an episode has no statistics.
    return [
        each
        for i, each in enumerate(spans)
        if i == 0 or each.first >= spans[i - 1].first + spans[i - 1].count
    ]


def _chained(
    first: npt.NDArray[np.uint8], rest: Iterator[npt.NDArray[np.uint8]]
) -> Iterator[npt.NDArray[np.uint8]]:
    yield first
    yield from rest


class _Decoder:
    """One pass over a video's frames. `done` counts those that came out."""

    def __init__(self, path: Path) -> None:
        self.done = 0
        self.problem = ""
        self._frames = self._decode(path)

    def _decode(self, path: Path) -> Iterator[Any]:
        try:
            with av.open(str(path)) as container:
                for frame in container.decode(container.streams.video[0]):
                    if frame.is_corrupt:
                        self.problem = self.problem or f"frame {self.done} is damaged"
                    self.done += 1
                    yield frame
        except UNREADABLE as failure:
            self.problem = f"{failure} at frame {self.done}"

    def pictures(self, numbers: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
        """The frames of those numbers, which may not be behind what was decoded already."""
        wanted = set(numbers)
        while wanted:
            frame = next(self._frames, None)
            if frame is None:
                return
            if self.done - 1 in wanted:
                wanted.remove(self.done - 1)
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)

    def drain(self) -> None:
        """Decode what is left."""
        for _ in self._frames:
            pass
