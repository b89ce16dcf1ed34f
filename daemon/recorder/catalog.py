"""What datasets there are and what is in them, read with pyarrow alone."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from daemon.recorder import layout, tables
from daemon.recorder.durable import folder_bytes
from daemon.recorder.gathered import gathered
from daemon.recorder.info import DATA_PATH, INFO, Info, load_info
from daemon.recorder.quality.files import read_verdicts
from daemon.recorder.quality.finding import Finding
from daemon.recorder.schema import Manifest
from daemon.recorder.staging import episode_folder
from daemon.recorder.tables import ACTION, STATE
from robotd.errors import DatasetError

_DEPTH = 2  # a repo id is `name` or `user/name`
_LONGEST_NAME_BYTES = 255  # of a folder, on every disk that robotd meets
_NOT_DATASETS = {"hub", "calibration"}  # LeRobot's own folders in its home


class DatasetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset in one line; `joinable_files` is what `gathered.gathered` counts, `problem` says why
    its content could not be read."""

    repo_id: str
    root: str
    episodes: int = 0
    frames: int = 0
    fps: int = 0
    robot_type: str = ""
    cameras: tuple[str, ...] = ()
    joinable_files: int = 0
    problem: str = ""


class DatasetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a dataset holds. `recorded_by_robotd` counts episodes that have evidence beside them,
    `judged` those that the quality gate saw; `flagged` are the findings of those that it flagged."""

    root: str
    episodes: int
    frames: int
    fps: int
    robot_type: str
    tasks: tuple[str, ...]
    features: dict[str, dict[str, Any]]
    lengths: tuple[int, ...]
    size_bytes: int
    recorded_by_robotd: int
    judged: int = 0
    flagged: dict[int, tuple[Finding, ...]] = {}


class Recording(NamedTuple):
    """One episode's motion. `action` and `state` are float32 [rows, n] in `units`.

    `units` is "degrees" or "range_m100_100"; "" where the dataset does not say (LeRobot's do not).
    """

    fps: int
    action: npt.NDArray[np.float32]
    state: npt.NDArray[np.float32]
    names: tuple[str, ...]
    units: str


def dataset_root(home: Path, repo_id: str) -> Path:
    """Where LeRobot looks for the dataset `repo_id`. Raises DatasetError for a bad name."""
    parts = repo_id.split("/")
    if not 1 <= len(parts) <= _DEPTH or any(
        part in ("", ".", "..")
        or part.startswith(".")
        or "\\" in part
        or not part.isprintable()
        or len(part.encode()) > _LONGEST_NAME_BYTES
        for part in parts
    ):
        raise DatasetError(
            f"{repo_id[:80]!r} is not the name of a dataset.",
            "A name is `name` or `user/name`, no longer than a folder's; paths are not.",
            "Choose another name, e.g. --dataset me/block-in-bowl",
        )
    return home.joinpath(*parts)


def list_datasets(home: Path) -> list[DatasetSummary]:
    """Every dataset under LeRobot's home, by name; one that cannot be read says so."""
    roots = [
        path.parent.parent
        for pattern in (INFO, f"*/{INFO}", f"*/*/{INFO}")
        for path in home.glob(pattern)
    ]
    return [
        _summary(home, root)
        for root in sorted(roots)
        if root != home and _is_listed(root.relative_to(home).parts)
    ]


def _is_listed(parts: tuple[str, ...]) -> bool:
    """Not LeRobot's own folders, nor a hidden one: a dataset that is being built, or was left so."""
    return parts[0] not in _NOT_DATASETS and not any(part.startswith(".") for part in parts)


def _summary(home: Path, root: Path) -> DatasetSummary:
    repo_id = root.relative_to(home).as_posix()
    try:
        info = _existing(root)
    except DatasetError as error:
        return DatasetSummary(repo_id=repo_id, root=str(root), problem=error.what)
    return DatasetSummary(
        repo_id=repo_id,
        root=str(root),
        episodes=info["total_episodes"],
        frames=info["total_frames"],
        fps=info["fps"],
        robot_type=info.get("robot_type") or "",
        cameras=tuple(
            name.removeprefix("observation.images.")
            for name, feature in info["features"].items()
            if feature["dtype"] in ("video", "image")
        ),
        joinable_files=gathered(root),
    )


def read_info(root: Path) -> DatasetInfo:
    """Everything `robotd dataset info` shows. Raises DatasetError."""
    info = _existing(root)
    episodes = layout.read_episodes(root, ["episode_index", "length"])
    verdicts = read_verdicts(root, info["total_episodes"])
    return DatasetInfo(
        root=str(root),
        episodes=info["total_episodes"],
        frames=info["total_frames"],
        fps=info["fps"],
        robot_type=info.get("robot_type") or "",
        tasks=tuple(layout.read_tasks(root)),
        features=info["features"],
        lengths=tuple(int(row["length"]) for row in episodes[: info["total_episodes"]]),
        size_bytes=folder_bytes(root),
        recorded_by_robotd=sum(
            read_episode_about(root, index) is not None for index in range(info["total_episodes"])
        ),
        judged=len(verdicts),
        flagged={index: verdict.flagged for index, verdict in verdicts.items() if verdict.flagged},
    )


def read_episode_about(root: Path, episode_index: int) -> Manifest | None:
    """Labels, hashes and specification of an episode; None when robotd did not record it."""
    path = root / episode_folder(episode_index) / "episode.json"
    if not path.exists():
        return None
    return msgspec.json.decode(path.read_bytes(), type=Manifest)


def read_actions(root: Path, episode_index: int) -> Recording:
    """The motion of one episode, for replay. Raises DatasetError when there is no such episode."""
    info = _existing(root)
    if not 0 <= episode_index < info["total_episodes"]:
        raise DatasetError(
            f"{root} has no episode {episode_index}.",
            f"It has {info['total_episodes']}, counted from 0.",
            f"Choose 0 to {info['total_episodes'] - 1} (`robotd dataset info`).",
        )
    columns = ["episode_index", "data/chunk_index", "data/file_index"]
    row = layout.read_episodes(root, columns)[episode_index]
    name = (info.get("data_path") or DATA_PATH).format(
        chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
    )
    table = pq.read_table(root / name, columns=["episode_index", "frame_index", ACTION, STATE])
    table = table.filter(pc.equal(table["episode_index"], episode_index)).sort_by("frame_index")
    about = read_episode_about(root, episode_index)
    return Recording(
        fps=info["fps"],
        action=tables.matrix(table[ACTION]),
        state=tables.matrix(table[STATE]),
        names=feature_names(info["features"][ACTION]["names"]),
        units=about.spec.units if about is not None else "",
    )


def feature_names(names: Any) -> tuple[str, ...]:
    """Feature names as a flat tuple; converted datasets keep them as {"motors": [...]}."""
    if isinstance(names, dict):
        names = next(iter(names.values()), [])
    return tuple(names or ())


def _existing(root: Path) -> Info:
    info = load_info(root)
    if info is None:
        raise DatasetError(
            f"There is no dataset at {root}.",
            "The name is misspelt, or nothing was recorded under it yet.",
            "`robotd dataset list` shows what there is.",
        )
    return info
