"""A LeRobotDataset v3.0 made from another: some columns changed, some episodes left out.

What does not change is not touched: a data file without a changed column and every video are hard
links where the disk allows it. Statistics of what changes are computed anew, episode by episode;
all files keep their places, so that the result can be compared with its source.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder import layout
from daemon.recorder.info import (
    DATA_PATH,
    INFO,
    STATS,
    VIDEO_PATH,
    Features,
    encode_info,
    load_info,
)
from daemon.recorder.stats import Stats, aggregate, from_json, to_json, vector_stats
from dataset.building import place_file
from dataset.columns import described, has_statistics, numbers, typed
from dataset.progress import Progress
from robotd.errors import DatasetError

COUNTERS = ("episode_index", "index")
_SPECIAL = ("data", "videos", "images", "robotd")

type ChangeRows = Callable[[int, pa.Table], pa.Table]
"""(episode_index in the source, its rows) -> its rows with changed and added columns."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What becomes of a dataset. `features` are those of the result, in its order.

    `renamed` maps the source's feature keys; `changed` are the result's features whose statistics
    are computed anew; `episodes` are the source's that stay (None: all).
    """

    features: Features
    renamed: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    change_rows: ChangeRows | None = None
    episodes: tuple[int, ...] | None = None
    link: bool = True


@dataclass(frozen=True, slots=True)
class Written:
    """What was made. `numbering` maps the source's episode_index to the result's."""

    numbering: Mapping[int, int]
    frames: int


def rewrite(source: Path, target: Path, edit: Edit, progress: Progress) -> Written:
    """Make the dataset in the empty folder `target`, without its sidecar; `info.json` is last.

    Raises DatasetError when the source is not whole.
    """
    return _Rewriting(source, target, edit, progress).run()


class _Rewriting:
    """One run: the state that its steps share."""

    def __init__(self, source: Path, target: Path, edit: Edit, progress: Progress) -> None:
        info = load_info(source)
        if info is None:
            raise DatasetError(
                f"There is no dataset at {source}.",
                "It was moved away meanwhile.",
                "`robotd dataset list` shows what there is.",
            )
        self.source, self.target, self.edit, self.progress = source, target, edit, progress
        self.info = info
        layout.last_places(source, info)  # refuses what is not whole
        episodes = layout.read_episodes(source)
        kept = range(len(episodes)) if edit.episodes is None else edit.episodes
        self.episodes = [episodes[index] for index in kept]
        self.numbering = {old: new for new, old in enumerate(kept)}
        self.is_subset = len(self.episodes) < len(episodes)
        self.firsts: dict[int, int] = {}
        self.frames = 0
        for row in self.episodes:
            self.firsts[int(row["episode_index"])] = self.frames
            self.frames += int(row["length"])
        counters = COUNTERS if self.is_subset else ()
        self.changed = tuple(dict.fromkeys((*edit.changed, *counters)))
        self.stats: dict[int, Stats] = defaultdict(dict)

    def run(self) -> Written:
        self._data()
        self._videos()
        self._meta()
        self._rest()
        self._totals()
        return Written(self.numbering, self.frames)

    def _data(self) -> None:
        files: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row in self.episodes:
            files[row["data/chunk_index"], row["data/file_index"]].append(row["episode_index"])
        lengths = {int(row["episode_index"]): int(row["length"]) for row in self.episodes}
        stored = {key for key, each in self.edit.features.items() if each["dtype"] != "video"}
        same_columns = not any(new in stored for new in self.edit.renamed.values())
        for done, ((chunk, file), indices) in enumerate(sorted(files.items())):
            self.progress("data", done, len(files))
            name = (self.info.get("data_path") or DATA_PATH).format(
                chunk_index=chunk, file_index=file
            )
            path = self.target / DATA_PATH.format(chunk_index=chunk, file_index=file)
            if self.edit.change_rows is None and same_columns and not self.is_subset:
                self._place(self.source / name, path)
                continue
            table = _read(self.source / name)
            table = table.rename_columns(
                [self.edit.renamed.get(each, each) for each in table.column_names]
            )
            numbers_of = np.asarray(table["episode_index"])
            path.parent.mkdir(parents=True, exist_ok=True)
            writer: pq.ParquetWriter | None = None
            for index in indices:
                at = np.flatnonzero(numbers_of == index)
                if len(at) != lengths[index]:
                    raise DatasetError(
                        f"{name} has {len(at)} rows of episode {index}, which counts "
                        f"{lengths[index]}.",
                        "The dataset's recording was killed, or a file was copied in part.",
                        "`robotd dataset check` says what is whole; repair it first.",
                    )
                rows = self._episode(index, table.slice(at[0], len(at)))
                writer = writer or pq.ParquetWriter(path, rows.schema)
                writer.write_table(rows)
            if writer is not None:
                writer.close()

    def _episode(self, index: int, rows: pa.Table) -> pa.Table:
        """The rows of one episode as they will be stored; notes its statistics."""
        if self.edit.change_rows is not None:
            rows = self.edit.change_rows(index, rows)
        if self.is_subset:
            count = rows.num_rows
            first = self.firsts[index]
            counters = {
                "episode_index": pa.array(np.full(count, self.numbering[index], np.int64)),
                "index": pa.array(np.arange(first, first + count)),
            }
            for name, values in counters.items():
                rows = rows.set_column(rows.column_names.index(name), name, values)
        columns = {
            name: typed(rows[name], feature)
            for name, feature in self.edit.features.items()
            if name in rows.column_names
        }
        for name in self.changed:
            if has_statistics(self.edit.features[name]):
                self.stats[index][name] = vector_stats(numbers(columns[name]))
        return described(pa.table(columns), self.edit.features)

    def _videos(self) -> None:
        for old, feature in self.info["features"].items():
            if feature["dtype"] != "video":
                continue
            new = self.edit.renamed.get(old, old)
            places = sorted(
                {
                    (row[f"videos/{old}/chunk_index"], row[f"videos/{old}/file_index"])
                    for row in self.episodes
                }
            )
            for done, (chunk, file) in enumerate(places):
                self.progress(f"video {new.removeprefix('observation.images.')}", done, len(places))
                keys = {"chunk_index": chunk, "file_index": file}
                name = (self.info.get("video_path") or VIDEO_PATH).format(video_key=old, **keys)
                self._place(
                    self.source / name, self.target / VIDEO_PATH.format(video_key=new, **keys)
                )

    def _meta(self) -> None:
        for path in sorted((self.source / "meta/episodes").glob("*/*.parquet")):
            table = _read(path)
            numbers_of = table["episode_index"].to_pylist()
            at = [place for place, index in enumerate(numbers_of) if index in self.numbering]
            if not at:
                continue
            table = table.take(at)
            indices = [numbers_of[place] for place in at]
            table = table.rename_columns([self._meta_name(each) for each in table.column_names])
            columns = {name: table[name] for name in table.column_names}
            firsts = [self.firsts[index] for index in indices]
            lengths = table["length"].to_pylist()
            columns["episode_index"] = pa.array([self.numbering[index] for index in indices])
            columns["dataset_from_index"] = pa.array(firsts)
            columns["dataset_to_index"] = pa.array(
                [first + length for first, length in zip(firsts, lengths, strict=True)]
            )
            for name in self.changed:
                every = [to_json(self.stats[index]).get(name) for index in indices]
                for stat in next((each for each in every if each), {}):
                    column = f"stats/{name}/{stat}"
                    kind = columns[column].type if column in columns else None
                    values = [each[stat] if each else None for each in every]
                    columns[column] = pa.array(values, kind)
            target = self.target / path.relative_to(self.source)
            target.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), target)

    def _meta_name(self, name: str) -> str:
        for old, new in self.edit.renamed.items():
            for kind in ("videos", "stats"):
                if name.startswith(f"{kind}/{old}/"):
                    return f"{kind}/{new}/{name.removeprefix(f'{kind}/{old}/')}"
        return name

    def _rest(self) -> None:
        """Tasks, and what else lies in the dataset that nobody here knows: cards, notes."""
        for path in sorted(self.source.rglob("*")):
            name = path.relative_to(self.source)
            known = str(name) in (INFO, STATS) or name.parts[:2] == ("meta", "episodes")
            if path.is_dir() or known or name.parts[0] in _SPECIAL or name.parts[0][0] == ".":
                continue
            place_file(path, self.target / name, link=False)

    def _totals(self) -> None:
        stats = self._total_stats()
        (self.target / STATS).write_bytes(
            msgspec.json.format(msgspec.json.encode(to_json(stats)), indent=4)
        )
        info = self.info | {"features": self.edit.features, "data_path": DATA_PATH}
        if info.get("video_path"):
            info["video_path"] = VIDEO_PATH
        if self.is_subset:
            count = len(self.episodes)
            info |= {
                "total_episodes": count,
                "total_frames": self.frames,
                "splits": {"train": f"0:{count}"},
            }
        (self.target / INFO).write_bytes(encode_info(info))

    def _total_stats(self) -> Stats:
        path = self.source / STATS
        if self.is_subset or not path.exists():
            return aggregate(layout.read_episode_stats(self.target))
        stats = {
            self.edit.renamed.get(name, name): each
            for name, each in from_json(msgspec.json.decode(path.read_bytes())).items()
        }
        every: Sequence[Stats] = [self.stats[int(row["episode_index"])] for row in self.episodes]
        fresh = aggregate([{name: each[name] for name in each} for each in every])
        return {name: each for name, each in stats.items() if name in self.edit.features} | fresh

    def _place(self, source: Path, target: Path) -> None:
        if not source.exists():
            raise DatasetError(
                f"{source} is missing.",
                "The dataset was copied or downloaded in part.",
                "Copy it again; `robotd dataset check` says what is whole.",
            )
        place_file(source, target, link=self.edit.link)


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{path} cannot be read: {error}.",
            "The recording of this dataset was killed, or the file was copied in part.",
            "`robotd dataset check` says what is whole; repair it first.",
        ) from error
