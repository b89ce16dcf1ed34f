"""What can be known of a LeRobot checkpoint folder by reading it, before torch is imported.

A folder that would load into nonsense is refused here: weights that are cut short, statistics that
are missing (LeRobot then silently does not normalise) or not numbers. Formats: LeRobot 0.4 to 0.6
(`config.json`, `model.safetensors`, `policy_{pre,post}processor.json` and their state files).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from policies.checkpoint.digests import FileDigests, files_sha256
from policies.checkpoint.norms import POSTPROCESSOR, PREPROCESSOR, Stats, problems, read_normalisers
from policies.checkpoint.tensors import WEIGHTS, read_safetensors_header
from robotd.errors import CheckpointError

CONFIG = "config.json"
TRAINING = "train_config.json"
_RENAMES = "rename_observations_processor"


class Feature(msgspec.Struct, frozen=True):
    """One input or output of a policy: LeRobot's type (STATE, VISUAL, ENV, ACTION) and shape."""

    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """A folder that passed every check that needs no model.

    `stats` holds what the normalisers were saved with: feature, then `mean`, `std`, `min`, ….
    `tensors` are the names and shapes in the weights file, `renamed` the inputs that had another
    name in the training's dataset (see `renamed_inputs`).
    """

    path: Path
    kind: str
    inputs: Mapping[str, Feature]
    outputs: Mapping[str, Feature]
    tensors: Mapping[str, tuple[int, ...]]
    stats: Mapping[str, Stats] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def sha256(self, digests: FileDigests | None = None) -> str:
        """The hash of every file that decides what the policy does."""
        names = [CONFIG, WEIGHTS, PREPROCESSOR, POSTPROCESSOR]
        names += sorted(p.name for p in self.path.glob("policy_*processor_step_*.safetensors"))
        files = FileDigests() if digests is None else digests
        return files_sha256((self.path / name for name in names), files)


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
                f"Convert it once: robotd ckpt convert {path} --to lerobot --out {path}-0.6",
            )
    stats = _stats(path, PREPROCESSOR)
    stats.update(_stats(path, POSTPROCESSOR))
    return CheckpointFolder(
        path=path,
        kind=kind,
        inputs=_features(path, config, "input_features"),
        outputs=_features(path, config, "output_features"),
        tensors={n: i.shape for n, i in read_safetensors_header(path / WEIGHTS).items()},
        stats=stats,
        renamed=renamed_inputs(path),
    )


def renamed_inputs(path: Path) -> dict[str, str]:
    """A policy's inputs that had another name in the training's dataset, by the policy's names
    (lerobot-train's `--rename_map`, which its preprocessor keeps). Raises CheckpointError."""
    if not (path / PREPROCESSOR).exists():
        return {}
    steps = read_json(path / PREPROCESSOR).get("steps", [])
    return {
        str(policys): str(datasets)
        for step in steps
        if step.get("registry_name") == _RENAMES
        for datasets, policys in (step.get("config", {}).get("rename_map") or {}).items()
    }


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


def _stats(path: Path, name: str) -> dict[str, Stats]:
    """The statistics of one pipeline's normaliser, checked against what its modes need."""
    found: dict[str, Stats] = {}
    for step in read_normalisers(path, name, read_json(path / name)):
        found.update(step.own)
        for key, kind in step.types.items():
            if step.undoes == (kind == "ACTION"):
                mode = step.modes.get(kind, "IDENTITY")
                stats, file = step.stats.get(key, {}), str(path / name)
                for problem in problems(key, mode, stats, file, visual=kind == "VISUAL"):
                    if problem.fatal:
                        raise CheckpointError(problem.what, problem.likely, problem.do)
    return found
