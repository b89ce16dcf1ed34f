"""A dataset as the probe sees it: rows by pyarrow, pictures by LeRobot's own decoder.

Rows of a few dozen episodes at most are held in memory; a picture is decoded when it is asked for.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.border import ACTION, ENVIRONMENT, IMAGES, STATE
from policies.checkpoint.evidence import converted, dataset_units, joint_names
from policies.checkpoint.folder import read_json
from policies.probe.samples import Array, Place
from robotd import paths
from robotd.errors import CheckpointError, DatasetError

_EPISODES = 48  # looked at, at most: more teach nothing and cost memory
_VECTORS = (STATE, ENVIRONMENT, ACTION)


@dataclass(frozen=True, slots=True)
class Rows:
    """One episode: vectors [rows, n] by key, each row's task, and the first row's index in the
    dataset."""

    vectors: Mapping[str, Array]
    tasks: tuple[str, ...]
    first: int

    def __len__(self) -> int:
        return len(self.vectors[ACTION])


@dataclass(frozen=True, slots=True)
class Recording:
    """What `meta/` says of a dataset. `units` is empty where nothing proves them; `cameras` has
    (height, width) by key; `episode_tasks` the first task of each episode."""

    root: Path
    fps: float
    units: str
    joints: tuple[str, ...]
    state_joints: tuple[str, ...]
    cameras: Mapping[str, tuple[int, int]]
    environment: bool
    tasks: Mapping[int, str]
    episode_tasks: tuple[str, ...]
    data: tuple[Path, ...]

    def rows(self, episodes: Sequence[int]) -> dict[int, Rows]:
        """The rows of up to 48 of these episodes, evenly chosen. Raises DatasetError."""
        picked = np.linspace(0, len(episodes) - 1, min(_EPISODES, len(episodes))).round()
        chosen = sorted({int(episodes[int(i)]) for i in picked})
        return _read_rows(self, chosen)

    def sha256(self) -> str:
        """The hash of its description and its rows; of videos only name and size count."""
        digest = hashlib.sha256()
        for path in (self.root / "meta/info.json", *self.data):
            digest.update(path.read_bytes())
        for path in sorted((self.root / "videos").rglob("*.mp4")):
            digest.update(f"{path.relative_to(self.root)} {path.stat().st_size}".encode())
        return digest.hexdigest()


def find_dataset(dataset: str) -> Path:
    """Its folder: a path, or a name in LeRobot's home. Raises DatasetError."""
    for root in (Path(dataset).expanduser(), paths.lerobot_home() / dataset):
        if (root / "meta/info.json").exists():
            return root
    raise DatasetError(
        f"There is no dataset {dataset}.",
        f"It is neither a folder with meta/info.json nor a name under {paths.lerobot_home()}.",
        "Look which there are: robotd dataset list.",
    )


def open_recording(dataset: str) -> Recording:
    """Read what a dataset says of itself. Raises DatasetError for one that cannot be compared with."""
    root = find_dataset(dataset)
    try:
        info = read_json(root / "meta/info.json")
        version, features = str(info["codebase_version"]), dict(info["features"])
        fps = float(info["fps"])
    except (CheckpointError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{root / 'meta/info.json'} cannot be used: {error}.",
            "The dataset was cut short while it was copied, or is not LeRobot's.",
            "Copy the dataset again.",
        ) from error
    if not version.startswith("v3"):
        raise DatasetError(
            f"{root} is a dataset of format {version}; v3.0 is needed.",
            "It was recorded by LeRobot 0.3 or older.",
            "Convert it once: robotd dataset convert NAME --out NEW.",
        )
    if ACTION not in features:
        raise DatasetError(
            f"{root} holds no {ACTION}.",
            "It is a dataset of something else than a robot's demonstrations.",
            "Choose one that was recorded on this robot.",
        )
    if numbers := converted(root):
        raise DatasetError(
            f"{root} was converted: {numbers}.",
            "Its numbers are not those that an arm of robotd is sent.",
            "Probe on the dataset that it was made from (its robotd/provenance.json names it).",
        )
    data = tuple(sorted((root / "data").glob("*/*.parquet")))
    tasks, episode_tasks = _tasks(root)
    return Recording(
        root=root,
        fps=fps,
        units=dataset_units(root),
        joints=joint_names(features[ACTION]),
        state_joints=joint_names(features.get(STATE, {})),
        cameras={
            key: _size(feature)
            for key, feature in features.items()
            if key.startswith(IMAGES) and feature.get("dtype") in ("video", "image")
        },
        environment=ENVIRONMENT in features,
        tasks=tasks,
        episode_tasks=episode_tasks,
        data=data,
    )


