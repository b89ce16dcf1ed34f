"""One recorded episode's actions, read from a LeRobotDataset v3.0 with pyarrow alone.

Rate, joint names and units come from the dataset; what it does not say is asked for, not guessed.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.border import ACTION
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


@dataclass(frozen=True, slots=True)
class RecordedActions:
    """The actions of one episode [rows, joints], float64, in `units`; a row every 1/fps."""

    root: Path
    fps: int
    units: Units
    joints: tuple[str, ...]
    actions: npt.NDArray[np.float64]

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
    root = _root(dataset)
    try:
        info = read_json(root / "meta/info.json")
        version, fps = str(info["codebase_version"]), int(info["fps"])
        feature, total = info["features"].get(ACTION, {}), int(info["total_episodes"])
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
    if not 0 <= episode < total:
        raise DatasetError(
            f"{root} has no episode {episode}.",
            f"It has {total}, counted from 0.",
            f"Choose 0 to {total - 1} (robotd dataset info shows them).",
        )
    recorded = joint_names(feature)
    if difference := names_differ(joints, recorded):
        raise DatasetError(
            f"{root} does not fit this robot's action: {difference}.",
            "It was recorded on another robot, or with another number of arms.",
            f"Replay it on the robot it was recorded on; this one has {', '.join(joints)}.",
        )
    if numbers := converted(root):
        raise DatasetError(
            f"{root} was converted: {numbers}.",
            "It was made for training, by `robotd dataset convert`; played as it is, it would move "
            "the arm elsewhere.",
            "Replay the dataset it was made from (its robotd/provenance.json names it).",
        )
    known = units or dataset_units(root)
    if known not in UNITS:
        raise DatasetError(
            f"Nothing says in which units {root} was recorded"
            + (f" ({known!r} is not known)." if known else "."),
            "Its actions stay within ±100, which fits degrees and LeRobot's ±100 range alike.",
            "Say it: --units degrees (LeRobot since 0.4) or --units range_m100_100.",
        )
    actions = _read_actions(root, info, episode)
    if actions.shape[1:] != (len(joints),) or not np.isfinite(actions).all():
        raise DatasetError(
            f"Episode {episode} of {root} holds actions that are no numbers or of another size.",
            "The dataset was damaged, or edited by another program.",
            "Choose another episode.",
        )
    return RecordedActions(
        root, fps, "degrees" if known == "degrees" else "range_m100_100", recorded, actions
    )


def _root(dataset: str) -> Path:
    for root in (Path(dataset).expanduser(), paths.lerobot_home() / dataset):
        if (root / "meta/info.json").exists():
            return root
    raise DatasetError(
        f"There is no dataset {dataset}.",
        f"It is neither a folder with meta/info.json nor a name under {paths.lerobot_home()}.",
        "Look which there are: robotd dataset list.",
    )


def _read_actions(root: Path, info: dict[str, Any], episode: int) -> npt.NDArray[np.float64]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = ["episode_index", "data/chunk_index", "data/file_index"]
    try:
        for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
            table = pq.read_table(path, columns=columns)
            rows = table.filter(pc.equal(table["episode_index"], episode)).to_pylist()
            if rows:
                name = str(info["data_path"]).format(
                    chunk_index=rows[0]["data/chunk_index"], file_index=rows[0]["data/file_index"]
                )
                data = pq.read_table(root / name, columns=["episode_index", "frame_index", ACTION])
                data = data.filter(pc.equal(data["episode_index"], episode))
                data = data.sort_by("frame_index")
                return np.asarray(data[ACTION].to_pylist(), np.float64)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DatasetError(
            f"Episode {episode} of {root} cannot be read: {error}.",
            "A parquet file was cut short while it was copied, or is still being written.",
            "Copy the dataset again, or wait until the recording is saved.",
        ) from error
    raise DatasetError(
        f"{root} counts episode {episode} but does not list it.",
        "meta/episodes is incomplete: the dataset was cut short while it was copied.",
        "Copy the dataset again.",
    )
