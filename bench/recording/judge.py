"""Reads a recorded dataset back and says what became of every picture: lost, shifted, repeated.

The same for robotd and LeRobot, from the files that LeRobot's loader would read and by its rule: the
frame of a row is the one whose time in the video is the episode's beginning plus the row's timestamp.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.recording.scene import CAMERAS, number_in
from daemon.recorder.video import decode_frames

_TOLERANCE_S = 1e-4  # LeRobot's: a row without a frame so near cannot be loaded
_NONE = -1

type Expected = Callable[[Sequence[float]], Mapping[str, int]]
"""From a row's state to the number of the picture that belongs to it, by camera."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of all cameras together. `frames`: rows times cameras. `lost`: pictures that were taken while
    an episode ran and are in none of its frames, and rows whose frame is not there. `shifted`: rows
    that show another picture than the one that belongs to them, and do not say so. `repeated`: frames
    that show the one before again; `unsaid` of them without a flag."""

    frames: int = 0
    lost: int = 0
    shifted: int = 0
    repeated: int = 0
    unsaid: int = 0

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(
            self.frames + other.frames,
            self.lost + other.lost,
            self.shifted + other.shifted,
            self.repeated + other.repeated,
            self.unsaid + other.unsaid,
        )

    def as_json(self) -> dict[str, int]:
        return {
            "frames": self.frames,
            "frames_lost": self.lost,
            "frames_shifted": self.shifted,
            "repeated": self.repeated,
        }


def judge_episode(
    shown: Sequence[int],
    expected: Sequence[int],
    flagged: Sequence[bool],
    taken: Sequence[int],
) -> Verdict:
    """One camera of one episode: the number in each row's frame (-1: no frame), the number that
    belongs there, whether the row says that it is a repeat, and the pictures that were taken."""
    seen = set(shown)
    first, last = min(expected, default=0), max(expected, default=0)
    between = range(bisect_left(taken, first), bisect_left(taken, last + 1))
    lost = sum(taken[place] not in seen for place in between) + list(shown).count(_NONE)
    repeats = [number == before != _NONE for number, before in zip(shown[1:], shown, strict=False)]
    return Verdict(
        frames=len(shown),
        lost=lost,
        shifted=sum(
            number not in (_NONE, wanted) and not flag
            for number, wanted, flag in zip(shown, expected, flagged, strict=True)
        ),
        repeated=sum(repeats),
        unsaid=sum(repeat and not flag for repeat, flag in zip(repeats, flagged[1:], strict=True)),
    )


def judge(root: Path, taken: Mapping[str, Sequence[int]], expected: Expected) -> dict[int, Verdict]:
    """Every episode of a dataset, by its index, all cameras together."""
    rows = _rows(root)
    episodes = _table(root / "meta" / "episodes")
    videos: dict[Path, list[tuple[float, int]]] = {}
    found: dict[int, Verdict] = {}
    for episode in episodes:
        index = int(episode["episode_index"])
        own = [row for row in rows if row["episode_index"] == index]
        wanted = [expected(row["observation.state"]) for row in own]
        flags = _flags(root, index, len(own))
        for camera in CAMERAS:
            key = f"videos/observation.images.{camera}"
            place = (episode[f"{key}/chunk_index"], episode[f"{key}/file_index"])
            path = root / f"{key}/chunk-{place[0]:03d}/file-{place[1]:03d}.mp4"
            frames = videos.setdefault(path, []) or _decoded(path, videos[path])
            begin_s = float(episode[f"{key}/from_timestamp"])
            shown = [_at(frames, begin_s + float(row["timestamp"])) for row in own]
            found[index] = found.get(index, Verdict()) + judge_episode(
                shown, [each[camera] for each in wanted], flags[camera], taken[camera]
            )
    return found


def _decoded(path: Path, into: list[tuple[float, int]]) -> list[tuple[float, int]]:
    for _, frame in decode_frames(path):
        into.append((float(frame.time), number_in(frame.to_ndarray(format="rgb24"))))
    return into


def _at(frames: Sequence[tuple[float, int]], at_s: float) -> int:
    place = bisect_left(frames, at_s - _TOLERANCE_S, key=lambda frame: frame[0])
    if place < len(frames) and frames[place][0] <= at_s + _TOLERANCE_S:
        return frames[place][1]
    return _NONE


def _rows(root: Path) -> list[dict[str, Any]]:
    return sorted(_table(root / "data"), key=lambda row: row["index"])


def _table(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.rglob("*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return rows


def _flags(root: Path, episode: int, rows: int) -> dict[str, list[bool]]:
    """What robotd's evidence says of repeats; LeRobot says nothing."""
    path = root / "robotd" / "episodes" / f"episode-{episode:06d}" / "evidence.parquet"
    if not path.exists():
        return {camera: [False] * rows for camera in CAMERAS}
    table = pq.read_table(path)
    return {
        camera: np.asarray(table[f"repeated/{camera}"].to_pylist(), dtype=bool).tolist()
        for camera in CAMERAS
    }
