"""A dataset of LeRobot's (v3.0) as it says of itself, and the rows of its episodes, by pyarrow alone.

The probe compares with it, whiskers walk through it, a replay plays it. Rate, joint names and units
come from the dataset; what it does not say is asked for, not guessed. Its pictures are decoded by
`policies/recorded_pictures.py`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.border import ACTION, ENVIRONMENT, IMAGES, STATE
from policies.camera_contract import is_depth
from policies.checkpoint.evidence import (
    UNITS,
    Units,
    converted,
    dataset_units,
    joint_names,
    names_differ,
)
from policies.checkpoint.folder import read_json
from robotd import paths
from robotd.errors import CheckpointError, DatasetError

Array = npt.NDArray[np.float64]

_EPISODES = 48  # looked at together, at most: more teach nothing and cost memory
_VECTORS = (STATE, ENVIRONMENT, ACTION)


@dataclass(frozen=True, slots=True)
class EpisodeFiles:
    """Where one episode lies: its first task, its rows' file, and of each camera with a video that
    file and the second at which the episode begins in it. Paths are relative to the dataset."""

    number: int
    task: str
    data: str
    videos: Mapping[str, tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Rows:
    """One episode: vectors [rows, n] by key, each row's task, and its time in the episode [rows]."""

    files: EpisodeFiles
    vectors: Mapping[str, Array]
    tasks: tuple[str, ...]
    times_s: Array

    def __len__(self) -> int:
        return len(self.vectors[ACTION])


@dataclass(frozen=True, slots=True)
class Recording:
    """What `meta/` says of a dataset. `units` is empty where nothing proves them; `cameras` has
    (height, width) by key, of those that take pictures; `tasks` are by their index."""

    root: Path
    fps: float
    units: str
    joints: tuple[str, ...]
    state_joints: tuple[str, ...]
    cameras: Mapping[str, tuple[int, int]]
    environment: bool
    tasks: Mapping[int, str]
    episodes: tuple[EpisodeFiles, ...]

    @property
    def episode_tasks(self) -> tuple[str, ...]:
        """The first task of each episode."""
        return tuple(each.task for each in self.episodes)

    def rows(self, episodes: Sequence[int]) -> dict[int, Rows]:
        """The rows of up to 48 of these episodes, evenly chosen. Raises DatasetError."""
        picked = np.linspace(0, len(episodes) - 1, min(_EPISODES, len(episodes))).round()
        chosen = {int(episodes[int(i)]) for i in picked}
        found = _read_rows(self, [each for each in self.episodes if each.number in chosen])
        if not found or not all(np.isfinite(rows.vectors[ACTION]).all() for rows in found.values()):
            raise DatasetError(
                f"{self.root} holds no rows to look at, or actions that are no numbers.",
                "It is empty, was damaged, or was edited by another program.",
                f"Look: robotd dataset check {self.root}.",
            )
        return found

    def sha256(self) -> str:
        """The hash of its description and its rows; of videos only name and size count."""
        digest = hashlib.sha256()
        for path in (
            self.root / "meta/info.json",
            *sorted((self.root / "data").glob("*/*.parquet")),
        ):
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        for path in sorted((self.root / "videos").rglob("*.mp4")):
            digest.update(f"{path.relative_to(self.root)} {path.stat().st_size}".encode())
        return digest.hexdigest()


def open_recording(dataset: str) -> Recording:
    """Read what a dataset says of itself: a folder, or a name in LeRobot's home. Raises DatasetError
    for one that is not there, is damaged, or is not of an arm of robotd's."""
    root = _root(dataset)
    try:
        info = read_json(root / "meta/info.json")
        version, features = str(info["codebase_version"]), dict(info["features"])
        fps, total = float(info["fps"]), int(info["total_episodes"])
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
            "It was made for training, by `robotd dataset convert`; its numbers are not those that "
            "an arm of robotd is sent.",
            "Take the dataset that it was made from (its robotd/provenance.json names it).",
        )
    tasks, listed = _described(root, info)
    missing = set(range(total)) - {each.number for each in listed}
    if missing:
        raise DatasetError(
            f"{root} counts episode {min(missing)} but does not list it.",
            "meta/episodes is incomplete: the dataset was cut short while it was copied.",
            "Copy the dataset again.",
        )
    return Recording(
        root=root,
        fps=fps,
        units=dataset_units(root),
        joints=joint_names(features[ACTION]),
        state_joints=joint_names(features.get(STATE, {})),
        cameras={
            key: _size(feature)
            for key, feature in features.items()
            if key.startswith(IMAGES)
            and feature.get("dtype") in ("video", "image")
            and not is_depth(feature)
        },
        environment=ENVIRONMENT in features,
        tasks=tasks,
        episodes=tuple(each for each in listed if each.number < total),
    )


# --- replay ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordedActions:
    """The actions of one episode [rows, joints], float64, in `units`; a row every 1/fps."""

    root: Path
    fps: int
    units: Units
    joints: tuple[str, ...]
    actions: Array

    def sha256(self) -> str:
        """The hash of the actions, whatever file they are in."""
        shape = str(self.actions.shape).encode()
        return hashlib.sha256(shape + self.actions.astype("<f8").tobytes()).hexdigest()


