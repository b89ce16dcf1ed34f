"""From LeRobot's format v2.1 (or v2.0) to v3.0: a file an episode stays a file an episode.

v2.1 has `data/chunk-000/episode_000000.parquet`, `videos/chunk-000/KEY/episode_000000.mp4` and JSON
lines under `meta/`. Its videos are linked as they are. Its statistics lack the quantiles that newer
policies normalise by, so all are computed anew, of pictures from what the videos decode to.
LeRobot's own script works in place, takes the old statistics over and pairs files with episodes by
their order alone; here every video must have as many frames as its episode has rows.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder import layout, video
from daemon.recorder.durable import link_or_copy
from daemon.recorder.info import (
    BOOKKEEPING,
    CHUNK_FILES,
    DATA_PATH,
    EPISODES_PATH,
    INFO,
    STATS,
    TASKS,
    VERSION,
    VIDEO_PATH,
    Features,
    encode_info,
)
from daemon.recorder.staging import video_stats
from daemon.recorder.stats import Stats, aggregate, from_json, to_json, vector_stats
from dataset.columns import described, has_statistics, numbers, typed
from dataset.converting.source import Source
from dataset.progress import Progress
from robotd.errors import DatasetError

_DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
_EPISODES, _TASKS, _STATS = "meta/episodes.jsonl", "meta/tasks.jsonl", "meta/episodes_stats.jsonl"
_GONE = ("total_chunks", "total_videos")


def upgrade(source: Source, target: Path, *, link: bool, progress: Progress) -> tuple[str, ...]:
    """Make the v3.0 dataset in the new folder `target`; returns notes for a person.

    Raises DatasetError where an episode's rows, videos or tasks are not those that are listed.
    """
    episodes = _lines(source.root / _EPISODES)
    tasks = {int(each["task_index"]): str(each["task"]) for each in _lines(source.root / _TASKS)}
    numbers_of_tasks = {old: new for new, old in enumerate(sorted(tasks))}
    old_stats = {
        int(each["episode_index"]): each["stats"]
        for each in (_lines(source.root / _STATS) if (source.root / _STATS).exists() else [])
    }
    episodes.sort(key=lambda each: int(each["episode_index"]))
    features = _features(source, [int(each["episode_index"]) for each in episodes])
    notes = []
    if [int(each["episode_index"]) for each in episodes] != list(range(len(episodes))):
        notes.append("The episodes were not numbered 0, 1, 2, …; they are now.")
    every: list[Stats] = []
    first = 0
    for number, episode in enumerate(episodes):
        progress("episodes", number, len(episodes))
        old = int(episode["episode_index"])
        place = (number // CHUNK_FILES, number % CHUNK_FILES)
        rows = _rows(source, old, int(episode["length"]))
        columns = _columns(rows, features, number, first, numbers_of_tasks, source, old)
        stats: Stats = {
            name: vector_stats(numbers(columns[name]))
            for name, feature in features.items()
            if has_statistics(feature)
        }
        facts: dict[str, Any] = {
            "episode_index": number,
            "tasks": [str(task) for task in episode["tasks"]],
            "length": rows.num_rows,
            "data/chunk_index": place[0],
            "data/file_index": place[1],
            "dataset_from_index": first,
            "dataset_to_index": first + rows.num_rows,
        }
        for key, feature in features.items():
            if feature["dtype"] == "image":
                kept = _kept_stats(old_stats.get(old, {}), key)
                stats |= {key: kept} if kept else {}
            if feature["dtype"] != "video":
                continue
            path = _video(source, old, key)
            stats[key] = video_stats(path, rows.num_rows)
            _put(path, target, VIDEO_PATH, place, link=link, video_key=key)
            facts[f"videos/{key}/chunk_index"], facts[f"videos/{key}/file_index"] = place
            facts[f"videos/{key}/from_timestamp"] = 0.0
            facts[f"videos/{key}/to_timestamp"] = rows.num_rows / int(source.info["fps"])
        _write(target, DATA_PATH, place, described(pa.table(columns), features))
        meta = target / EPISODES_PATH.format(chunk_index=place[0], file_index=place[1])
        meta.parent.mkdir(parents=True, exist_ok=True)
        layout.write_episode(meta, facts, stats, place)
        every.append(stats)
        first += rows.num_rows
    layout.write_tasks(target / TASKS, [tasks[old] for old in sorted(tasks)])
    total = msgspec.json.encode(to_json(aggregate(every)))
    (target / STATS).write_bytes(msgspec.json.format(total, indent=4))
    (target / INFO).write_bytes(
        encode_info(_info(source, features, len(episodes), first, len(tasks)))
    )
    return tuple(notes)


def _info(
    source: Source, features: Features, episodes: int, frames: int, tasks: int
) -> dict[str, Any]:
    has_videos = any(each["dtype"] == "video" for each in features.values())
    kept = {key: each for key, each in source.info.items() if key not in _GONE}
    return kept | {
        "codebase_version": VERSION,
        "fps": int(source.info["fps"]),
        "features": features,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if has_videos else None,
        "splits": {"train": f"0:{episodes}"},
    }


def _features(source: Source, episodes: list[int]) -> Features:
    """The features in v3.0's words; of a video what its first file says."""
    features: Features = {}
    for key, old in source.features.items():
        feature = {name: old.get(name) for name in ("dtype", "shape", "names")}
        if feature["dtype"] == "video":
            noted = old.get("info") or old.get("video_info") or {}
            probed = video.probe(_video(source, episodes[0], key)) if episodes else {}
            feature["info"] = {**noted, **probed}
        elif feature["dtype"] != "image":
            feature["names"] = _flat(feature["names"])
        features[key] = feature
    for key, dtype in BOOKKEEPING.items():
        features.setdefault(key, {"dtype": dtype, "shape": [1], "names": None})
    return features


