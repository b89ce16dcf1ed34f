"""What a checkpoint's files say that its actions do not: statistics, training data, fresh weights.

All of it is optional: of a server, or where a file is missing, less is known, and the probe says less.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policies.border import ACTION
from policies.checkpoint.folder import TRAINING, read_folder, read_json
from policies.checkpoint.norms import PREPROCESSOR, read_normalisers
from policies.checkpoint.tensors import WEIGHTS
from policies.probe.samples import Array
from robotd import paths
from robotd.errors import CheckpointError

_LEAST_NORMS = 3
# Layer normalisation begins at weight 1 and bias 0, Gemma's at 0; a step of training moves all.
_NORM = re.compile(r"(^|\.)[a-z_]*(norm|layernorm|ln)[a-z_0-9]*\.weight$")
_FROZEN = re.compile(r"(backbone|vision_tower|vision_model|\.bn\d|running_)")


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """`action` are the statistics it was saved with for its actions; `pictures` the mean and standard
    deviation [3] by which each of its pictures is normalised; `training` the table `dataset` of its
    `train_config.json`; `instructions` those of its training data, None where unknown."""

    action: Mapping[str, Array] = field(default_factory=dict)
    state: Mapping[str, Array] = field(default_factory=dict)
    pictures: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
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
        pictures=_pictures(folder.path),
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


def _pictures(folder: Path) -> dict[str, tuple[Array, Array]]:
    found: dict[str, tuple[Array, Array]] = {}
    for step in read_normalisers(folder, PREPROCESSOR, read_json(folder / PREPROCESSOR)):
        for key, kind in step.types.items():
            stats = step.stats.get(key, {})
            by_them = step.modes.get(kind) == "MEAN_STD" and {"mean", "std"} <= set(stats)
            if kind == "VISUAL" and by_them and stats["mean"].size == 3:
                found[key] = (stats["mean"].reshape(3), stats["std"].reshape(3))
    return found


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
