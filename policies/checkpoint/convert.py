"""A checkpoint of one framework as one of the other, with nothing lost on the way.

What openpi's and LeRobot's own converters lose is kept: the statistics, merged LoRA, the padding and
the normalisation's epsilon the policy was trained with (`robotd_ckpt.json`), and the expert's unused
head, without which both load strictly to an error, and LeRobot swallows that.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from policies.checkpoint import lerobot_files
from policies.checkpoint.container import Container, open_container
from policies.checkpoint.evidence import SIDECAR, amend_sidecar
from policies.checkpoint.folder import CONFIG, TRAINING
from policies.checkpoint.mend import write_norm_stats
from policies.checkpoint.norms import ASSETS
from policies.checkpoint.pi0_layout import EMBEDDING, EXPERT_HEAD, LM_HEAD, canonical_name
from policies.checkpoint.relative import delta_mask
from policies.checkpoint.stats_check import require_statistics
from policies.checkpoint.tensors import WEIGHTS, write_safetensors
from policies.embodiment_choice import ARM, Chosen, choose_embodiment
from policies.pi0.settings import horizon_of, read_settings, state_text
from robotd.errors import CheckpointError

Target = Literal["lerobot", "openpi"]

_MODES = ("MEAN_STD", "QUANTILES")
_GEMMA = {2048: "gemma_2b", 1024: "gemma_300m"}


def convert(
    path: Path,
    to: Target,
    out: Path,
    *,
    lora_alpha: float | None = None,
    asset_id: str = "",
    horizon: int = 0,
    embodiment: str = "",
) -> Container:
    """Write the checkpoint at `path` into `out` as LeRobot 0.6's or openpi's PyTorch; gives it.

    `horizon` is the actions of a chunk where no file says it (0: nobody said it), and `embodiment`
    the robot and convention of a checkpoint of openpi, likewise.
    Needs as much memory as the weights. Raises CheckpointError, and then leaves no folder.
    """
    container = open_container(path, lora_alpha=lora_alpha, asset_id=asset_id)
    if horizon:
        container = _saying(container, horizon=horizon)
    if out.exists():
        raise CheckpointError(
            f"{out} exists already.",
            "It is an earlier conversion, or another checkpoint.",
            "Name another folder with --out, or remove it.",
        )
    require_statistics(container)
    if container.is_pi0:
        _refuse_other_modes(container)
        container = _with_convention(container, to, embodiment)
        horizon_of(container)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        if not container.is_pi0:
            _refuse_unless_old_lerobot(container, to)
            lerobot_files.write_from_buffers(container, partial)
        elif to == "openpi":
            _write_openpi(container, partial)
        else:
            _write_lerobot(container, partial)
        _keep(container, partial)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_container(out)


def _saying(container: Container, **facts: Any) -> Container:
    return replace(container, sidecar=msgspec.structs.replace(container.sidecar, **facts))


def _with_convention(container: Container, to: Target, embodiment: str) -> Container:
    """The container with what is known of its actions said in its sidecar, for the new folder's.

    What openpi's files never say, which robot and whether actions are relative, LeRobot's have to:
    it is asked for where nothing tells it. Raises CheckpointError.
    """
    if container.framework == "lerobot":
        return _saying(container, delta_mask=delta_mask(container))
    sidecar = container.sidecar
    try:
        chosen = choose_embodiment(embodiment, container.path, container.kind, sidecar.units)
    except CheckpointError:
        if to == "lerobot":
            raise
        return container  # openpi's again: who plays it is asked, as with the original
    if to == "lerobot":
        _refuse_other_numbers(container, chosen)
    row = chosen.row
    facts: dict[str, Any] = {"delta_mask": row.delta_mask}
    if not container.horizon[0] and (horizon := row.horizon.get(container.pi0_kind)):
        facts["horizon"] = horizon
    if container.kind == "pi05" and row.state_text and not sidecar.state_text:
        facts["state_text"] = row.state_text
    if row.fps and sidecar.fps is None:
        facts["fps"] = row.fps
    if row.robot == ARM and not sidecar.units:
        facts["units"] = chosen.units
    if embodiment and not sidecar.embodiment and to == "openpi":
        facts["embodiment"] = embodiment
    return _saying(container, **facts)


def _refuse_other_numbers(container: Container, chosen: Chosen) -> None:
    forms = sorted({part.form for part in chosen.row.actions} - {"same"})
    if forms:
        raise CheckpointError(
            f"{container.path} speaks numbers that LeRobot's files cannot say ({chosen.name}: "
            f"{', '.join(forms)}).",
            "A LeRobot policy gives what its dataset's actions are; openpi converts beside its files.",
            "Play it as it is (robotd plays openpi's files itself), or convert it --to openpi.",
        )


def _refuse_unless_old_lerobot(container: Container, to: Target) -> None:
    if to == "openpi":
        raise CheckpointError(
            f"openpi has no {container.kind}.",
            "Only Pi0 and Pi0.5 exist in both.",
            "Run it as it is: robotd plays LeRobot's policies itself.",
        )
    if container.generation != "g1":
        raise CheckpointError(
            f"{container.path} is LeRobot's already ({container.generation}).",
            "Only LeRobot up to 0.3 kept its statistics in the model.",
            "Use it as it is.",
        )


def _weights(container: Container) -> dict[str, Any]:
    """The canonical tensors, with the expert's head as it was stored or as zeros."""
    import torch

    tensors = container.pi0_tensors()
    stored = next((n for n in container.tensors if canonical_name(n) == EXPERT_HEAD), None)
    if stored is not None:
        tensors[EXPERT_HEAD] = container.read(stored)
    else:
        dims = container.dims
        kind = tensors[EMBEDDING].dtype
        tensors[EXPERT_HEAD] = torch.zeros(dims.vocabulary, dims.expert_width, dtype=kind)
    return tensors


