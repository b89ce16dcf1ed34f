"""A dataset's episodes as they lie there, read to be written anew: facts, statistics, rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from daemon.recorder import layout
from daemon.recorder.history import present_files
from daemon.recorder.info import DATA_PATH, EPISODES_PATH, VIDEO_PATH, Info, load_info
from daemon.recorder.transaction import read_commits
from robotd.errors import DatasetError

_REPAIR = "robotd dataset check NAME says what is wrong with it; with --fix it mends a copy."


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset as it was when it was read. `episodes` has a row an episode, by episode_index,
    with every column of its meta files; `sha256` is what robotd knows of its files by name."""

    root: Path
    info: Info
    tasks: tuple[str, ...]
    episodes: pa.Table
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def video_keys(self) -> list[str]:
        """Its cameras' features."""
        features = self.info["features"].items()
        return [name for name, feature in features if feature["dtype"] == "video"]

    def column(self, name: str) -> list[Any]:
        """A column of the episodes. Raises DatasetError when the dataset has none of that name."""
        if name not in self.episodes.column_names:
            raise DatasetError(
                f"The episodes of {self.root} have no column {name}.",
                "The dataset was made by another program than LeRobot, or damaged.",
                _REPAIR,
            )
        return list(self.episodes[name].to_pylist())

    def data_path(self, chunk: int, file: int) -> Path:
        """A file of rows."""
        name = self.info.get("data_path") or DATA_PATH
        return self.root / str(name).format(chunk_index=chunk, file_index=file)

    def video_name(self, key: str, chunk: int, file: int) -> str:
        """A camera's file, relative to the dataset."""
        name = str(self.info.get("video_path") or VIDEO_PATH)
        return name.format(video_key=key, chunk_index=chunk, file_index=file)


def read_source(root: Path) -> Source:
    """The dataset in `root`. Raises DatasetError when it has no episode, or is not whole."""
    info = load_info(root)
    if info is None or not info["total_episodes"]:
        raise DatasetError(
            f"There is no episode in {root}.",
            "The name is misspelt, or everything was taken out again.",
            "`robotd dataset list` shows what there is.",
        )
    return Source(
        root,
        info,
        tuple(layout.read_tasks(root)),
        _episodes(root, int(info["total_episodes"])),
        present_files(read_commits(root)),
    )


def joined_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """Meta tables one below the other, in the types of the first, as far as these hold the rest."""
    first = tables[0]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowInvalid:
        names = [n for n in first.column_names if all(n in each.column_names for each in tables)]
        schema = first.select(names).schema.remove_metadata()
        return pa.concat_tables([each.select(names).cast(schema) for each in tables])


def _episodes(root: Path, count: int) -> pa.Table:
    tables = []
    for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
        try:
            tables.append(pq.ParquetFile(path).read())
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(
                f"{path} cannot be read: {error}.",
                "Its writer was killed, or the file was damaged.",
                _REPAIR,
            ) from error
    if tables:
        table = joined_tables(tables).sort_by("episode_index")
        # An episode that is being saved just now has its files before info.json counts it.
        table = table.filter(pc.less(table["episode_index"], count)).combine_chunks()
        if table["episode_index"].to_pylist() == list(range(count)):
            return table
    raise DatasetError(
        f"{root} counts {count} episodes but does not list them under "
        f"{EPISODES_PATH.split('/chunk', maxsplit=1)[0]}.",
        "LeRobot was killed while it recorded into this dataset.",
        _REPAIR,
    )


class RowReader:
    """The rows of a dataset, an episode at a time; keeps the file that it read last."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lengths = source.column("length")
        self._files = list(
            zip(source.column("data/chunk_index"), source.column("data/file_index"), strict=True)
        )
        self._open: tuple[tuple[int, int], pa.Table] | None = None

    def rows(self, episode: int) -> pa.Table:
        """Raises DatasetError when the file does not hold the episode's rows."""
        place = self._files[episode]
        path = self._source.data_path(*place)
        if self._open is None or self._open[0] != place:
            try:
                self._open = place, pq.ParquetFile(path).read()
            except pa.ArrowInvalid as error:
                raise _damaged(path, str(error)) from error
        table = self._open[1]
        found = np.flatnonzero(table["episode_index"].to_numpy() == episode)
        if len(found) != self._lengths[episode] or not len(found):
            what = (
                f"it holds {len(found)} rows of episode {episode}, {self._lengths[episode]} count"
            )
            raise _damaged(path, what)
        first, last = int(found[0]), int(found[-1])
        whole = last - first + 1 == len(found)
        return table.slice(first, len(found)) if whole else table.take(found)


def _damaged(path: Path, what: str) -> DatasetError:
    return DatasetError(
        f"{path} is not whole: {what}.", "It was damaged, or copied in part.", _REPAIR
    )
