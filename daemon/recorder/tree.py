"""A dataset written anew from episodes of others: rows, facts, statistics, tasks and videos.

Deleting, relabelling, compacting and merging are all this, with other episodes picked. Rows and
facts come out in files of LeRobot's sizes, in LeRobot's types; nothing that exists is touched.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder import layout, statement
from daemon.recorder.durable import sha256_of
from daemon.recorder.film import Joined, Pick, Scene, write_videos
from daemon.recorder.info import (
    CHUNK_FILES,
    DATA_PATH,
    EPISODES_PATH,
    INFO,
    STATS,
    TASKS,
    VIDEO_PATH,
    Info,
    encode_info,
    following_place,
)
from daemon.recorder.source import RowReader, Source
from daemon.recorder.stats import to_json

_MIB = 1 << 20
_META_BYTES = 100 * _MIB  # LeRobot's limit of a meta file, whatever info.json says of data files


@dataclass(frozen=True, slots=True)
class Built:
    """What was written: info.json, SHA-256 of every file by name, and where each kind ends."""

    info: Info
    files: Mapping[str, str]
    places: Mapping[str, tuple[int, int]]


def write_tree(
    folder: Path,
    sources: Sequence[Source],
    picks: Sequence[Pick],
    features: Mapping[str, Any],
    *,
    joined: Joined | None = None,
    used_tasks_only: bool = False,
) -> Built:
    """Write meta, data and videos of the picked episodes, in that order, under the new `folder`.

    `features` are those of the new dataset. With `joined`, videos are joined too. Raises
    DatasetError when a source is not whole; `folder` is the caller's to remove then.
    """
    first = sources[0].info
    tasks = statement.tasks_of(sources, picks, used_only=used_tasks_only)
    info = dict(first) | {"features": dict(features), "total_tasks": len(tasks)}
    rows = _write_data(folder, sources, picks, tasks, info)
    scenes: dict[str, list[Scene]] = {}
    known: dict[str, str] = {}
    places = {"data": rows.places[-1], "meta": (0, 0)}
    for key in sources[0].video_keys:
        scenes[key], reels, places[key] = write_videos(
            folder, key, sources, picks, info, joined=joined
        )
        known |= {reel.name: reel.sha256 for reel in reels if reel.sha256}
    episodes = statement.episodes_of(sources, picks, rows.facts, scenes)
    places["meta"] = _write_episodes(folder, episodes)
    layout.write_tasks(_file(folder, TASKS), tasks)
    stats = statement.stats_of(sources, picks, episodes)
    content = msgspec.json.format(msgspec.json.encode(to_json(stats)), indent=4)
    _file(folder, STATS).write_bytes(content)
    info |= {
        "total_episodes": len(picks),
        "total_frames": sum(fact.length for fact in rows.facts),
        "splits": {"train": f"0:{len(picks)}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if sources[0].video_keys else first.get("video_path"),
    }
    _file(folder, INFO).write_bytes(encode_info(info))
    if len(sources) == 1:
        _carry_meta(sources[0].root, folder)
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    files = {name: known.get(name) or sha256_of(folder / name) for name in names}
    return Built(info, files, places)


@dataclass(frozen=True, slots=True)
class _Rows:
    facts: list[statement.Fact]
    places: list[tuple[int, int]]


def _write_data(
    folder: Path, sources: Sequence[Source], picks: Sequence[Pick], tasks: list[str], info: Info
) -> _Rows:
    readers = [RowReader(source) for source in sources]
    numbers = {task: number for number, task in enumerate(tasks)}
    new_number = [np.array([numbers.get(t, -1) for t in source.tasks]) for source in sources]
    chunk_files = int(info.get("chunks_size", CHUNK_FILES))
    limit_bytes = float(info.get("data_files_size_in_mb") or 100) * _MIB
    facts, total = [], 0
    with _Rotating(folder, limit_bytes, chunk_files) as files:
        for index, pick in enumerate(picks):
            table = readers[pick.source].rows(pick.episode)
            ids = new_number[pick.source][table["task_index"].to_numpy()]
            if pick.task:
                ids = np.full(len(ids), numbers[pick.task])
            count = table.num_rows
            changed = {
                "episode_index": np.full(count, index),
                "index": np.arange(total, total + count),
                "task_index": ids,
            }
            place = files.write(_replaced(table, changed))
            used = [tasks[number] for number in dict.fromkeys(ids.tolist())]
            facts.append(statement.Fact(place, total, count, ids, tuple(used)))
            total += count
    return _Rows(facts, [fact.place for fact in facts])


def _replaced(table: pa.Table, columns: Mapping[str, npt.NDArray[Any]]) -> pa.Table:
    for name, values in columns.items():
        place = table.column_names.index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values).cast(field.type))
    return table


class _Rotating:
    """Data files one after the other, a row group an episode, each below `limit_bytes`.

    The types are those of the first rows; where others cannot take them, another file begins.
    """

    def __init__(self, folder: Path, limit_bytes: float, chunk_files: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._chunk_files = chunk_files
        self._place = (0, -1)
        self._writer: pq.ParquetWriter | None = None
        self._bytes = 0

    def write(self, table: pa.Table) -> tuple[int, int]:
        """Add an episode; returns (chunk, file) of where it went."""
        fitting = None if self._writer is None else _in_types_of(table, self._writer.schema)
        if (
            self._writer is None
            or fitting is None
            or self._bytes + table.nbytes >= self._limit_bytes
        ):
            self.close()
            self._place = following_place(self._place, self._chunk_files)
            name = DATA_PATH.format(chunk_index=self._place[0], file_index=self._place[1])
            self._writer = pq.ParquetWriter(_file(self._folder, name), table.schema)
            fitting, self._bytes = table, 0
        self._writer.write_table(fitting)
        self._bytes += table.nbytes
        return self._place

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> "_Rotating":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _in_types_of(table: pa.Table, schema: pa.Schema) -> pa.Table | None:
    if table.schema.equals(schema, check_metadata=False):
        return table.replace_schema_metadata(schema.metadata)
    if set(table.column_names) != set(schema.names):
        return None
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _write_episodes(folder: Path, episodes: pa.Table) -> tuple[int, int]:
    """The meta files: one, unless there are very many episodes. Returns the last place."""
    per_file = max(1, int(len(episodes) * _META_BYTES / max(episodes.nbytes, 1)))
    place = (0, -1)
    for start in range(0, len(episodes), per_file):
        place = following_place(place, CHUNK_FILES)
        part = episodes.slice(start, per_file)
        at = {"chunk_index": place[0], "file_index": place[1]}
        numbers = {f"meta/episodes/{name}": np.full(len(part), value) for name, value in at.items()}
        name = EPISODES_PATH.format(chunk_index=place[0], file_index=place[1])
        pq.write_table(_replaced(part, numbers), _file(folder, name))
    return place


def _carry_meta(root: Path, folder: Path) -> None:
    """What else there is under meta/ stays, whoever put it there."""
    for path in (root / "meta").iterdir():
        if path.name != "episodes" and not (folder / "meta" / path.name).exists():
            if path.is_dir():
                shutil.copytree(path, folder / "meta" / path.name)
            else:
                shutil.copyfile(path, folder / "meta" / path.name)


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
