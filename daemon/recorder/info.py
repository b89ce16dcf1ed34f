"""`meta/info.json` and the features of a dataset: made, read, and compared with what we record.

LeRobot merges and trains only on identical features, so what robotd would append has to match name
for name; where it does not, the error says which and what to map.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.recorder.schema import EpisodeSpec
from daemon.recorder.tables import ACTION, ENVIRONMENT, STATE
from robotd.errors import DatasetError

VERSION = "v3.0"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
CHUNK_FILES = 1000  # LeRobot's files per chunk folder
_PLACE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
EPISODES_PATH = f"meta/episodes/{_PLACE}.parquet"
DATA_PATH = f"data/{_PLACE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{_PLACE}.mp4"
BOOKKEEPING = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
"""The columns LeRobot adds to every dataset, with their types."""

type Features = dict[str, dict[str, Any]]
type Info = dict[str, Any]


def features_of(spec: EpisodeSpec) -> Features:
    """The features LeRobot would write for this robot, in its order; videos not probed yet."""
    features: Features = {
        ACTION: _vector(spec.action_names),
        STATE: _vector(spec.state_names),
    }
    if spec.environment_names:
        features[ENVIRONMENT] = _vector(spec.environment_names)
    for camera in spec.cameras:
        features[camera.key] = {
            "dtype": "video",
            "shape": [camera.height, camera.width, 3],
            "names": ["height", "width", "channels"],
            "info": {"is_depth_map": False},
        }
    for name, dtype in BOOKKEEPING.items():
        features[name] = {"dtype": dtype, "shape": [1], "names": None}
    return features


def _vector(names: tuple[str, ...]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [len(names)], "names": list(names)}


def new_info(spec: EpisodeSpec) -> Info:
    """The info.json of a dataset with no episode."""
    return {
        "codebase_version": VERSION,
        "fps": spec.fps,
        "features": features_of(spec),
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if spec.cameras else None,
        "robot_type": spec.robot_type,
        "splits": {},
    }


def load_info(root: Path) -> Info | None:
    """The info.json under `root`; None where no dataset is. Raises DatasetError if unreadable."""
    path = root / INFO
    if not path.exists():
        return None
    try:
        info = json.loads(path.read_bytes())
        version = info["codebase_version"]
        _ = info["fps"], info["features"], info["total_episodes"], info["total_frames"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path} is not the info of a LeRobot dataset: {error!r}.",
            "The file was damaged, or an older program was killed while it wrote it.",
            "Restore it from the hub or a backup, or record into another dataset.",
        ) from error
    if version != VERSION:
        raise DatasetError(
            f"{root} is a LeRobot dataset of version {version}; robotd reads and writes {VERSION}.",
            "It was recorded with an older LeRobot.",
            "Convert it: robotd dataset convert NAME --out NEW",
        )
    return dict(info)


def encode_info(info: Info) -> bytes:
    """info.json as LeRobot formats it."""
    return json.dumps(info, indent=4, ensure_ascii=False).encode()


def check_fits(info: Info, spec: EpisodeSpec, root: Path) -> None:
    """Raise DatasetError when episodes of `spec` cannot join the dataset described by `info`."""
    do = "Record into a new dataset (--dataset NAME)"
    if info["fps"] != spec.fps:
        raise DatasetError(
            f"{root} has {info['fps']} frames per second, this robot records {spec.fps}.",
            "The dataset was recorded with another profile.",
            f"{do}, or set `fps: {info['fps']}` in the robot's profile.",
        )
    robot_type = info.get("robot_type")
    if robot_type is not None and robot_type != spec.robot_type:
        raise DatasetError(
            f"{root} was recorded with a {robot_type!r}, this robot is a {spec.robot_type!r}.",
            "The dataset belongs to another robot.",
            f"{do}: LeRobot merges only datasets of one robot type.",
        )
    problems = feature_differences(info["features"], features_of(spec), spec.fps)
    if problems:
        raise DatasetError(
            f"{root} has other features than this robot records: {'; '.join(problems)}.",
            "Cameras or joints were renamed, resized, added or removed since it was recorded.",
            f"{do}, or map them: give the camera in the robot's profile the name and size that "
            "the dataset has, or remove what it does not have.",
        )


def feature_differences(existing: Features, wanted: Features, fps: int) -> list[str]:
    """What keeps `wanted` from being appended to `existing`, one phrase each; empty if nothing."""
    problems = [f"it lacks {name}" for name in wanted if name not in existing]
    problems += [f"it also has {name}" for name in existing if name not in wanted]
    for name in (name for name in wanted if name in existing):
        have, want = existing[name], wanted[name]
        for part in ("dtype", "shape", "names"):
            theirs, ours = _plain(have.get(part)), _plain(want.get(part))
            if theirs != ours:
                problems.append(f"{name} has {part} {theirs} instead of {ours}")
        if have.get("dtype") == want["dtype"] == "video":
            problems += _video_differences(name, have, fps)
    return problems


def _video_differences(name: str, feature: Mapping[str, Any], fps: int) -> list[str]:
    info = feature.get("info") or {}
    expected = {"is_depth_map": False, "video.fps": fps, "has_audio": False}
    return [
        f"{name} has {key} {info[key]} instead of {value}"
        for key, value in expected.items()
        if key in info and info[key] != value
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def following_place(place: tuple[int, int], chunk_files: int) -> tuple[int, int]:
    """The (chunk, file) after `place`: file by file, then the next chunk."""
    chunk, file = place
    return (chunk + 1, 0) if file >= chunk_files - 1 else (chunk, file + 1)
