"""A copy of a checkpoint with the statistics it should have had (LeRobot's "mean is infinity", #694).

The statistics come from the training dataset, or from openpi's `norm_stats.json`. Where a dataset
does not keep what the checkpoint needs (quantiles), they are computed from its rows. Those of pictures
are left where they are sound, and are ImageNet's where the training used these. The original is not
touched.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from policies.checkpoint import norms
from policies.checkpoint.container import Container, open_container
from policies.checkpoint.evidence import amend_sidecar, dataset_units
from policies.checkpoint.folder import TRAINING, read_json
from policies.checkpoint.norms import ACTION, STATE, Stats
from policies.checkpoint.relative import delta_mask
from policies.checkpoint.stats_check import feature_size, size_fits, statistics_problems
from policies.checkpoint.tensors import WEIGHTS, write_safetensors
from robotd import paths
from robotd.errors import CheckpointError, DatasetError

_VECTORS = (STATE, ACTION)
_IMAGENET: Stats = {
    "mean": np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1),
    "std": np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1),
}
"""LeRobot's `IMAGENET_STATS`."""
_OPENPI = {ours: theirs for theirs, ours in norms.OPENPI_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Source:
    """Where statistics come from: a dataset's folder, or a file of openpi's."""

    where: Path
    stats: Mapping[str, Stats]
    dataset: str = ""
    fps: float | None = None
    units: str = ""


def mend(
    path: Path, source: str, out: Path, *, asset_id: str = "", embodiment: str = ""
) -> Container:
    """Copy the checkpoint at `path` to `out`, with the statistics of `source`; gives the copy.

    `embodiment` is what a person named as the robot and convention of a checkpoint of openpi.
    Raises CheckpointError or DatasetError, and then leaves no copy.
    """
    container = open_container(path, asset_id=asset_id)
    needed = _needed(container)
    kept = _sound_pictures(container, needed)
    needed = {key: stats for key, stats in needed.items() if key not in kept}
    found = _with_imagenet(container, needed, read_source(source, needed))
    found = replace(found, stats={k: own for k, own in found.stats.items() if k not in kept})
    if found.dataset and any(delta_mask(container, embodiment)):
        raise CheckpointError(
            f"{container.path} has actions relative to the state, and a dataset's statistics are "
            "of absolute ones.",
            "Statistics of relative actions are computed after they were made relative.",
            "Give the norm_stats.json that openpi's compute_norm_stats.py wrote for the training, or "
            "copy the policy_*processor files of the training once more.",
        )
    _require(container, needed, found)
    if out.exists():
        raise CheckpointError(
            f"{out} exists already.",
            "It is an earlier copy, or another checkpoint.",
            "Name another folder with --out, or remove it.",
        )
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(container.path, partial)
        _write(container, partial, found, asset_id)
        _note(partial, container, found)
        left = [p for p in statistics_problems(open_container(partial)) if p.fatal]
        if left:
            raise CheckpointError(left[0].what, left[0].likely, left[0].do)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_container(out)


def _needed(container: Container) -> dict[str, tuple[str, ...]]:
    """Feature -> the statistics that the checkpoint normalises it with."""
    modes = container.norm.modes
    needed = {
        key: norms.NEEDED.get(modes.get(kind, "IDENTITY"), ())
        for key, kind in _kinds(container).items()
    }
    return {key: stats for key, stats in needed.items() if stats}


def _kinds(container: Container) -> dict[str, str]:
    """Feature -> LeRobot's type of it."""
    if container.framework != "lerobot":
        return {STATE: "STATE", ACTION: "ACTION"}
    kinds = {key: f.type for key, f in (*container.inputs.items(), *container.outputs.items())}
    for normaliser in container.normalisers:
        kinds |= normaliser.types
    return kinds


# --- pictures -------------------------------------------------------------------------------------


def _sound_pictures(container: Container, needed: Iterable[str]) -> set[str]:
    """The pictures whose statistics are as they were trained with: a dataset's would be others,
    since lerobot-train puts ImageNet's in their place."""
    mode = container.norm.modes.get("VISUAL", "IDENTITY")
    return {
        key
        for key in needed
        if _kinds(container)[key] == "VISUAL"
        and not any(
            problem.fatal
            for problem in norms.problems(
                key, mode, container.stats.get(key, {}), str(container.path), visual=True
            )
        )
    }


def _with_imagenet(
    container: Container, needed: Mapping[str, tuple[str, ...]], found: Source
) -> Source:
    """What lerobot-train wrote for pictures: ImageNet's mean and deviation, unless it was told not
    to (`use_imagenet_stats`)."""
    file = container.path / TRAINING
    dataset = read_json(file).get("dataset") if file.exists() else {}
    if isinstance(dataset, dict) and dataset.get("use_imagenet_stats") is False:
        return found
    pictures = {
        key: {**found.stats.get(key, {}), **_IMAGENET}
        for key in needed
        if _kinds(container)[key] == "VISUAL"
    }
    return replace(found, stats={**found.stats, **pictures})


# --- fitting --------------------------------------------------------------------------------------


def _require(container: Container, needed: Mapping[str, tuple[str, ...]], found: Source) -> None:
    for key, stats in needed.items():
        missing = [stat for stat in stats if stat not in found.stats.get(key, {})]
        if missing:
            raise CheckpointError(
                f"{found.where} has no {' and no '.join(missing)} of {key}, which "
                f"{container.path} normalises.",
                "It is another dataset than it was trained on, or its features have other names.",
                "Give the dataset (or norm_stats.json) of the training.",
            )
        size = found.stats[key][stats[0]].size
        if not size_fits(container, key, size):
            wanted = feature_size(container, key)
            raise CheckpointError(
                f"{key} has {size} values in {found.where}, and {wanted} in {container.path}.",
                "It is a dataset of another robot.",
                "Give the dataset (or norm_stats.json) of the training.",
            )


# --- sources --------------------------------------------------------------------------------------


def read_source(source: str, needed: Mapping[str, tuple[str, ...]]) -> Source:
    """Statistics from a `norm_stats.json`, a dataset's folder or its hub name on this machine.

    Raises CheckpointError or DatasetError.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return Source(path, norms.read_norm_stats(path))
    if (path / norms.NORM_STATS).is_file():
        return Source(path, norms.read_norm_stats(path / norms.NORM_STATS))
    for root in (path, paths.lerobot_home() / source):
        if (root / "meta/info.json").exists():
            return _dataset(root, source, needed)
    raise DatasetError(
        f"{source} is neither a dataset on this machine nor a norm_stats.json.",
        "The name is wrong, or the dataset was never fetched.",
        "robotd dataset list shows what is here; hf download --repo-type dataset fetches.",
    )


def _dataset(root: Path, name: str, needed: Mapping[str, tuple[str, ...]]) -> Source:
    info = read_json(root / "meta/info.json")
    stats: dict[str, Stats] = {}
    if (root / "meta/stats.json").exists():
        for key, entry in read_json(root / "meta/stats.json").items():
            stats[key] = {stat: np.asarray(value, np.float64) for stat, value in entry.items()}
    for key in _VECTORS:
        absent = [stat for stat in needed.get(key, ()) if stat not in stats.get(key, {})]
        if absent and key in info.get("features", {}):
            stats.setdefault(key, {}).update(_from_rows(root, key, absent))
    dataset = name if not Path(name).expanduser().exists() else root.name
    return Source(root, stats, dataset, info.get("fps"), dataset_units(root))


def _from_rows(root: Path, key: str, wanted: list[str]) -> Stats:
    """Statistics of a vector feature, computed from every row of the dataset."""
    import pyarrow.parquet as parquet

    files = sorted((root / "data").rglob("*.parquet"))
    columns = [parquet.read_table(file, columns=[key])[key].to_pylist() for file in files]
    rows = np.asarray([row for column in columns for row in column], np.float64)
    if not rows.size:
        return {}
    made = {
        "mean": lambda: rows.mean(axis=0),
        "std": lambda: rows.std(axis=0),
        "min": lambda: rows.min(axis=0),
        "max": lambda: rows.max(axis=0),
    }
    quantiles = {stat: float(stat[1:]) / 100 for stat in wanted if stat[1:].isdigit()}
    found = {stat: made[stat]() for stat in wanted if stat in made}
    return found | {stat: np.quantile(rows, part, axis=0) for stat, part in quantiles.items()}


# --- writing --------------------------------------------------------------------------------------


def _write(container: Container, folder: Path, found: Source, asset_id: str) -> None:
    if container.framework != "lerobot":
        asset = asset_id or container.assets.chosen or _asset_name(found)
        write_norm_stats(folder, asset, found.stats)
        if any(other != asset for other in container.assets.found):
            amend_sidecar(folder, asset_id=asset)
    elif container.generation == "g1":
        _write_buffers(container, folder, found)
    else:
        for file in (norms.PREPROCESSOR, norms.POSTPROCESSOR):
            _write_processor(folder, file, found)


def _asset_name(found: Source) -> str:
    return found.dataset or found.where.parent.name or "robotd"


def write_norm_stats(folder: Path, asset: str, stats: Mapping[str, Stats]) -> None:
    """openpi's `assets/<asset>/norm_stats.json`, of state and action."""
    table = {
        _OPENPI[key]: {
            stat: np.asarray(stats[key][stat], np.float64).reshape(-1).tolist()
            for stat in ("mean", "std", "q01", "q99")
            if stat in stats[key]
        }
        for key in _VECTORS
        if key in stats
    }
    file = folder / norms.ASSETS / asset / norms.NORM_STATS
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"norm_stats": table}, indent=2) + "\n")


