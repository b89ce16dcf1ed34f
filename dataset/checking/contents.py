"""Everything that lies in a dataset's folder, read so that one broken file hides no other.

What cannot be read is kept as a sentence beside what can. Nothing is written. Pictures are not
decoded: of a video only its packets' times are taken, of embedded pictures nothing.
"""

import errno
import itertools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder.info import INFO, STATS, TASKS, Info
from dataset.checking.videos import VideoFile, scan_video
from dataset.repairing.parquet import has_footer, with_footer

type Place = tuple[int, int]

SCALARS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
NO_END = "it has no end: its writer was killed"
POINTER = "it is a git-lfs pointer, not the file itself"
DAMAGED = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, EOFError)
"""What pyarrow raises on bytes that are no whole file."""

_EPISODE_COLUMNS = ("episode_index", "length", "tasks", "data/chunk_index", "data/file_index")
_DISK = {errno.EIO, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ESTALE}
_PLACE = re.compile(r"chunk-(\d+)/file-(\d+)\.\w+$")
_POINTER_BYTES = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file. `rows` without pictures; None where nothing could be read. `problem` is ""
    where the file is whole; a file without an end has both."""

    name: str
    rows: pa.Table | None
    problem: str = ""


@dataclass(slots=True)
class Contents:
    """A dataset as it lies on the disk; every `…_problem` is "" where there is none.

    `episodes` are the rows of meta/episodes with their statistics, in LeRobot's order, which finds
    an episode by its position. `tasks` are (task_index, task) in the file's order. `data` and
    `videos` are in the order in which LeRobot reads files: by name.
    """

    root: Path
    info: Info | None = None
    info_problem: str = ""
    version: str = ""
    episodes: list[dict[str, Any]] = field(default_factory=list)
    episode_problems: dict[str, str] = field(default_factory=dict)
    tasks: list[tuple[int, str]] = field(default_factory=list)
    tasks_problem: str = ""
    stats: dict[str, dict[str, Any]] | None = None
    stats_problem: str = ""
    data: list[DataFile] = field(default_factory=list)
    videos: dict[str, dict[Place, VideoFile]] = field(default_factory=dict)

    @property
    def fps(self) -> int:
        """Frames per second; only where `info` is."""
        return int(self._info["fps"])

    @property
    def features(self) -> dict[str, dict[str, Any]]:
        """The features that info.json declares; only where `info` is."""
        return dict(self._info["features"])

    @property
    def video_keys(self) -> list[str]:
        """Features whose pictures are in videos."""
        return [key for key, each in self.features.items() if each["dtype"] == "video"]

    @property
    def vector_keys(self) -> list[str]:
        """Features of numbers that are not LeRobot's own counters."""
        return [
            key
            for key, each in self.features.items()
            if key not in SCALARS and _is_number(str(each["dtype"]))
        ]

    @property
    def _info(self) -> Info:
        if self.info is None:
            raise ValueError("info.json could not be read")
        return self.info

    def rows(self) -> pa.Table:
        """The rows of all files that could be read, in order; columns that all of them have."""
        tables = [each.rows for each in self.data if each.rows is not None]
        if not tables:
            return pa.table({name: pa.array([], pa.int64()) for name in SCALARS})
        shared = [
            name for name in tables[0].column_names if all(name in t.column_names for t in tables)
        ]
        return pa.concat_tables([t.select(shared) for t in tables], promote_options="permissive")


def read_contents(root: Path, wanted: range | None = None) -> Contents:
    """Read what is under `root`. With `wanted`, only videos that those episodes are in.

    Raises OSError where the disk or a permission refuses.
    """
    found = Contents(root)
    _read_info(found)
    _read_tasks(found)
    _read_stats(found)
    _read_episodes(found)
    if found.info is None:
        return found
    for path in _there(root, "data/*/*.parquet"):
        found.data.append(_read_data(root, path, found.features))
    for key in found.video_keys:
        places = {
            place_in(row, f"videos/{key}")
            for row in found.episodes
            if wanted is None or row.get("episode_index") in wanted
        }
        found.videos[key] = {}
        for path in _there(root / "videos" / key, "*/*.mp4"):
            place = place_of(path.relative_to(root).as_posix())
            if place is not None and (wanted is None or place in places):
                name = path.relative_to(root).as_posix()
                problem = POINTER if is_pointer(path) else ""
                found.videos[key][place] = (
                    VideoFile(name=name, problem=problem) if problem else scan_video(path, name)
                )
    return found


def _there(folder: Path, pattern: str) -> list[Path]:
    """Files in LeRobot's order, by name; links of a download that lead nowhere are missing files."""
    return [path for path in sorted(folder.glob(pattern)) if path.exists()]


def place_of(name: str) -> Place | None:
    """(chunk, file) of a file's name; None where it is not named as LeRobot names its files."""
    match = _PLACE.search(name)
    return (int(match[1]), int(match[2])) if match else None


def place_in(row: dict[str, Any], kind: str) -> Place | None:
    """(chunk, file) that an episode's row gives for `kind` ("data", "videos/<key>")."""
    chunk, file = row.get(f"{kind}/chunk_index"), row.get(f"{kind}/file_index")
    return None if chunk is None or file is None else (int(chunk), int(file))


def is_pointer(path: Path) -> bool:
    """Whether the file is what git leaves in the place of a file of git-lfs."""
    with path.open("rb") as file:
        return file.read(len(_POINTER_BYTES)) == _POINTER_BYTES


