"""The statistics a checkpoint normalises with, in every form they are kept, under LeRobot's names.

Kept in: the model's own buffers (LeRobot up to 0.3), the processors' state files (LeRobot since
0.4), `assets/<asset>/norm_stats.json` (openpi). Given as: feature -> statistic -> numbers, with
`observation.state` and `action` for openpi's `state` and `actions`. Formulas: LeRobot adds 1e-8 to
the deviation, openpi 1e-6, and to the range of its quantiles too (openpi's transforms.py).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from policies.checkpoint.tensors import read_safetensors_header
from policies.extra import extra_missing
from robotd.errors import CheckpointError

Stats = dict[str, npt.NDArray[np.float64]]

STATE, ACTION = "observation.state", "action"
PREPROCESSOR = "policy_preprocessor.json"
POSTPROCESSOR = "policy_postprocessor.json"
NORM_STATS = "norm_stats.json"
ASSETS = "assets"
OPENPI_EPS, LEROBOT_EPS = 1e-6, 1e-8

NEEDED: dict[str, tuple[str, ...]] = {
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
    "IDENTITY": (),
}
"""LeRobot's modes and the statistics each of them needs."""

OPENPI_NAMES = {"state": STATE, "actions": ACTION}
NORMALISERS = ("normalizer_processor", "unnormalizer_processor")
_BUFFER = (
    "normalize_inputs.buffer_",
    "normalize_targets.buffer_",
    "unnormalize_outputs.buffer_",  # last: it is what un-normalises, so it wins
)
_CONSTANT = 1e-4
"""A deviation below it says that nothing moved: dividing by it makes noise of it."""
_DARK = 1e-2
"""An image channel's deviation, of values 0 to 1: below it a pixel becomes hundreds (L5)."""


@dataclass(frozen=True, slots=True)
class Norm:
    """How values are normalised: LeRobot's mode for each kind of feature, and the formula."""

    modes: Mapping[str, str]
    """STATE, ACTION, VISUAL, ENV -> MEAN_STD, MIN_MAX, QUANTILES, QUANTILE10 or IDENTITY."""
    eps: float
    formula: Literal["openpi", "lerobot"]
    source: str


@dataclass(frozen=True, slots=True)
class Normaliser:
    """One step of a LeRobot pipeline: its features with their types, modes and statistics."""

    file: str
    eps: float
    types: Mapping[str, str]
    modes: Mapping[str, str]
    stats: Mapping[str, Stats]
    state_file: str = ""

    @property
    def undoes(self) -> bool:
        """Whether it turns the model's actions back into the dataset's."""
        return self.file == POSTPROCESSOR

    @property
    def own(self) -> dict[str, Stats]:
        """Those of its statistics that something is computed with: each file holds the dataset's of
        every feature, but only the preprocessor's of inputs and the postprocessor's of actions are
        used."""
        return {
            key: entry
            for key, entry in self.stats.items()
            if self.undoes == (key == ACTION or self.types.get(key) == "ACTION")
        }


@dataclass(frozen=True, slots=True)
class StatsProblem:
    """What is wrong with a statistic. `fatal`: numbers would come out that mean nothing."""

    what: str
    likely: str
    do: str
    fatal: bool = True


@dataclass(frozen=True, slots=True)
class Assets:
    """openpi's `assets/` folder: the ids found, and the statistics of the chosen one."""

    found: tuple[str, ...] = ()
    chosen: str = ""
    stats: Mapping[str, Stats] = field(default_factory=dict)
    file: Path | None = None


# --- reading --------------------------------------------------------------------------------------


def read_normalisers(folder: Path, file: str, content: Mapping[str, Any]) -> list[Normaliser]:
    """The normalising steps of a saved pipeline (`content` of its JSON). Raises CheckpointError."""
    found = []
    for step in content.get("steps", []):
        if step.get("registry_name") not in NORMALISERS:
            continue
        config = step.get("config", {})
        state_file = step.get("state_file") or ""
        flat = load_stats_file(folder / state_file) if state_file else {}
        features = config.get("features", {})
        found.append(
            Normaliser(
                file=file,
                eps=float(config.get("eps", LEROBOT_EPS)),
                types={key: str(feature["type"]) for key, feature in features.items()},
                modes={k: str(v) for k, v in config.get("norm_map", {}).items()},
                stats=nested(flat),
                state_file=state_file,
            )
        )
    return found


def load_stats_file(path: Path) -> Stats:
    """The flat statistics of a processor's state file. Raises CheckpointError."""
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise extra_missing(error) from error
    read_safetensors_header(path)
    return {key: np.asarray(value, np.float64) for key, value in load_file(path).items()}


def nested(flat: Mapping[str, npt.NDArray[Any]]) -> dict[str, Stats]:
    """`{"action.mean": …}` as `{"action": {"mean": …}}`."""
    found: dict[str, Stats] = {}
    for key, value in flat.items():
        feature, _, stat = key.rpartition(".")
        found.setdefault(feature, {})[stat] = np.asarray(value, np.float64)
    return found


def is_buffer(name: str) -> bool:
    """Whether a tensor of the model is a statistic of LeRobot up to 0.3."""
    return name.startswith(_BUFFER)