def read_recorded_actions(
    dataset: str, episode: int, joints: tuple[str, ...], units: str = ""
) -> RecordedActions:
    """Read an episode of `dataset` (a folder, or a name in LeRobot's home) for this robot.

    `joints` are the robot's own in LeRobot's names; `units` is what a person said (or not). Raises
    DatasetError for a dataset that is not there or damaged, has no such episode, was recorded on
    another robot, holds values that are no numbers, or does not tell its units.
    """
    recording = open_recording(dataset)
    root, total = recording.root, len(recording.episodes)
    if not 0 <= episode < total:
        raise DatasetError(
            f"{root} has no episode {episode}.",
            f"It has {total}, counted from 0.",
            f"Choose 0 to {total - 1} (robotd dataset info shows them).",
        )
    if difference := names_differ(joints, recording.joints):
        raise DatasetError(
            f"{root} does not fit this robot's action: {difference}.",
            "It was recorded on another robot, or with another number of arms.",
            f"Replay it on the robot it was recorded on; this one has {', '.join(joints)}.",
        )
    known = units or recording.units
    if known not in UNITS:
        raise DatasetError(
            f"Nothing says in which units {root} was recorded"
            + (f" ({known!r} is not known)." if known else "."),
            "Its actions stay within ±100, which fits degrees and LeRobot's ±100 range alike.",
            "Say it: --units degrees (LeRobot since 0.4) or --units range_m100_100.",
        )
    actions = recording.rows([episode])[episode].vectors[ACTION]
    if actions.shape[1:] != (len(joints),):
        raise DatasetError(
            f"Episode {episode} of {root} holds {actions.shape[1]} actions a row for {len(joints)} "
            "joints.",
            "The dataset was damaged, or edited by another program.",
            "Choose another episode.",
        )
    return RecordedActions(
        root,
        int(recording.fps),
        "degrees" if known == "degrees" else "range_m100_100",
        recording.joints,
        actions,
    )


# --- reading --------------------------------------------------------------------------------------


def _root(dataset: str) -> Path:
    for root in (Path(dataset).expanduser(), paths.lerobot_home() / dataset):
        if (root / "meta/info.json").exists():
            return root
    raise DatasetError(
        f"There is no dataset {dataset}.",
        f"It is neither a folder with meta/info.json nor a name under {paths.lerobot_home()}.",
        "Look which there are: robotd dataset list.",
    )


def damaged(root: Path, error: Exception | str) -> DatasetError:
    """For files of a dataset that do not hold what they should."""
    return DatasetError(
        f"{root} cannot be read: {error}.",
        "A file was cut short while it was copied, or is still being written.",
        f"Look: robotd dataset check {root}; or copy the dataset again.",
    )


def _size(feature: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width); LeRobot's shape is [height, width, 3], rarely [3, height, width]."""
    shape = [int(each) for each in feature["shape"]]
    return (shape[1], shape[2]) if shape[0] == 3 else (shape[0], shape[1])


def _described(root: Path, info: Mapping[str, Any]) -> tuple[dict[int, str], list[EpisodeFiles]]:
    """The tasks by index, and every episode that `meta/episodes` lists, in order."""
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
        episodes: list[EpisodeFiles] = []
        for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
            names = pq.read_schema(path).names
            columns = ["episode_index", "tasks", "data/chunk_index", "data/file_index"]
            columns += [name for name in names if name.startswith("videos/")]
            part = pq.read_table(path, columns=columns).to_pylist()
            episodes += [_files(row, info) for row in part]
    except (pa.ArrowException, OSError, KeyError, TypeError, StopIteration) as error:
        raise damaged(root, error) from error
    return tasks, sorted(episodes, key=lambda each: each.number)


def _files(row: Mapping[str, Any], info: Mapping[str, Any]) -> EpisodeFiles:
    end = "/from_timestamp"
    cameras = [name[len("videos/") : -len(end)] for name in row if name.endswith(end)]
    return EpisodeFiles(
        number=int(row["episode_index"]),
        task=str((row["tasks"] or [""])[0]),
        data=str(info["data_path"]).format(
            chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
        ),
        videos={
            key: (
                str(info["video_path"]).format(
                    video_key=key,
                    chunk_index=row[f"videos/{key}/chunk_index"],
                    file_index=row[f"videos/{key}/file_index"],
                ),
                float(row[f"videos/{key}{end}"]),
            )
            for key in cameras
            if row[f"videos/{key}{end}"] is not None
        },
    )


def _read_rows(recording: Recording, episodes: Sequence[EpisodeFiles]) -> dict[int, Rows]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: dict[int, Rows] = {}
    try:
        for file in dict.fromkeys(each.data for each in episodes):
            path = recording.root / file
            keys = [key for key in _VECTORS if key in pq.read_schema(path).names]
            columns = ["episode_index", "frame_index", "timestamp", "task_index", *keys]
            here = {each.number: each for each in episodes if each.data == file}
            wanted = [("episode_index", "in", list(here))]
            table = pq.read_table(path, columns=columns, filters=wanted)
            for number in pc.unique(table["episode_index"]).to_pylist():
                part = table.filter(pc.equal(table["episode_index"], number))
                part = part.sort_by("frame_index")
                found[number] = Rows(
                    files=here[number],
                    vectors={key: _matrix(part[key]) for key in keys},
                    tasks=tuple(
                        recording.tasks.get(index, "") for index in part["task_index"].to_pylist()
                    ),
                    times_s=part["timestamp"].to_numpy().astype(np.float64),
                )
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise damaged(recording.root, error) from error
    return found


def _matrix(column: Any) -> Array:
    """A column of vectors, or of single numbers, as [rows, n]. Raises ValueError for a ragged one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if listed or pa.types.is_fixed_size_list(kind):
        ragged = listed and len(pc.unique(pc.list_value_length(column))) > 1
        if ragged or column.null_count:
            raise ValueError("its vectors are not all of one length")
        flat = pc.list_flatten(column.combine_chunks())
    else:
        flat = column
    values = np.asarray(flat.to_numpy(), np.float64)
    return values.reshape(len(column), -1)
