"""A LeRobotDataset v3.0 made from another, with other numbers, more columns or other names.

What does not change is not touched: data files without a changed column and all videos are hard
links where the disk allows it. Statistics of what changes are computed anew, episode by episode;
every file keeps its place, so that the result can be laid beside its source.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder.durable import link_or_copy
from daemon.recorder.info import (
    DATA_PATH,
    EPISODES_PATH,
    INFO,
    STATS,
    VIDEO_PATH,
    Features,
    encode_info,
)
from daemon.recorder.source import RowReader, Source, read_source
from daemon.recorder.stats import Stats, aggregate, from_json, to_json, vector_stats
from dataset.columns import described, has_statistics, numbers, typed
from dataset.progress import Progress

_KNOWN = ("data", "videos", "images", "robotd")

type ChangeRows = Callable[[int, pa.Table], pa.Table]
"""(episode_index, its rows under their new names) -> its rows with changed and added columns."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What becomes of a dataset. `features` are those of the result, in its order.

    `renamed` maps the source's feature keys; `changed` are the result's features whose values are
    new, so that their statistics are computed. `robot_type` is the new one, "" the old.
    """

    features: Features
    renamed: Mapping[str, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    change_rows: ChangeRows | None = None
    link: bool = True
    robot_type: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What was made."""

    episodes: int
    frames: int


def rewrite(root: Path, target: Path, edit: Edit, progress: Progress) -> Written:
    """Make the dataset in the empty folder `target`, without its sidecar; `info.json` is last.

    Raises DatasetError when the source is not whole.
    """
    source = read_source(root)
    stats = _write_data(source, target, edit, progress)
    _place_videos(source, target, edit, progress)
    _write_episodes(source, target, edit, stats)
    _carry_rest(root, target)
    totals = msgspec.json.encode(to_json(_total_stats(root, edit, stats)))
    (target / STATS).write_bytes(msgspec.json.format(totals, indent=4))
    info = source.info | {"features": edit.features, "data_path": DATA_PATH}
    info["robot_type"] = edit.robot_type or info.get("robot_type")
    info["video_path"] = VIDEO_PATH if info.get("video_path") else None
    (target / INFO).write_bytes(encode_info(info))
    return Written(len(source.episodes), int(info["total_frames"]))


def _write_data(source: Source, target: Path, edit: Edit, progress: Progress) -> list[Stats]:
    """The data files; returns the statistics of what changed, by episode."""
    files: dict[tuple[int, int], list[int]] = defaultdict(list)
    chunks, numbers_of = source.column("data/chunk_index"), source.column("data/file_index")
    for episode, place in enumerate(zip(chunks, numbers_of, strict=True)):
        files[place].append(episode)
    stats: list[Stats] = [{} for _ in chunks]
    stored = {key for key, each in edit.features.items() if each["dtype"] != "video"}
    untouched = edit.change_rows is None and stored.isdisjoint(edit.renamed.values())
    reader = RowReader(source)
    for done, (place, episodes) in enumerate(sorted(files.items())):
        progress("data", done, len(files))
        path = target / DATA_PATH.format(chunk_index=place[0], file_index=place[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        if untouched:
            link_or_copy(source.data_path(*place), path, link=edit.link)
            continue
        writer: pq.ParquetWriter | None = None
        for episode in episodes:
            rows = reader.rows(episode)
            rows = rows.rename_columns([edit.renamed.get(each, each) for each in rows.column_names])
            if edit.change_rows is not None:
                rows = edit.change_rows(episode, rows)
            columns = {name: typed(rows[name], edit.features[name]) for name in _stored(edit)}
            for name in edit.changed:
                if has_statistics(edit.features[name]):
                    stats[episode][name] = vector_stats(numbers(columns[name]))
            table = described(pa.table(columns), edit.features)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
    return stats


def _stored(edit: Edit) -> list[str]:
    return [name for name, feature in edit.features.items() if feature["dtype"] != "video"]


def _place_videos(source: Source, target: Path, edit: Edit, progress: Progress) -> None:
    for old in source.video_keys:
        new = edit.renamed.get(old, old)
        at = f"videos/{old}"
        places = zip(
            source.column(f"{at}/chunk_index"), source.column(f"{at}/file_index"), strict=True
        )
        every = sorted(set(places))
        for done, (chunk, file) in enumerate(every):
            progress(new, done, len(every))
            name = VIDEO_PATH.format(video_key=new, chunk_index=chunk, file_index=file)
            old_path = source.root / source.video_name(old, chunk, file)
            link_or_copy(old_path, target / name, link=edit.link)


def _write_episodes(source: Source, target: Path, edit: Edit, stats: list[Stats]) -> None:
    """The meta file, with the statistics of what changed: one file, whatever the source had."""
    table = source.episodes
    names = [_meta_name(each, edit.renamed) for each in table.column_names]
    columns = dict(zip(names, table.columns, strict=True))
    for name in edit.changed:
        every = [to_json(each).get(name, {}) for each in stats]
        for stat in next((each for each in every if each), {}):
            column = f"stats/{name}/{stat}"
            kind = columns[column].type if column in columns else None
            columns[column] = pa.array([each.get(stat) for each in every], kind)
    for part in ("chunk_index", "file_index"):
        columns[f"meta/episodes/{part}"] = pa.array(np.zeros(len(table), np.int64))
    path = target / EPISODES_PATH.format(chunk_index=0, file_index=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def _meta_name(name: str, renamed: Mapping[str, str]) -> str:
    for old, new in renamed.items():
        for kind in ("videos", "stats"):
            if name.startswith(f"{kind}/{old}/"):
                return f"{kind}/{new}/{name.removeprefix(f'{kind}/{old}/')}"
    return name


def _carry_rest(root: Path, target: Path) -> None:
    """Tasks, and what else lies in the dataset that nobody here knows: cards, notes."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        ours = str(name) in (INFO, STATS) or name.parts[:2] == ("meta", "episodes")
        if ours or path.is_dir() or name.parts[0] in _KNOWN or name.parts[0].startswith("."):
            continue
        link_or_copy(path, target / name, link=False)


def _total_stats(root: Path, edit: Edit, fresh: list[Stats]) -> Stats:
    """stats.json: what changed from its episodes, all else as it was."""
    path = root / STATS
    kept = from_json(msgspec.json.decode(path.read_bytes())) if path.exists() else {}
    stats = {edit.renamed.get(name, name): each for name, each in kept.items()}
    return {name: each for name, each in stats.items() if name in edit.features} | aggregate(fresh)