def column(rows: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column of `rows` as [n] or [n, d]; empty where there is none. Nulls become NaN."""
    if name not in rows.column_names:
        return np.empty(0)
    values = rows[name].combine_chunks()
    if pa.types.is_nested(values.type):
        depth = values
        while pa.types.is_nested(depth.type):
            depth = depth.flatten()
        flat = depth.to_numpy(zero_copy_only=False)
        return np.asarray(flat.reshape(len(values), -1) if len(values) else flat.reshape(0, 0))
    return np.asarray(values.to_numpy(zero_copy_only=False))


def data_schema(features: dict[str, dict[str, Any]]) -> pa.Schema:
    """The columns that LeRobot writes for `features`. Raises ValueError for one of no fixed size."""
    fields = []
    for name, feature in features.items():
        dtype, shape = str(feature["dtype"]), tuple(feature["shape"])
        if dtype == "video":
            continue
        if dtype == "image":
            kind: Any = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        elif shape == (1,):
            kind = _arrow(dtype)
        elif len(shape) == 1:
            kind = pa.list_(_arrow(dtype), shape[0])
        else:
            raise ValueError(f"{name} is of shape {shape}")
        fields.append(pa.field(name, kind))
    return pa.schema(fields)


def _arrow(dtype: str) -> pa.DataType:
    if dtype == "bool":
        return pa.bool_()
    if dtype == "string":
        return pa.string()
    if not _is_number(dtype):
        raise ValueError(f"{dtype} is no type of a number")
    return pa.from_numpy_dtype(np.dtype(dtype))


def _is_number(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "fiu"
    except TypeError:
        return False


def _read_info(found: Contents) -> None:
    path = found.root / INFO
    if not path.exists():
        found.info_problem = "there is none"
        return
    try:
        info = json.loads(path.read_bytes())
        found.version = str(info["codebase_version"])
        if not (isinstance(info["fps"], int | float) and info["fps"] > 0):
            found.info_problem = f"its fps is {info['fps']!r}"
        for name, feature in info["features"].items():
            if not isinstance(feature["dtype"], str) or not isinstance(feature["shape"], list):
                found.info_problem = f"it does not say what {name} is"
        _ = int(info["total_episodes"]), int(info["total_frames"])
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        found.info_problem = f"it cannot be read ({type(failure).__name__}: {failure})"
        if is_pointer(path):
            found.info_problem = POINTER
        return
    if not found.info_problem:
        found.info = info


def _read_tasks(found: Contents) -> None:
    path = found.root / TASKS
    if not path.exists():
        found.tasks_problem = "there is none"
        return
    try:
        table = pq.read_table(path)
        names = [name for name in table.column_names if name != "task_index"]
        pairs = zip(table["task_index"].to_pylist(), table[names[0]].to_pylist(), strict=True)
        found.tasks = [(int(number), str(task)) for number, task in pairs]
    except DAMAGED as failure:
        found.tasks_problem = reason(path, failure)


def _read_stats(found: Contents) -> None:
    path = found.root / STATS
    if not path.exists():
        found.stats_problem = "there is none"
        return
    try:
        stats = json.loads(path.read_bytes())
        found.stats = {str(name): dict(each) for name, each in stats.items()}
    except (ValueError, TypeError, AttributeError) as failure:
        found.stats_problem = reason(path, failure)


def _read_episodes(found: Contents) -> None:
    for path in _there(found.root / "meta/episodes", "*/*.parquet"):
        name = path.relative_to(found.root).as_posix()
        try:
            rows = pq.read_table(path)
        except DAMAGED as failure:
            found.episode_problems[name] = reason(path, failure)
            continue
        lacking = [each for each in _EPISODE_COLUMNS if each not in rows.column_names]
        if lacking:
            found.episode_problems[name] = f"it has no column {', '.join(lacking)}"
        else:
            found.episodes += rows.to_pylist()


def _read_data(root: Path, path: Path, features: dict[str, dict[str, Any]]) -> DataFile:
    name = path.relative_to(root).as_posix()
    pictures = [key for key, each in features.items() if each["dtype"] == "image"]
    try:
        names = [each for each in pq.read_schema(path).names if each not in pictures]
        return DataFile(name, pq.read_table(path, columns=names))
    except DAMAGED as failure:
        problem = reason(path, failure)
    if problem != NO_END:
        return DataFile(name, None, problem)
    saved = salvaged(path, features)
    rows = (
        None
        if saved is None
        else saved.drop_columns([each for each in pictures if each in saved.column_names])
    )
    return DataFile(name, rows, problem)


def salvaged(path: Path, features: dict[str, dict[str, Any]]) -> pa.Table | None:
    """The rows of a data file without an end, pictures included; None where there are none."""
    try:
        data = with_footer(path.read_bytes(), data_schema(features))
        rows = pq.read_table(pa.BufferReader(data))
    except DAMAGED:
        return None
    return rows if rows.num_rows else None


def reason(path: Path, failure: Exception) -> str:
    """Why a file cannot be read, in words. Raises `failure` where it is the disk's, not the file's."""
    if isinstance(failure, OSError) and failure.errno in _DISK:
        raise failure
    if is_pointer(path):
        return POINTER
    if path.suffix == ".parquet" and not has_footer(path):
        return NO_END
    return f"it is damaged ({type(failure).__name__}: {str(failure).splitlines()[0]})"


def runs(rows: pa.Table) -> list[tuple[int, int, int]]:
    """(episode, first row, row behind its last) of every stretch of one episode, in order.

    Where `frame_index` goes back a stretch ends too: a save that failed leaves an episode's rows
    right before the same episode's rows.
    """
    episode_index, frame_index = column(rows, "episode_index"), column(rows, "frame_index")
    if not len(episode_index):
        return []
    ends = np.diff(episode_index) != 0
    if len(frame_index):
        ends |= np.diff(frame_index) < 0
    edges = [0, *(np.flatnonzero(ends) + 1).tolist(), len(episode_index)]
    return [(int(episode_index[first]), first, stop) for first, stop in itertools.pairwise(edges)]