def _write_buffers(container: Container, folder: Path, found: Source) -> None:
    """The whole weights file again, with the buffers of LeRobot up to 0.3 filled."""
    import torch

    store = container.store
    tensors = {name: container.read(name) for name in store.infos}
    kinds = {**container.inputs, **container.outputs}
    for key, feature in kinds.items():
        mode = container.norm.modes.get(feature.type, "IDENTITY")
        parts = (
            ("normalize_targets", "unnormalize_outputs")
            if feature.type == "ACTION"
            else ("normalize_inputs",)
        )
        for stat in norms.NEEDED.get(mode, ()) if key in found.stats else ():
            value = torch.tensor(found.stats[key][stat], dtype=torch.float32)
            for part in parts:
                name = f"{part}.buffer_{key.replace('.', '_')}.{stat}"
                shape = store.infos[name].shape if name in store.infos else tuple(value.shape)
                tensors[name] = value.reshape(shape)
    write_safetensors(folder / WEIGHTS, tensors)


def _write_processor(folder: Path, file: str, found: Source) -> None:
    from safetensors.numpy import save_file

    content = read_json(folder / file)
    for index, step in enumerate(content.get("steps", [])):
        registry = step.get("registry_name", "")
        if registry not in norms.NORMALISERS:
            continue
        name = step.get("state_file") or f"{Path(file).stem}_step_{index}_{registry}.safetensors"
        features = step.get("config", {}).get("features", {})
        old = norms.load_stats_file(folder / name) if (folder / name).exists() else {}
        flat: dict[str, Any] = {key: np.asarray(v, np.float32) for key, v in old.items()}
        for key in {*features, *norms.nested(old)}:  # a file holds more than its step uses
            for stat, value in found.stats.get(key, {}).items():
                flat[f"{key}.{stat}"] = np.asarray(value, np.float32)
        save_file(flat, folder / name)
        step["state_file"] = name
    (folder / file).write_text(json.dumps(content, indent=2) + "\n")


def _note(folder: Path, container: Container, found: Source) -> None:
    """What the dataset proves besides: rate and units, where nothing said them yet."""
    sidecar = container.sidecar
    changes: dict[str, Any] = {}
    if found.dataset and sidecar.training is None:
        changes["training"] = {"dataset": found.dataset}
    if found.fps and sidecar.fps is None:
        changes["fps"] = found.fps
    if found.units and not sidecar.units:
        changes["units"] = found.units
    if changes:
        amend_sidecar(folder, **changes)
