"""What a checkpoint's files say that its actions do not: statistics, training data, fresh weights.

All of it is optional: of a server, or where a file is missing, less is known, and the probe says less.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from policies.border import ACTION, IMAGES
from policies.checkpoint.folder import TRAINING, read_folder, read_json
from policies.checkpoint.norms import PREPROCESSOR, Stats
from policies.checkpoint.tensors import WEIGHTS
from policies.probe.samples import Array
from robotd import paths
from robotd.errors import CheckpointError

_LEAST_PICTURE_STD = 0.01  # of pixels in 0..1: less makes ±100 of every pixel (policies facts L5)
_LEAST_NORMS = 3
# Layer normalisation begins at weight 1 and bias 0, Gemma's at 0; a step of training moves all.
_NORM = re.compile(r"(^|\.)[a-z_]*(norm|layernorm|ln)[a-z_0-9]*\.weight$")
_FROZEN = re.compile(r"(backbone|vision_tower|vision_model|\.bn\d|running_)")


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """`action` are the statistics it was saved with for its actions; `training` the table `dataset`
    of its `train_config.json`; `instructions` those of its training data, None where unknown."""

    action: Mapping[str, Array] = field(default_factory=dict)
    state: Mapping[str, Array] = field(default_factory=dict)
    picture_statistics: str = ""
    training: Mapping[str, Any] | None = None
    reads_language: bool = False
    untrained: float = 0.0
    instructions: tuple[str, ...] | None = None


_READERS = ("pi0", "pi05", "pi0_fast", "smolvla", "groot", "xvla", "wall_x", "multi_task_dit")


def checkpoint_facts(policy: str, kind: str) -> CheckpointFacts:
    """What there is to know of the checkpoint that a model was loaded from; nothing of a server."""
    try:
        folder = read_folder(Path(policy))
    except (CheckpointError, OSError):
        return CheckpointFacts(reads_language=kind in _READERS)
    training = _training(folder.path)
    return CheckpointFacts(
        action=folder.stats.get(ACTION, {}),
        state=folder.stats.get("observation.state", {}),
        picture_statistics=_pictures(folder.stats),
        training=training,
        reads_language=kind in _READERS or _tokenizes(folder.path),
        untrained=_untrained(folder.path / WEIGHTS),
        instructions=None if training is None else _instructions(training),
    )


def _training(folder: Path) -> Mapping[str, Any] | None:
    if not (folder / TRAINING).exists():
        return None
    found = read_json(folder / TRAINING).get("dataset")
    return found if isinstance(found, dict) else None


def _tokenizes(folder: Path) -> bool:
    if not (folder / PREPROCESSOR).exists():
        return False
    steps = read_json(folder / PREPROCESSOR).get("steps", [])
    return any("tokenizer" in str(step.get("registry_name")) for step in steps)


def _pictures(stats: Mapping[str, Stats]) -> str:
    for key, known in stats.items():
        std = known.get("std")
        if key.startswith(IMAGES) and std is not None and float(np.mean(std)) < _LEAST_PICTURE_STD:
            return (
                f"the standard deviation of {key} is {float(np.mean(std)):.2g}: pixels of 0 to 1 "
                f"become numbers up to {0.5 / max(float(np.mean(std)), 1e-9):.0f}"
            )
    return ""


def _untrained(weights: Path) -> float:
    """The share of normalisation layers that are exactly as they begin; 0 where there are few."""
    if not weights.exists():
        return 0.0
    from safetensors import safe_open

    fresh = total = 0
    with safe_open(str(weights), framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 (no mapping)
            if not _NORM.search(name) or _FROZEN.search(name):
                continue
            if len(file.get_slice(name).get_shape()) != 1:
                continue
            try:
                values = file.get_tensor(name)
            except TypeError:  # bf16: numpy has none
                return 0.0
            total += 1
            fresh += bool((values == values.reshape(-1)[0]).all()) and values.reshape(-1)[0] in (
                0,
                1,
            )
    return fresh / total if total >= _LEAST_NORMS else 0.0


def _instructions(training: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The instructions of the training dataset, where it is on this machine."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    roots = [Path(str(training["root"]))] if training.get("root") else []
    if training.get("repo_id"):
        roots.append(paths.lerobot_home() / str(training["repo_id"]))
    for root in roots:
        path = root / "meta/tasks.parquet"
        if path.exists():
            table = pq.read_table(path)
            for name in table.column_names:
                kind = table.schema.field(name).type
                if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                    return tuple(str(each) for each in table[name].to_pylist())
    return None
