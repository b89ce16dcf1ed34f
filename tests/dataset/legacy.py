"""A dataset in LeRobot's format v2.1, as LeRobot 0.2 and 0.3 left it on the disk.

One parquet and one mp4 an episode, JSON lines under meta/, statistics without quantiles. Its rows
are those of `tests/recording/episodes.py`, so that every frame says which it is.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder.durable import AppendFile
from daemon.recorder.schema import EpisodeSpec
from daemon.recorder.stats import to_json, vector_stats
from daemon.recorder.video import VideoWriter, remux

from ..recording.episodes import make_frames, make_row

_DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
_OLD_STATS = ("min", "max", "mean", "std", "count")


def write_v21(root: Path, spec: EpisodeSpec, episodes: Sequence[range]) -> None:
    """Episodes of the given row numbers; the tasks alternate between two sentences."""
    tasks = [spec.task, "put it back"]
    first = 0
    about, stats = [], []
    for index, numbers in enumerate(episodes):
        table = _table(spec, index, first, numbers, index % 2)
        path = root / _DATA.format(episode_chunk=0, episode_index=index)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        for camera in spec.cameras:
            path = root / _VIDEO.format(episode_chunk=0, episode_index=index, video_key=camera.key)
            _write_video(path, spec, camera.name, numbers)
        about.append({"episode_index": index, "tasks": [tasks[index % 2]], "length": len(numbers)})
        stats.append({"episode_index": index, "stats": _stats(table)})
        first += len(numbers)
    _write_meta(root, spec, first, about, stats, tasks)


def _table(spec: EpisodeSpec, index: int, first: int, numbers: range, task: int) -> pa.Table:
    rows = [make_row(spec, number) for number in numbers]
    frame = np.arange(len(rows))
    return pa.table(
        {
            "action": pa.array([row.action.tolist() for row in rows], pa.list_(pa.float32())),
            "observation.state": pa.array(
                [row.state.tolist() for row in rows], pa.list_(pa.float32())
            ),
            "timestamp": pa.array((frame / spec.fps).astype(np.float32)),
            "frame_index": pa.array(frame),
            "episode_index": pa.array(np.full(len(rows), index)),
            "index": pa.array(frame + first),
            "task_index": pa.array(np.full(len(rows), task)),
        }
    )


def _write_video(path: Path, spec: EpisodeSpec, camera: str, numbers: range) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = path.with_suffix(".raw")
    height, width = spec.cameras[0].height, spec.cameras[0].width
    with AppendFile(raw) as sink:
        writer = VideoWriter(sink, width, height, spec.fps, spec.video_crf)
        for number in numbers:
            writer.append(make_frames(spec, number)[camera])
        writer.close()
    remux(raw, path, len(numbers))
    raw.unlink()


def _stats(table: pa.Table) -> dict[str, Any]:
    columns = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    every = to_json({name: vector_stats(values) for name, values in columns.items()})
    return {name: {each: one[each] for each in _OLD_STATS} for name, one in every.items()}


def _write_meta(
    root: Path,
    spec: EpisodeSpec,
    frames: int,
    about: list[dict[str, Any]],
    stats: list[dict[str, Any]],
    tasks: list[str],
) -> None:
    names = [each.removesuffix(".pos") for each in spec.state_names]
    features: dict[str, Any] = {
        "action": {"dtype": "float32", "shape": [6], "names": names},
        "observation.state": {"dtype": "float32", "shape": [6], "names": {"motors": names}},
    }
    for camera in spec.cameras:
        features[camera.key] = {
            "dtype": "video",
            "shape": [camera.height, camera.width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": camera.height,
                "video.width": camera.width,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": spec.fps,
                "video.channels": 3,
                "has_audio": False,
            },
        }
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for name in ("frame_index", "episode_index", "index", "task_index"):
        features[name] = {"dtype": "int64", "shape": [1], "names": None}
    info = {
        "codebase_version": "v2.1",
        "robot_type": "so101",
        "total_episodes": len(about),
        "total_frames": frames,
        "total_tasks": len(tasks),
        "total_videos": len(about) * len(spec.cameras),
        "total_chunks": 1,
        "chunks_size": 1000,
        "fps": spec.fps,
        "splits": {"train": f"0:{len(about)}"},
        "data_path": _DATA,
        "video_path": _VIDEO,
        "features": features,
    }
    meta = root / "meta"
    meta.mkdir(parents=True)
    (meta / "info.json").write_text(json.dumps(info, indent=4))
    pages = {
        "episodes": about,
        "episodes_stats": stats,
        "tasks": [{"task_index": number, "task": task} for number, task in enumerate(tasks)],
    }
    for name, lines in pages.items():
        (meta / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
