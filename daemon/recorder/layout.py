"""The parquet files of a LeRobotDataset v3.0, built for one episode at a time.

Column names, types and order are LeRobot 0.6.1's own, so that its loader, which concatenates all
files of a dataset, sees no seam between its episodes and ours.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder import tables
from daemon.recorder.info import EPISODES_PATH, TASKS, Features, Info
from daemon.recorder.stats import Stats, from_json, to_json, vector_stats
from robotd.errors import DatasetError

type Place = tuple[int, int]


def data_columns(
    rows: pa.Table, tasks: Sequence[str], *, fps: int, episode_index: int, first_index: int
) -> dict[str, npt.NDArray[Any]]:
    """Every data column of an episode by feature name; timestamps float64, as LeRobot has them."""
    count = rows.num_rows
    numbers = {task: number for number, task in enumerate(tasks)}
    frame = np.arange(count)
    columns: dict[str, npt.NDArray[Any]] = {
        name: tables.matrix(rows[name]) for name in rows.column_names if name != "task"
    }
    return columns | {
        "timestamp": frame / fps,
        "frame_index": frame,
        "episode_index": np.full(count, episode_index),
        "index": frame + first_index,
        "task_index": np.array([numbers[task] for task in rows["task"].to_pylist()]),
    }


def write_data(path: Path, columns: Mapping[str, npt.NDArray[Any]], features: Features) -> None:
    """Write an episode's data file: one row group, columns in the order of the features."""
    arrays, hub_features = {}, {}
    for name, feature in features.items():
        if feature["dtype"] == "video":
            continue
        values, dtype = columns[name], feature["dtype"]
        hub_features[name] = {"dtype": dtype, "_type": "Value"}
        if values.ndim == 1 and tuple(feature["shape"]) == (1,):
            arrays[name] = pa.array(values.astype(dtype))
        elif tuple(feature["shape"]) == (1,):
            arrays[name] = pa.array(values[:, 0].astype(dtype))
        else:
            arrays[name] = tables.vectors(values)
            hub_features[name] = {
                "feature": hub_features[name],
                "length": feature["shape"][0],
                "_type": "List",
            }
    metadata = {"huggingface": json.dumps({"info": {"features": hub_features}})}
    pq.write_table(pa.table(arrays).replace_schema_metadata(metadata), path)


def episode_stats(columns: Mapping[str, npt.NDArray[Any]], features: Features) -> Stats:
    """Statistics of every data column (videos are added by the caller)."""
    return {name: vector_stats(columns[name]) for name in features if name in columns}


def write_episode(path: Path, facts: Mapping[str, Any], stats: Stats, place: Place) -> None:
    """Write an episode's meta file: its facts, its statistics and its own place, one row."""
    row: dict[str, Any] = dict(facts)
    for feature, each in to_json(stats).items():
        for name, value in each.items():
            row[f"stats/{feature}/{name}"] = value
    row["meta/episodes/chunk_index"], row["meta/episodes/file_index"] = place
    pq.write_table(pa.Table.from_pylist([row]), path)


def read_tasks(root: Path) -> list[str]:
    """The dataset's tasks by task_index. Raises DatasetError if the numbering has gaps."""
    path = root / TASKS
    if not path.exists():
        return []
    table = pq.read_table(path)
    names = [name for name in table.column_names if name != "task_index"]
    pairs = sorted(zip(table["task_index"].to_pylist(), table[names[0]].to_pylist(), strict=True))
    if [number for number, _ in pairs] != list(range(len(pairs))):
        raise DatasetError(
            f"{path} does not number its tasks 0, 1, 2, …",
            "The file was edited by hand.",
            "Repair it with LeRobot's dataset tools, or record into another dataset.",
        )
    return [task for _, task in pairs]


def write_tasks(path: Path, tasks: Sequence[str]) -> None:
    """Write tasks.parquet as pandas would, with the task as index (pandas reads the metadata)."""
    column = {"field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    index = {"field_name": "task", "pandas_type": "unicode", "numpy_type": "object"}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", **column, "metadata": None},
            {"name": "task", **index, "metadata": None},
        ],
        "pandas_version": "2.2.0",
    }
    table = pa.table(
        {"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(list(tasks))}
    )
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)


def read_episodes(root: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Rows of all meta/episodes files, by episode_index. Without `columns`, all but statistics.

    Raises DatasetError when a file has no footer: its writer was killed.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
        try:
            names = pq.read_schema(path).names
            wanted = columns or [name for name in names if not name.startswith("stats/")]
            rows += pq.read_table(path, columns=list(wanted)).to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(
                f"{path} cannot be read: {error}.",
                "LeRobot was killed while it recorded; its files have no end then.",
                "Record into a new dataset (--dataset NAME); what is whole in this one stays.",
            ) from error
    return sorted(rows, key=lambda row: int(row["episode_index"]))


def read_episode_stats(root: Path) -> list[Stats]:
    """Statistics of every episode, from the meta files."""
    result = []
    for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
        for row in pq.read_table(path).to_pylist():
            nested: dict[str, dict[str, Any]] = {}
            for key, value in row.items():
                if key.startswith("stats/"):
                    feature, name = key.removeprefix("stats/").rsplit("/", 1)
                    nested.setdefault(feature, {})[name] = value
            result.append(from_json(nested))
    return result


def last_places(root: Path, info: Info) -> dict[str, Place]:
    """The last (chunk, file) of each kind of file: "data", "meta", and each video key.

    Raises DatasetError when the episodes listed are not those that info.json counts.
    """
    kinds = {"data": "data", "meta": "meta/episodes"}
    for name, feature in info["features"].items():
        if feature["dtype"] == "video":
            kinds[name] = f"videos/{name}"
    columns = [f"{at}/{part}" for at in kinds.values() for part in ("chunk_index", "file_index")]
    rows = read_episodes(root, ["episode_index", *columns])
    if [int(row["episode_index"]) for row in rows] != list(range(info["total_episodes"])):
        raise DatasetError(
            f"{root} counts {info['total_episodes']} episodes but lists {len(rows)} under "
            f"{EPISODES_PATH.split('/chunk', maxsplit=1)[0]}.",
            "LeRobot was killed while it recorded into this dataset.",
            "Record into a new dataset (--dataset NAME); LeRobot cannot open this one either.",
        )
    return {
        kind: max((int(row[f"{at}/chunk_index"]), int(row[f"{at}/file_index"])) for row in rows)
        for kind, at in kinds.items()
        if rows
    }