def buffer_stats(
    names: Iterable[str], read: Callable[[str], Any], features: Iterable[str]
) -> dict[str, Stats]:
    """The statistics in a model's buffers, whose names have `_` for the features' `.`."""
    features = list(features)
    dotted = {feature.replace(".", "_"): feature for feature in (*features, STATE, ACTION)}
    found: dict[str, Stats] = {}
    for prefix in _BUFFER:
        for name in names:
            if name.startswith(prefix):
                feature, _, stat = name.removeprefix(prefix).rpartition(".")
                value = np.asarray(read(name).to("cpu").double().numpy())
                found.setdefault(dotted.get(feature, feature), {})[stat] = value
    return found


def read_assets(folder: Path, asset_id: str) -> Assets:
    """openpi's statistics beside its weights. `asset_id` chooses where there are several.

    Nothing chosen where there is none, or more than one to choose from. Raises CheckpointError.
    """
    files = {
        str(file.parent.relative_to(folder / ASSETS)): file
        for file in sorted((folder / ASSETS).rglob(NORM_STATS))
    }
    chosen = asset_id or (next(iter(files)) if len(files) == 1 else "")
    if chosen not in files:
        return Assets(tuple(files))
    return Assets(tuple(files), chosen, read_norm_stats(files[chosen]), files[chosen])


def read_norm_stats(file: Path) -> dict[str, Stats]:
    """A `norm_stats.json` of openpi, under LeRobot's names. Raises CheckpointError."""
    try:
        content = json.loads(file.read_bytes())
        table = content.get("norm_stats", content)
        return {
            OPENPI_NAMES.get(key, key): {
                stat: np.asarray(value, np.float64)
                for stat, value in entry.items()
                if value is not None
            }
            for key, entry in table.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"{file} cannot be read: {error}.",
            "It was cut short, edited, or is not one of openpi's files.",
            'It looks like {"norm_stats": {"state": {"mean": […], "std": […]}, "actions": {…}}}.',
        ) from error


# --- judging --------------------------------------------------------------------------------------


def problems(
    key: str, mode: str, stats: Stats, where: str, *, visual: bool = False
) -> list[StatsProblem]:
    """What is wrong with the statistics of one feature that is normalised by `mode`."""
    found: list[StatsProblem] = []
    for stat in NEEDED.get(mode, ()):
        value = stats.get(stat)
        if value is None:
            found.append(_missing(key, stat, where))
        elif not np.isfinite(value).all():
            found.append(_infinite(key, stat, where))
    if not found:
        found += _degenerate(key, mode, stats, where, visual=visual)
    return found


def _missing(key: str, stat: str, where: str) -> StatsProblem:
    return StatsProblem(
        f"{where} normalises {key} but has no {stat} for it.",
        "The policy was saved without its dataset's statistics; the numbers would pass through "
        "unchanged and the arm would move to wrong places.",
        "Put them in: robotd ckpt stats PATH --from DATASET (or the norm_stats.json it was trained "
        "with) --out COPY.",
    )


def _infinite(key: str, stat: str, where: str) -> StatsProblem:
    return StatsProblem(
        f"{where}: the {stat} of {key} is not a finite number.",
        "The statistics were never filled in (LeRobot's `mean is infinity`, #694: a converted "
        "checkpoint lost them), or the dataset holds NaN.",
        "Put them in: robotd ckpt stats PATH --from DATASET (or norm_stats.json) --out COPY.",
    )


def _degenerate(
    key: str, mode: str, stats: Stats, where: str, *, visual: bool
) -> list[StatsProblem]:
    if mode not in NEEDED or mode == "IDENTITY":
        return []
    low, high = (np.asarray(stats[name], np.float64).reshape(-1) for name in NEEDED[mode])
    if low.size != high.size:
        first, second = NEEDED[mode]
        return [
            StatsProblem(
                f"{where}: the {first} of {key} has {low.size} values, and its {second} {high.size}.",
                "The statistics were edited, or those of two robots were mixed up.",
                "Compute them again: robotd ckpt stats PATH --from DATASET --out COPY.",
            )
        ]
    spread = high if mode == "MEAN_STD" else high - low
    unused = (low == 0) & (high == 0)  # padding to the model's size
    still = (spread < (_DARK if visual else _CONSTANT)) & ~unused
    if (spread < 0).any():
        return [
            StatsProblem(
                f"{where}: {key} has a {'negative std' if mode == 'MEAN_STD' else 'range below 0'}.",
                "The statistics were edited, or their rows were mixed up.",
                "Compute them again: robotd ckpt stats PATH --from DATASET --out COPY.",
            )
        ]
    if unused.all() or (still | unused).all() or (visual and still.any()):
        return [
            StatsProblem(
                f"{where}: nothing in {key} varies (largest spread {spread.max():g}).",
                "The statistics come from one frame, a frozen recording, or pictures of another "
                "scale; dividing by them makes noise of every value.",
                "Compute them on the training dataset: robotd ckpt stats PATH --from DATASET "
                "--out COPY.",
            )
        ]
    if still.any():
        return [
            StatsProblem(
                f"{where}: {key} has values that never varied in training: "
                f"{', '.join(map(str, np.flatnonzero(still)))} (of {len(still)}).",
                "A joint that stood still in every episode.",
                "Keep it still when the policy plays; a reading off its mean is blown up by "
                "the normalisation.",
                fatal=False,
            )
        ]
    return []