def _size(feature: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width); LeRobot's shape is [height, width, 3], rarely [3, height, width]."""
    shape = [int(each) for each in feature["shape"]]
    return (shape[1], shape[2]) if shape[0] == 3 else (shape[0], shape[1])


def _damaged(root: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"{root} cannot be read: {error}.",
        "A file was cut short while it was copied, or is still being written.",
        "Look: robotd dataset check NAME; or copy the dataset again.",
    )


def _tasks(root: Path) -> tuple[dict[int, str], tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(root / "meta/tasks.parquet")
        text = next(
            name
            for name in table.column_names
            if pa.types.is_string(table.schema.field(name).type)
            or pa.types.is_large_string(table.schema.field(name).type)
        )
        tasks = dict(zip(table["task_index"].to_pylist(), table[text].to_pylist(), strict=True))
        found: dict[int, str] = {}
        for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
            part = pq.read_table(path, columns=["episode_index", "tasks"])
            for row in part.to_pylist():
                found[int(row["episode_index"])] = str((row["tasks"] or [""])[0])
    except (pa.ArrowException, OSError, KeyError, StopIteration) as error:
        raise _damaged(root, error) from error
    return tasks, tuple(found[episode] for episode in sorted(found))


def _read_rows(recording: Recording, episodes: Sequence[int]) -> dict[int, Rows]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = pa.array(episodes, pa.int64())
    found: dict[int, Rows] = {}
    try:
        for path in recording.data:
            names = pq.read_schema(path).names
            columns = ["episode_index", "frame_index", "index", "task_index"]
            columns += [key for key in _VECTORS if key in names]
            table = pq.read_table(path, columns=columns)
            table = table.filter(pc.is_in(table["episode_index"], value_set=wanted))
            for episode in pc.unique(table["episode_index"]).to_pylist():
                part = table.filter(pc.equal(table["episode_index"], episode))
                part = part.sort_by("frame_index")
                vectors = {
                    key: np.asarray(part[key].to_pylist(), np.float64)
                    for key in _VECTORS
                    if key in names
                }
                named = tuple(recording.tasks.get(i, "") for i in part["task_index"].to_pylist())
                found[int(episode)] = Rows(vectors, named, int(part["index"][0].as_py()))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _damaged(recording.root, error) from error
    if not found or not all(np.isfinite(rows.vectors[ACTION]).all() for rows in found.values()):
        raise DatasetError(
            f"{recording.root} holds no rows to compare with, or actions that are no numbers.",
            "It is empty, was damaged, or was edited by another program.",
            "Look: robotd dataset check NAME.",
        )
    return found


class Pictures:
    """The pictures of a dataset, decoded by LeRobot (PyAV: torchcodec wants a system's ffmpeg)."""

    def __init__(self, recording: Recording) -> None:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        root = recording.root
        self._dataset: Any = LeRobotDataset(
            f"local/{root.name}", root=root, video_backend="pyav", return_uint8=True
        )

    def at(
        self, rows: Rows, place: Place, cameras: Sequence[str]
    ) -> dict[str, npt.NDArray[np.uint8]]:
        """The pictures of one row, uint8 [height, width, 3], by key."""
        item = self._dataset[rows.first + place.row]
        return {
            key: np.ascontiguousarray(item[key].permute(1, 2, 0).to("cpu").numpy().astype(np.uint8))
            for key in cameras
        }
