"""An RLDS dataset as TensorFlow Datasets reads it, written without TensorFlow.

    NAME/1.0.0/features.json, dataset_info.json, NAME-train.tfrecord-00000-of-00001 …

An episode is one tf.train.Example: `steps` (observation, action, reward, discount, is_first,
is_last, is_terminal, language_instruction; a list of values for each, one after the other) and
`episode_metadata`. Pictures are JPEGs. Read it with
`tfds.builder_from_directory(".../1.0.0").as_dataset()`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder import labels
from daemon.recorder.convention import Convention
from daemon.recorder.info import BOOKKEEPING
from daemon.recorder.source import RowReader, Source
from dataset.columns import has_statistics, numbers
from dataset.exporting.columns import (
    INTERVENTION_ID,
    SOURCE,
    Beside,
    label_columns,
)
from dataset.exporting.tfrecord import Values, example, write_record
from dataset.pictures import Film
from dataset.progress import Progress
from robotd.errors import DatasetError

VERSION = "1.0.0"
_OBSERVATION, _IMAGES = "observation.", "observation.images."
_SHARD_BYTES = 512 << 20
_CLASS = "tensorflow_datasets.core.features"
_OURS = (labels.SUBGOAL, SOURCE, INTERVENTION_ID)


def write_rlds(
    source: Source,
    folder: Path,
    name: str,
    every: Sequence[Beside],
    convention: Convention,
    *,
    jpeg_quality: int,
    progress: Progress,
) -> dict[str, Any]:
    """Write the episodes `every` under `folder`; returns the counts. Raises DatasetError."""
    name = dataset_name(name)
    target = folder / VERSION
    target.mkdir(parents=True)
    films = {key: Film(source, key) for key in source.video_keys}
    shards: list[list[int]] = []  # bytes and episodes of each
    file = None
    steps = 0
    reader = RowReader(source)
    try:
        for done, beside in enumerate(every):
            progress("episodes", done, len(every))
            rows = reader.rows(beside.episode)
            features = _steps(source, rows, beside)
            for key, film in films.items():
                pictures = film.episode(beside.episode)
                features[f"steps/{_step_name(key)}"] = [
                    _jpeg(each, jpeg_quality) for each in pictures
                ]
            features |= _metadata(source, beside, convention)
            if file is None or shards[-1][0] > _SHARD_BYTES:
                if file is not None:
                    file.close()
                file = (target / f"shard-{len(shards):05d}").open("wb")
                shards.append([0, 0])
            shards[-1][0] += write_record(file, example(features))
            shards[-1][1] += 1
            steps += beside.rows
    finally:
        if file is not None:
            file.close()
    for number in range(len(shards)):
        final = f"{name}-train.tfrecord-{number:05d}-of-{len(shards):05d}"
        (target / f"shard-{number:05d}").rename(target / final)
    _write_json(target / "features.json", _features(source))
    _write_json(target / "dataset_info.json", _info(name, source, shards))
    return {"episodes": len(every), "frames": steps, "shards": len(shards)}


def dataset_name(text: str) -> str:
    """`text` as TensorFlow Datasets wants its names: lower case, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "dataset"


def _steps(source: Source, rows: pa.Table, beside: Beside) -> dict[str, Values]:
    count = beside.rows
    first = np.arange(count) == 0
    last = np.arange(count) == count - 1
    terminal = last & (beside.page is None or not beside.page.reason)
    columns = label_columns(beside)
    reward = rows[labels.REWARD] if labels.REWARD in rows.column_names else columns[labels.REWARD]
    tasks = [source.tasks[number].encode() for number in rows["task_index"].to_pylist()]
    found: dict[str, Values] = {
        "is_first": first.astype(np.int64),
        "is_last": last.astype(np.int64),
        "is_terminal": terminal.astype(np.int64),
        "discount": (~terminal).astype(np.float32),
        "reward": numbers(reward).reshape(-1).astype(np.float32),
        "language_instruction": tasks,
        labels.SUBGOAL: numbers(columns[labels.SUBGOAL]).astype(np.int64),
        INTERVENTION_ID: numbers(columns[INTERVENTION_ID]).astype(np.int64),
        SOURCE: [str(each).encode() for each in columns[SOURCE].to_pylist()],
    }
    for key, feature in source.info["features"].items():
        if not _is_step(key, feature):
            continue
        if feature["dtype"] == "image":
            found[_step_name(key)] = [each["bytes"] for each in rows[key].to_pylist()]
        elif feature["dtype"] != "video":
            found[_step_name(key)] = _flat(numbers(rows[key]))
    return {f"steps/{key}": values for key, values in found.items()}


def _metadata(source: Source, beside: Beside, convention: Convention) -> dict[str, Values]:
    page = beside.page
    success = -1 if page is None or page.label.success is None else int(page.label.success)
    values: dict[str, Values] = {
        "episode_index": np.array([beside.episode]),
        "recording_id": [b"" if page is None else page.journal_id.encode()],
        "success": np.array([success]),
        "interrupted": np.array([int(page is not None and bool(page.reason))]),
        "fps": np.array([int(source.info["fps"])]),
        "convention": [convention.in_words().encode()],
    }
    return {f"episode_metadata/{key}": each for key, each in values.items()}


