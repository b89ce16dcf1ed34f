"""A Pi0 of a quarter of a million numbers, written in each of the containers Pi0 comes in.

The real architecture at small sizes: vocabulary 512, widths 64 and 32, two layers, 8 heads of 16,
one key-value head, a SigLIP of 32×2 with 2 heads, patches of 14 on pictures of 28×28, actions of
32, chunks of 10. One set of numbers, drawn under JAX's names; every container holds the same model.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import ml_dtypes
import numpy as np
import numpy.typing as npt

from policies.checkpoint import layout
from policies.checkpoint.evidence import Sidecar, write_sidecar
from policies.checkpoint.jax_names import to_torch
from policies.checkpoint.pi0_layout import EMBEDDING, EXPERT_HEAD, LM_HEAD, Pi0Kind, jax_rows
from policies.checkpoint.pi0_tensors import as_torch

HORIZON, PROMPT_TOKENS, VISION_HEADS, IMAGE = 10, 24, 2, 28
CAMERAS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
ACTIONS = 32
SIZES = {
    "V": 512,
    "D": 64,
    "F": 128,
    "E": 32,
    "G": 64,
    "L": 2,
    "N": 8,
    "K": 1,
    "H": 16,
    "W": 32,
    "M": 64,
    "R": 2,
    "h": VISION_HEADS,
    "d": 16,
    "P": 14,
    "T": 4,
    "A": 32,
    "S": 32,
}
SIDECAR = Sidecar(
    fps=30, units="degrees", horizon=HORIZON, prompt_tokens=PROMPT_TOKENS, vision_heads=VISION_HEADS
)
_MODES: dict[Pi0Kind, str] = {"pi0": "MEAN_STD", "pi05": "QUANTILES"}

Arrays = dict[str, npt.NDArray[Any]]
Writer = Callable[[Path, Arrays], Path]


def arrays(kind: Pi0Kind = "pi0", seed: int = 0) -> Arrays:
    """The model under JAX's names, of a size that keeps what flows through it near one.

    float32, but each number is one that bfloat16 has too: stored as that, it is the same model.
    """
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in layout.expected(jax_rows(kind), SIZES).items():
        narrow = 0.02 if name.endswith(("bias", "scale")) else 0.5 / np.sqrt(shape[-2])
        drawn = narrow * rng.standard_normal(shape)
        made[name] = drawn.astype(ml_dtypes.bfloat16).astype(np.float32)
    return made


def bf16(values: Arrays) -> Arrays:
    """The same model, stored as bfloat16."""
    return {name: value.astype(ml_dtypes.bfloat16) for name, value in values.items()}


def kind_of(values: Arrays) -> Pi0Kind:
    """Which of the two these arrays are."""
    return "pi05" if "time_mlp_in/kernel" in values else "pi0"


def stats(seed: int = 1) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
    """Statistics of a state and an action of 32 values, under LeRobot's names."""
    rng = np.random.default_rng(seed)
    made = {}
    for key in ("observation.state", "action"):
        mean, std = rng.normal(0, 0.4, ACTIONS), rng.uniform(0.3, 1.5, ACTIONS)
        made[key] = {"mean": mean, "std": std, "q01": mean - 2 * std, "q99": mean + 2 * std}
    return made


# --- openpi ---------------------------------------------------------------------------------------


def write_assets(folder: Path, asset: str = "so101") -> None:
    """`assets/<asset>/norm_stats.json`, as openpi writes it."""
    names = {"observation.state": "state", "action": "actions"}
    table = {names[k]: {s: v.tolist() for s, v in entry.items()} for k, entry in stats().items()}
    file = folder / "assets" / asset / "norm_stats.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"norm_stats": table}))


def write_orbax(
    folder: Path,
    values: Arrays,
    *,
    training: bool = False,
    driver: Literal["zarr", "zarr3"] = "zarr",
    ocdbt: bool = True,
) -> Path:
    """openpi's JAX checkpoint, by tensorstore: `params/` with Orbax's metadata, `assets/`."""
    import tensorstore

    params = folder / "params"
    params.mkdir(parents=True)
    tree = {}
    for name, value in values.items():
        keys = ["params", *name.split("/"), *(["value"] if training else [])]
        stored = ".".join(keys)
        base: dict[str, Any] = {"driver": "file", "path": f"{params}/{stored}/"}
        if ocdbt:
            file = {"driver": "file", "path": f"{params}/"}
            base = {"driver": "ocdbt", "base": file, "path": f"{stored}/"}
        spec = {"driver": driver, "kvstore": base}
        spec["store_data_equal_to_fill_value"] = True
        tensorstore.open(
            spec, create=True, dtype=value.dtype.name, shape=value.shape
        ).result().write(value).result()
        tree[str(tuple(keys))] = {
            "key_metadata": [{"key": key, "key_type": 2} for key in keys],
            "value_metadata": {"value_type": "jax.Array", "write_shape": list(value.shape)},
        }
    metadata = {"tree_metadata": tree, "use_zarr3": driver == "zarr3"}
    (params / "_METADATA").write_text(json.dumps(metadata))
    write_assets(folder)
    write_sidecar(folder, SIDECAR)
    return folder


