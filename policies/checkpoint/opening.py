"""Finding out which framework wrote a folder, and opening it as that one."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from policies.checkpoint import kinds, norms
from policies.checkpoint.container import Container, Framework
from policies.checkpoint.evidence import Sidecar, read_sidecar
from policies.checkpoint.folder import CONFIG, TRAINING, Feature, read_json
from policies.checkpoint.lora import is_adapter
from policies.checkpoint.norms import Norm, Normaliser, Stats
from policies.checkpoint.orbax import is_params, open_params
from policies.checkpoint.tensors import WEIGHTS, SafetensorsStore
from robotd.errors import CheckpointError

_PARAMS = "params"
_PEFT = "adapter_config.json"
_INSIDE = ("", "pretrained_model", "checkpoints/last/pretrained_model")
_SINCE_0_5 = ("use_relative_actions", "pretrained_revision")
"""Keys of config.json that LeRobot writes since 0.5.1, and since 0.6.0."""
_TRAINED_SINCE_0_5 = "cudnn_deterministic"
"""A key of train_config.json since 0.5.0, whose config.json is 0.4's to the letter, and which pads
pictures and writes prompts as 0.6 does."""
_OPENPI_MODES = {"pi0": "MEAN_STD", "pi05": "QUANTILES"}
_LEROBOT_MODES = {"pi0": "MEAN_STD", "pi05": "QUANTILES"}


def find_and_open(path: Path, *, lora_alpha: float | None, asset_id: str) -> Container:
    """See `container.open_container`."""
    path = path.expanduser()
    if not path.exists():
        from policies.pulling.shelf import local_folder

        path = local_folder(str(path))  # it may be the name that it was pulled under
    folder = _find(path)
    sidecar = read_sidecar(folder)
    changes: dict[str, Any] = {"lora_alpha": lora_alpha} if lora_alpha is not None else {}
    changes |= {"asset_id": asset_id} if asset_id else {}
    sidecar = msgspec.structs.replace(sidecar, **changes)
    if is_params(folder / _PARAMS):
        return _open_jax(folder, sidecar)
    config = read_json(folder / CONFIG) if (folder / CONFIG).exists() else {}
    if "type" in config:
        return _open_lerobot(folder, config, sidecar)
    return _open_torch(folder, config, sidecar)


def _find(path: Path) -> Path:
    """The folder of the checkpoint in or around `path`."""
    if path.name == _PARAMS and is_params(path):
        return path.parent
    if path.name == WEIGHTS:
        path = path.parent
    for inside in _INSIDE:
        folder = path / inside if inside else path
        if is_params(folder / _PARAMS) or (folder / WEIGHTS).exists():
            return folder
    steps = [p for p in path.glob("*/") if p.name.isdigit()] if path.is_dir() else []
    for step in sorted(steps, key=lambda p: int(p.name), reverse=True):
        if is_params(step / _PARAMS) or (step / WEIGHTS).exists():
            return step
    raise _nothing_there(path)


def _nothing_there(path: Path) -> CheckpointError:
    if not path.exists():
        return CheckpointError(
            f"{path} does not exist.",
            "The name is wrong, or the checkpoint is still on the hub.",
            "robotd ckpt list shows what was fetched; robotd ckpt pull fetches.",
        )
    adapter = next((path / i / _PEFT for i in _INSIDE if (path / i / _PEFT).exists()), None)
    if adapter is not None:
        return _unmerged(adapter)
    if (path / CONFIG).exists():
        what, likely = f"has {CONFIG} and no {WEIGHTS}", "The weights were not copied with it."
    elif (path / _PARAMS).is_dir():
        what = "has a params/ folder without Orbax's _METADATA"
        likely = "It was copied in part, or saving was stopped."
    elif any(path.glob("*.index.json")) and any(path.glob("model-*.safetensors")):
        what = f"has weights in several files and no {WEIGHTS}"
        likely = "It is a language model's folder; LeRobot and openpi save one file."
    else:
        what = f"has neither {WEIGHTS} nor params/"
        likely = "It is not a checkpoint, or one level too high or too low."
    return CheckpointError(
        f"{path} {what}.",
        likely,
        "Give the folder that holds config.json and model.safetensors (LeRobot: "
        "RUN/checkpoints/last/pretrained_model), or params/ and assets/ (openpi: RUN/STEP).",
    )


def _unmerged(adapter: Path) -> CheckpointError:
    base = read_json(adapter).get("base_model_name_or_path") or "the policy that it was trained on"
    return CheckpointError(
        f"{adapter.parent} holds LoRA of PEFT beside no weights: what was changed of {base}.",
        "lerobot-train saves it so when it trains with --peft; robotd reads a whole policy.",
        "Merge it where it was trained: policy = PeftModel.from_pretrained(policy of the base, "
        f"{str(adapter.parent)!r}).merge_and_unload(); policy.save_pretrained(OUT); and copy "
        "train_config.json and policy_*processor* into OUT.",
    )


# --- LeRobot --------------------------------------------------------------------------------------


def _open_lerobot(folder: Path, config: Mapping[str, Any], sidecar: Sidecar) -> Container:
    store = SafetensorsStore(folder / WEIGHTS)
    weights = {n: info for n, info in store.infos.items() if not norms.is_buffer(n)}
    kind, source = _kind(weights, str(config.get("type", "")))
    inputs = _features(folder, config, "input_features")
    outputs = _features(folder, config, "output_features")
    buffers = [name for name in store.infos if norms.is_buffer(name)]
    normalisers = _normalisers(folder)
    stats: dict[str, Stats] = {}
    if buffers:
        stats = norms.buffer_stats(buffers, store.read, (*inputs, *outputs))
        stats_source = f"{WEIGHTS} (the model's buffers)"
    else:
        for normaliser in normalisers:
            stats.update(normaliser.own)
        stats_source = ", ".join(dict.fromkeys(n.state_file or n.file for n in normalisers))
    return Container(
        path=folder,
        framework="lerobot",
        generation=_generation(folder, config, old=bool(buffers) or not normalisers),
        kind=kind,
        kind_source=source,
        said_kind=str(config.get("type", "")),
        tensors=weights,
        stats=stats,
        stats_source=stats_source,
        norm=_lerobot_norm(kind, config, normalisers, sidecar),
        sidecar=sidecar,
        store=store,
        config=config,
        inputs=inputs,
        outputs=outputs,
        normalisers=normalisers,
    )


def _generation(folder: Path, config: Mapping[str, Any], *, old: bool) -> str:
    if old:
        return "g1"
    if any(key in config for key in _SINCE_0_5):
        return "g3"
    trained = read_json(folder / TRAINING) if (folder / TRAINING).exists() else {}
    return "g3" if _TRAINED_SINCE_0_5 in trained else "g2"


def _normalisers(folder: Path) -> tuple[Normaliser, ...]:
    found: list[Normaliser] = []
    for file in (norms.PREPROCESSOR, norms.POSTPROCESSOR):
        if (folder / file).exists():
            found += norms.read_normalisers(folder, file, read_json(folder / file))
    return tuple(found)


def _lerobot_norm(
    kind: str, config: Mapping[str, Any], normalisers: tuple[Normaliser, ...], sidecar: Sidecar
) -> Norm:
    modes: dict[str, str] = {}
    eps, source = norms.LEROBOT_EPS, ""
    for normaliser in normalisers:
        modes.update(normaliser.modes)
        eps, source = normaliser.eps, normaliser.file
    if not modes:
        mapping = config.get("normalization_mapping")
        modes = {k: str(v) for k, v in mapping.items()} if isinstance(mapping, dict) else {}
        source = CONFIG
    if not modes and kind in _LEROBOT_MODES:
        mode = _LEROBOT_MODES[kind]
        modes, source = {"STATE": mode, "ACTION": mode, "VISUAL": "IDENTITY"}, f"as a {kind} has it"
    return _said(Norm(modes, eps, "lerobot", source), sidecar)


def _said(norm: Norm, sidecar: Sidecar) -> Norm:
    if sidecar.norm is None:
        return norm
    modes = {**norm.modes, "STATE": sidecar.norm.mode, "ACTION": sidecar.norm.mode}
    formula = sidecar.norm.formula or norm.formula
    return Norm(modes, sidecar.norm.eps, formula, "robotd_ckpt.json")


def _features(folder: Path, config: Mapping[str, Any], key: str) -> dict[str, Feature]:
    try:
        return msgspec.convert(config.get(key) or {}, type=dict[str, Feature])
    except msgspec.ValidationError as error:
        raise CheckpointError(
            f"{folder / CONFIG}: {key} is not a table of features ({error}).",
            "The file was edited, or written by a LeRobot older than 0.1.",
            "Copy the checkpoint again, or save it with LeRobot 0.6.",
        ) from error


# --- openpi ---------------------------------------------------------------------------------------


def _open_torch(folder: Path, config: Mapping[str, Any], sidecar: Sidecar) -> Container:
    store = SafetensorsStore(folder / WEIGHTS)
    kind, source = _kind(store.infos, "")
    lerobots = kind not in _OPENPI_MODES or any(n.startswith("model.") for n in store.infos)
    if not kind or lerobots:
        raise CheckpointError(
            f"{folder} has no {CONFIG} that says which LeRobot policy it is, and its tensors "
            f"are not openpi's ({', '.join(list(store.infos)[:3])}, …).",
            "config.json was not copied, or these are the weights of another program.",
            "Copy the whole pretrained_model folder.",
        )
    return _openpi(folder, "openpi-torch", "", kind, source, store, config, sidecar)


def _open_jax(folder: Path, sidecar: Sidecar) -> Container:
    params = open_params(folder / _PARAMS)
    kind, source = _kind([n for n in params.infos if not is_adapter(n)], "")
    if kind not in _OPENPI_MODES:
        raise CheckpointError(
            f"{folder / _PARAMS} is an Orbax checkpoint of something else "
            f"({', '.join(list(params.infos)[:3])}, …).",
            "It is not one of openpi's Pi0 or Pi0.5 (pi0-FAST has no action expert).",
            "Give a checkpoint of a flow-matching Pi0.",
        )
    return _openpi(folder, "openpi-jax", params.layout, kind, source, params, {}, sidecar)


def _openpi(
    folder: Path,
    framework: Framework,
    generation: str,
    kind: str,
    source: str,
    store: Any,
    config: Mapping[str, Any],
    sidecar: Sidecar,
) -> Container:
    assets = norms.read_assets(folder, sidecar.asset_id)
    mode = _OPENPI_MODES[kind]
    modes = {"STATE": mode, "ACTION": mode, "VISUAL": "IDENTITY"}
    norm = Norm(modes, norms.OPENPI_EPS, "openpi", f"openpi's way for a {kind}")
    return Container(
        path=folder,
        framework=framework,
        generation=generation,
        kind=kind,
        kind_source=source,
        said_kind="",
        tensors=store.infos,
        stats=assets.stats,
        stats_source=str(assets.file.relative_to(folder)) if assets.file else "",
        norm=_said(norm, sidecar),
        sidecar=sidecar,
        store=store,
        config=config,
        assets=assets,
    )


def _kind(names: Any, said: str) -> tuple[str, str]:
    """The kind and where it is known from."""
    kind = kinds.kind_from_keys(list(names))
    if kind:
        return kind, "its tensors' names"
    return said, CONFIG if said else ""


def looks_like(path: Path) -> str:
    """What a folder's name claims it is, for a warning when its tensors say otherwise."""
    claimed = re.search(r"pi0[_-]?fast|pi_?0?5|pi_?0\.5|pi_?0|smolvla|act", path.name.lower())
    word = claimed[0] if claimed else ""
    if "fast" in word:
        return "pi0_fast"
    if "5" in word:
        return "pi05"
    return "pi0" if word.startswith("pi") else word