def _flat(names: Any) -> Any:
    """Joint names as a list; older datasets nest them in {"motors": […]}."""
    return next(iter(names.values()), None) if isinstance(names, Mapping) else names


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [dict(json.loads(line)) for line in path.read_text("utf-8").splitlines() if line]
    except (OSError, ValueError, TypeError) as error:
        raise _not_whole(f"{path} cannot be read: {error}") from error


def _name(source: Source, template: str, default: str, episode: int, **keys: str) -> str:
    chunk = episode // int(source.info.get("chunks_size", CHUNK_FILES))
    pattern = str(source.info.get(template) or default)
    return pattern.format(episode_chunk=chunk, episode_index=episode, **keys)


def _rows(source: Source, episode: int, length: int) -> pa.Table:
    path = source.root / _name(source, "data_path", _DATA, episode)
    try:
        rows = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise _not_whole(f"{path} cannot be read: {error}") from error
    if rows.num_rows != length:
        raise _not_whole(f"episode {episode} lists {length} rows, {path} has {rows.num_rows}")
    return rows


def _columns(
    rows: pa.Table,
    features: Features,
    number: int,
    first: int,
    numbers_of_tasks: Mapping[int, int],
    source: Source,
    episode: int,
) -> dict[str, pa.Array]:
    count = rows.num_rows
    frame = np.arange(count)
    tasks = numbers(rows["task_index"]) if "task_index" in rows.column_names else np.zeros(count)
    unknown = sorted({int(each) for each in tasks.reshape(-1)} - set(numbers_of_tasks))
    if unknown:
        raise _not_whole(f"episode {episode} has task {unknown[0]}, which {_TASKS} does not list")
    counted: dict[str, npt.NDArray[Any]] = {
        "timestamp": frame / int(source.info["fps"]),
        "frame_index": frame,
        "episode_index": np.full(count, number),
        "index": frame + first,
        "task_index": np.array([numbers_of_tasks[int(each)] for each in tasks.reshape(-1)]),
    }
    columns: dict[str, pa.Array] = {}
    for name, feature in features.items():
        if feature["dtype"] == "video":
            continue
        if name in counted:
            columns[name] = pa.array(counted[name].astype(feature["dtype"]))
        elif name in rows.column_names:
            columns[name] = typed(rows[name], feature)
        else:
            raise _not_whole(f"episode {episode} has no column {name}")
    return columns


def _video(source: Source, episode: int, key: str) -> Path:
    path = source.root / _name(source, "video_path", _VIDEO, episode, video_key=key)
    if not path.exists():
        raise _not_whole(f"{path} is missing")
    return path


def _kept_stats(stats: Mapping[str, Any], key: str) -> dict[str, npt.NDArray[Any]] | None:
    """What v2.1 says of pictures that are stored in the rows: taken over, without quantiles."""
    return from_json({key: stats[key]})[key] if key in stats else None


def _put(
    path: Path, target: Path, template: str, place: tuple[int, int], *, link: bool, **keys: str
) -> None:
    name = template.format(chunk_index=place[0], file_index=place[1], **keys)
    link_or_copy(path, target / name, link=link)


def _write(target: Path, template: str, place: tuple[int, int], table: pa.Table) -> None:
    path = target / template.format(chunk_index=place[0], file_index=place[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _not_whole(what: str) -> DatasetError:
    return DatasetError(
        f"This dataset cannot be converted: {what}.",
        "It was recorded by a LeRobot that was killed, or copied in part.",
        "Download or copy it again.",
    )