def torch_tensors(values: Arrays) -> dict[str, Any]:
    """The model under openpi's PyTorch names, without the tied head."""
    return {name: as_torch(array) for name, array in to_torch(values, values.__getitem__)}


def write_openpi_torch(folder: Path, values: Arrays) -> Path:
    """openpi's PyTorch checkpoint: of the tied pair it keeps the head, and the expert's head too."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    tensors = torch_tensors(values)
    tensors[LM_HEAD] = tensors.pop(EMBEDDING)
    tensors[EXPERT_HEAD] = torch.zeros(SIZES["V"], SIZES["E"])
    save_file(tensors, folder / "model.safetensors")
    config = {"action_dim": ACTIONS, "action_horizon": HORIZON, "precision": "float32"}
    (folder / "config.json").write_text(json.dumps(config))
    write_assets(folder)
    write_sidecar(folder, SIDECAR)
    return folder


# --- LeRobot --------------------------------------------------------------------------------------


def write_lerobot(folder: Path, values: Arrays, generation: Literal["g1", "g2", "g3"]) -> Path:
    """A `pretrained_model` as LeRobot 0.3, 0.4 or 0.6 saved it."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    kind = kind_of(values)
    tensors = {f"model.{name}": tensor for name, tensor in torch_tensors(values).items()}
    embedding = tensors.pop(f"model.{EMBEDDING}")
    config = _config(kind)
    if generation == "g1":
        tensors = {_old_name(name): tensor for name, tensor in tensors.items()}
        old = "model.paligemma_with_expert.paligemma.language_model"
        tensors[f"{old}.model.embed_tokens.weight"] = embedding
        for key, entry in stats().items():
            part = "normalize_inputs" if "state" in key else "unnormalize_outputs"
            for name, value in entry.items():
                buffer = f"{part}.buffer_{key.replace('.', '_')}.{name}"
                tensors[buffer] = torch.tensor(value, dtype=torch.float32)
    else:
        head = EMBEDDING if generation == "g3" else LM_HEAD
        tensors[f"model.{head}"] = embedding
        _write_processors(folder, kind, config, generation)
    if generation == "g3":
        config |= {"pretrained_revision": None, "use_relative_actions": False}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=4))
    write_sidecar(folder, SIDECAR)
    return folder


def _old_name(name: str) -> str:
    inner = "model.paligemma_with_expert.paligemma.model."
    name = name.replace(f"{inner}language_model.", "model.paligemma_with_expert.paligemma.LM.")
    name = name.replace(inner, "model.paligemma_with_expert.paligemma.")
    return name.replace("paligemma.LM.", "paligemma.language_model.model.")


def _config(kind: Pi0Kind) -> dict[str, Any]:
    pictures = {
        f"observation.images.{camera}": {"type": "VISUAL", "shape": [3, IMAGE, IMAGE]}
        for camera in CAMERAS
    }
    return {
        "type": kind,
        "input_features": {"observation.state": {"type": "STATE", "shape": [ACTIONS]}, **pictures},
        "output_features": {"action": {"type": "ACTION", "shape": [ACTIONS]}},
        "chunk_size": HORIZON,
        "n_action_steps": HORIZON,
        "max_state_dim": ACTIONS,
        "max_action_dim": ACTIONS,
        "image_resolution": [IMAGE, IMAGE],
        "tokenizer_max_length": PROMPT_TOKENS,
        "normalization_mapping": {
            "VISUAL": "IDENTITY",
            "STATE": _MODES[kind],
            "ACTION": _MODES[kind],
        },
    }


def _write_processors(
    folder: Path, kind: Pi0Kind, config: Mapping[str, Any], generation: str
) -> None:
    from safetensors.numpy import save_file

    flat = {
        f"{key}.{name}": value.astype(np.float32)
        for key, entry in stats().items()
        for name, value in entry.items()
    }
    features = {**config["input_features"], **config["output_features"]}
    norm_map = config["normalization_mapping"]
    relative = [{"registry_name": "relative_actions_processor", "config": {"enabled": False}}]
    before = [
        {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
        {"registry_name": "to_batch_processor", "config": {}},
        *(relative if generation == "g3" else []),
    ]
    for name, steps, registry, wanted in (
        ("policy_preprocessor", before, "normalizer_processor", features),
        ("policy_postprocessor", [], "unnormalizer_processor", config["output_features"]),
    ):
        state_file = f"{name}_step_{len(steps)}_{registry}.safetensors"
        settings = {"eps": 1e-8, "features": wanted, "norm_map": norm_map}
        step = {"registry_name": registry, "config": settings, "state_file": state_file}
        content = {"name": name, "steps": [*steps, step]}
        (folder / f"{name}.json").write_text(json.dumps(content))
        save_file(flat, folder / state_file)


CONTAINERS: dict[str, Writer] = {
    "openpi-torch": write_openpi_torch,
    "lerobot-g1": lambda folder, values: write_lerobot(folder, values, "g1"),
    "lerobot-g2": lambda folder, values: write_lerobot(folder, values, "g2"),
    "lerobot-g3": lambda folder, values: write_lerobot(folder, values, "g3"),
    "orbax-released": write_orbax,
    "orbax-training": lambda folder, values: write_orbax(folder, bf16(values), training=True),
}
"""Each writes the same model into a folder that does not exist yet, and returns it."""