def _refuse_other_modes(container: Container) -> None:
    """Of a Pi0: what neither openpi's files nor the note of its formula can say."""
    state, action = (container.norm.modes.get(kind, "IDENTITY") for kind in ("STATE", "ACTION"))
    if state != action or action not in _MODES:
        raise CheckpointError(
            f"{container.path} normalises states by {state} and actions by {action}.",
            f"A Pi0 is converted where both are {' or both '.join(_MODES)}, as openpi has them.",
            "Play it as it is: robotd plays LeRobot's files itself.",
        )


# --- openpi ---------------------------------------------------------------------------------------


def _write_openpi(container: Container, folder: Path) -> None:
    tensors = _weights(container)
    # Of a tied pair safetensors keeps one; openpi's own files keep the head.
    tensors[LM_HEAD] = tensors.pop(EMBEDDING)
    write_safetensors(folder / WEIGHTS, tensors)
    dims = container.dims
    config = {
        "action_dim": dims.action,
        "action_horizon": container.horizon[0] or None,
        "paligemma_variant": _GEMMA.get(dims.width),
        "action_expert_variant": _GEMMA.get(dims.expert_width),
        "precision": container.tensors[next(iter(container.tensors))].dtype,
        "pi05": container.kind == "pi05",
    }
    said = {key: value for key, value in config.items() if value is not None}
    (folder / CONFIG).write_text(json.dumps(said, indent=2) + "\n")
    if container.framework == "lerobot":
        write_norm_stats(folder, _asset(container), container.stats)
    else:
        shutil.copytree(container.path / ASSETS, folder / ASSETS)


def _asset(container: Container) -> str:
    training = container.sidecar.training
    return training.dataset if training else container.sidecar.asset_id or "robotd"


# --- LeRobot --------------------------------------------------------------------------------------


def _write_lerobot(container: Container, folder: Path) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in _weights(container).items()}
    # LeRobot 0.6 fills the embedding from the head when only that is there, never the other way.
    tensors[f"model.{LM_HEAD}"] = tensors.pop(f"model.{EMBEDDING}")
    write_safetensors(folder / WEIGHTS, tensors)
    lerobot_files.write_pi0(container, folder)


# --- both -----------------------------------------------------------------------------------------


def _keep(container: Container, folder: Path) -> None:
    """The sidecar, and in it what the new folder would be taken for otherwise."""
    if (container.path / SIDECAR).exists():
        shutil.copyfile(container.path / SIDECAR, folder / SIDECAR)
    if (container.path / TRAINING).exists():
        shutil.copyfile(container.path / TRAINING, folder / TRAINING)
    changes: dict[str, Any] = {"lora_alpha": None, **_provenance(container)}
    amend_sidecar(folder, **changes)


def _provenance(container: Container) -> Mapping[str, Any]:
    if not container.is_pi0:
        return {}
    settings, norm, dims = read_settings(container), container.norm, container.dims
    said: dict[str, Any] = {
        "prompt_tokens": settings.prompt.length,
        "image_pad": settings.pad,
        "norm": {
            "mode": norm.modes.get("ACTION", "MEAN_STD"),
            "eps": norm.eps,
            "formula": norm.formula,
        },
    }
    if container.horizon[0]:
        said["horizon"] = container.horizon[0]
    if dims.vision_heads:
        said["vision_heads"] = dims.vision_heads
    for name in ("delta_mask", "units", "embodiment", "fps"):
        if known := getattr(container.sidecar, name):
            said[name] = known
    if container.kind == "pi05" and state_text(container, container.pi0_kind)[1]:
        said["state_text"] = settings.prompt.state
    return said