def _is_step(key: str, feature: Mapping[str, Any]) -> bool:
    """Pictures, state, action and other observations of numbers; counters are not repeated."""
    if key in BOOKKEEPING or not (key == "action" or key.startswith(_OBSERVATION)):
        return False
    if feature["dtype"] in ("image", "video"):
        return True
    return has_statistics(feature) and len(feature["shape"]) == 1


def _step_name(key: str) -> str:
    """`observation.images.wrist` is `observation/wrist`."""
    if key.startswith(_IMAGES):
        return f"observation/{key.removeprefix(_IMAGES)}"
    return key.replace(_OBSERVATION, "observation/", 1)


def _flat(values: npt.NDArray[Any]) -> Values:
    flat = values.reshape(-1)
    return flat.astype(np.float32) if values.dtype.kind == "f" else flat.astype(np.int64)


def _jpeg(rgb: npt.NDArray[np.uint8], quality: int) -> bytes:
    import cv2

    done, data = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DatasetError(
            "A picture could not be written as JPEG.",
            "It has an unusual size, or memory is short.",
            "Export as --format lerobot, which keeps the videos.",
        )
    return bytes(data)


def _features(source: Source) -> dict[str, Any]:
    """features.json: the types, in TensorFlow Datasets' own words."""
    observation: dict[str, Any] = {}
    steps: dict[str, Any] = {
        "is_first": _scalar("bool"),
        "is_last": _scalar("bool"),
        "is_terminal": _scalar("bool"),
        "discount": _scalar("float32"),
        "reward": _scalar("float32"),
        "language_instruction": _text(),
        labels.SUBGOAL: _scalar("int64"),
        INTERVENTION_ID: _scalar("int64"),
        SOURCE: _text(),
    }
    for key, feature in source.info["features"].items():
        if not _is_step(key, feature):
            continue
        shape = [int(each) for each in feature["shape"]]
        if feature["dtype"] in ("image", "video"):
            kind: dict[str, Any] = _image(shape, feature["dtype"] == "video")
        else:
            is_float = str(feature["dtype"]).startswith("float")
            kind = _tensor(shape, "float32" if is_float else "int64")
        name = _step_name(key)
        if name.startswith("observation/"):
            observation[name.removeprefix("observation/")] = kind
        else:
            steps[name] = kind
    steps["observation"] = _dict(observation)
    sequence = {"feature": _dict(steps), "length": "-1"}
    dataset = {"pythonClassName": f"{_CLASS}.dataset_feature.Dataset", "sequence": sequence}
    metadata = {
        "episode_index": _scalar("int64"),
        "recording_id": _text(),
        "success": _scalar("int64"),
        "interrupted": _scalar("bool"),
        "fps": _scalar("int64"),
        "convention": _text(),
    }
    return _dict({"steps": dataset, "episode_metadata": _dict(metadata)})


def _dict(features: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pythonClassName": f"{_CLASS}.features_dict.FeaturesDict",
        "featuresDict": {"features": dict(sorted(features.items()))},
    }


def _scalar(dtype: str) -> dict[str, Any]:
    tensor = {"dtype": dtype, "encoding": "none", "shape": {}}
    return {"pythonClassName": f"{_CLASS}.scalar.Scalar", "tensor": tensor}


def _tensor(shape: Sequence[int], dtype: str) -> dict[str, Any]:
    sizes = {"dimensions": [str(each) for each in shape]}
    tensor = {"dtype": dtype, "encoding": "none", "shape": sizes}
    return {"pythonClassName": f"{_CLASS}.tensor_feature.Tensor", "tensor": tensor}


def _text() -> dict[str, Any]:
    return {"pythonClassName": f"{_CLASS}.text_feature.Text", "text": {}}


def _image(shape: Sequence[int], encoded_by_us: bool) -> dict[str, Any]:
    image: dict[str, Any] = {
        "dtype": "uint8",
        "shape": {"dimensions": [str(each) for each in shape]},
    }
    if encoded_by_us:  # else whatever the dataset's pictures are stored as
        image["encodingFormat"] = "jpeg"
    return {"pythonClassName": f"{_CLASS}.image_feature.Image", "image": image}


def _info(name: str, source: Source, shards: Sequence[Sequence[int]]) -> dict[str, Any]:
    split = {
        "name": "train",
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "numBytes": str(sum(size for size, _ in shards)),
        "shardLengths": [str(episodes) for _, episodes in shards],
    }
    return {
        "name": name,
        "version": VERSION,
        "fileFormat": "tfrecord",
        "description": f"{source.info.get('robot_type') or 'robot'}, {source.info['fps']} steps "
        "a second; exported by robotd from a LeRobotDataset.",
        "splits": [split],
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
