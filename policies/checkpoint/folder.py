"""What can be known of a LeRobot checkpoint folder by reading it, before torch is imported.

A folder that would load into nonsense is refused here: weights that are cut short, statistics that
are missing (LeRobot then silently does not normalise) or not numbers. Formats: LeRobot 0.4 to 0.6
(`config.json`, `model.safetensors`, `policy_{pre,post}processor.json` and their state files).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from policies.checkpoint.digests import FileDigests
from policies.extra import extra_missing
from robotd.errors import CheckpointError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TRAINING = "train_config.json"
PREPROCESSOR = "policy_preprocessor.json"
POSTPROCESSOR = "policy_postprocessor.json"

_NORMALISERS = ("normalizer_processor", "unnormalizer_processor")
_NEEDED_STATS = {
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
}

Stats = dict[str, npt.NDArray[np.float64]]


class Feature(msgspec.Struct, frozen=True):
    """One input or output of a policy: LeRobot's type (STATE, VISUAL, ENV, ACTION) and shape."""

    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """A folder that passed every check that needs no model.

    `stats` holds what the normalisers were saved with: feature, then `mean`, `std`, `min`, ….
    `tensors` are the names and shapes in the weights file.
    """

    path: Path
    kind: str
    inputs: Mapping[str, Feature]
    outputs: Mapping[str, Feature]
    tensors: Mapping[str, tuple[int, ...]]
    stats: Mapping[str, Stats] = field(default_factory=dict)

    def sha256(self, digests: FileDigests | None = None) -> str:
        """The hash of every file that decides what the policy does."""
        files = FileDigests() if digests is None else digests
        digest = hashlib.sha256()
        names = [CONFIG, WEIGHTS, PREPROCESSOR, POSTPROCESSOR]
        names += sorted(p.name for p in self.path.glob("policy_*processor_step_*.safetensors"))
        for name in names:
            digest.update(f"{name}\0".encode())
            digest.update(bytes.fromhex(files.sha256(self.path / name)))
        return digest.hexdigest()


def read_folder(path: Path) -> CheckpointFolder:
    """Read and check a `pretrained_model` folder (or a training run that holds one).

    Raises CheckpointError.
    """
    path = _pretrained_model(path.expanduser())
    config = read_json(path / CONFIG)
    kind = config.get("type")
    if not isinstance(kind, str):
        raise CheckpointError(
            f"{path / CONFIG} does not say which kind of policy it is.",
            "It is another program's config.json; LeRobot's has a key `type`.",
            "Give the pretrained_model folder that lerobot-train wrote.",
        )
    for name in (PREPROCESSOR, POSTPROCESSOR):
        if not (path / name).exists():
            raise CheckpointError(
                f"{path} has no {name}.",
                "It was saved by LeRobot 0.3 or older, which kept normalisation in the model.",
                "Convert it once: python -m lerobot.processor.migrate_policy_normalization "
                f"--pretrained-path {path}",
            )
    stats = _stats(path, PREPROCESSOR)
    stats.update(_stats(path, POSTPROCESSOR))
    return CheckpointFolder(
        path=path,
        kind=kind,
        inputs=_features(path, config, "input_features"),
        outputs=_features(path, config, "output_features"),
        tensors=read_safetensors_header(path / WEIGHTS),
        stats=stats,
    )


def _pretrained_model(path: Path) -> Path:
    for folder in (path, path / "pretrained_model", path / "checkpoints/last/pretrained_model"):
        if (folder / CONFIG).exists():
            return folder
    there = "exists but has" if path.exists() else "does not exist, so it has"
    raise CheckpointError(
        f"{path} {there} no {CONFIG}.",
        "It is not a LeRobot checkpoint, or one level too high or too low.",
        "Give the folder that holds config.json and model.safetensors, usually "
        "RUN/checkpoints/last/pretrained_model.",
    )


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object. Raises CheckpointError when the file holds none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}.",
            "The file was cut short while it was copied, or is not JSON.",
            "Copy the checkpoint again.",
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds no JSON object.",
            "It is another program's file.",
            "Copy the checkpoint again.",
        )
    return content


def _features(path: Path, config: dict[str, Any], key: str) -> dict[str, Feature]:
    try:
        features = msgspec.convert(config.get(key), type=dict[str, Feature])
    except msgspec.ValidationError as error:
        raise CheckpointError(
            f"{path / CONFIG}: {key} is not a table of features ({error}).",
            "The file was edited, or written by a LeRobot older than 0.4.",
            "Save the checkpoint again with LeRobot 0.6.",
        ) from error
    if not features:
        raise CheckpointError(
            f"{path / CONFIG} names no {key}.",
            "The configuration was saved without a dataset.",
            "Train or save the policy with its dataset, so that its features are known.",
        )
    return features


def read_safetensors_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors, after checking that every byte of them is there.

    Format: u64 header length, JSON header with `data_offsets` into the rest of the file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 2 <= length <= size - 8 else None
    except (OSError, ValueError):
        header = None
    if not isinstance(header, dict):
        raise _damaged(path, "has no readable header")
    header.pop("__metadata__", None)
    end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    if 8 + length + end != size:
        raise _damaged(path, f"has {size} bytes, its header promises {8 + length + end}")
    return {name: tuple(entry["shape"]) for name, entry in header.items()}


def _damaged(path: Path, how: str) -> CheckpointError:
    return CheckpointError(
        f"{path} {how}.",
        "It is missing, its download or copy was cut short, or git-lfs left a pointer.",
        "Copy the checkpoint again and compare the file's size.",
    )


def _stats(path: Path, name: str) -> dict[str, Stats]:
    """The statistics of one pipeline's normaliser, checked against what its modes need."""
    found: dict[str, Stats] = {}
    for step in read_json(path / name).get("steps", []):
        if step.get("registry_name") not in _NORMALISERS:
            continue
        state_file = step.get("state_file")
        flat = _load_stats(path / state_file) if state_file else {}
        for key, value in flat.items():
            feature, _, stat = key.rpartition(".")
            found.setdefault(feature, {})[stat] = value
        _check_stats(path / name, step.get("config", {}), found)
    return found


def _load_stats(path: Path) -> Stats:
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise extra_missing(error) from error
    read_safetensors_header(path)
    return {key: np.asarray(value, np.float64) for key, value in load_file(path).items()}


def _check_stats(path: Path, config: dict[str, Any], found: dict[str, Stats]) -> None:
    undoes = path.name == POSTPROCESSOR
    norm_map = config.get("norm_map", {})
    for key, feature in config.get("features", {}).items():
        if undoes != (feature["type"] == "ACTION"):
            continue
        needed = _NEEDED_STATS.get(norm_map.get(feature["type"], "IDENTITY"), ())
        for stat in needed:
            value = found.get(key, {}).get(stat)
            if value is None:
                raise CheckpointError(
                    f"{path} normalises {key} but has no {stat} for it.",
                    "The policy was saved without its dataset's statistics; LeRobot would pass "
                    "the numbers through unchanged and the arm would move to wrong places.",
                    "Save the processors again with make_pre_post_processors(dataset_stats=…).",
                )
            if not np.isfinite(value).all():
                raise CheckpointError(
                    f"{path}: the {stat} of {key} is not a finite number.",
                    "The statistics were never computed, or the dataset holds NaN.",
                    "Compute the dataset's statistics again and save the processors.",
                )
