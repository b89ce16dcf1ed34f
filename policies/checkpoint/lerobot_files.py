"""What LeRobot 0.6 keeps beside the weights of a policy: config.json and the two pipelines.

Pi0's pipelines are written as data, because LeRobot's own classes would fetch PaliGemma's tokenizer
(a gated repository) only to write its name. Which keys a config may have is asked of LeRobot.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from policies.checkpoint.container import Container
from policies.checkpoint.folder import CONFIG, renamed_inputs
from policies.checkpoint.norms import ACTION, POSTPROCESSOR, PREPROCESSOR, STATE
from policies.checkpoint.relative import lerobot_keys
from policies.checkpoint.tensors import WEIGHTS, write_safetensors
from policies.extra import extra_missing
from robotd.errors import CheckpointError

TOKENIZER = "google/paligemma-3b-pt-224"
_IMAGES = "observation.images."
_VARIANTS = {2048: "gemma_2b", 1024: "gemma_300m"}
_PROMPT_TOKENS = {"pi0": 48, "pi05": 200}


# --- Pi0 ------------------------------------------------------------------------------------------


def write_pi0(container: Container, folder: Path) -> None:
    """config.json, policy_preprocessor.json, policy_postprocessor.json and their statistics.

    The container's sidecar says which actions are relative to the state.
    """
    features = _features(container)
    config = _config(container, features)
    (folder / CONFIG).write_text(json.dumps(config, indent=4) + "\n")
    before, after = _pipelines(container, config)
    for file, steps in ((PREPROCESSOR, before), (POSTPROCESSOR, after)):
        _write_pipeline(container, folder, file, steps)


def _features(container: Container) -> dict[str, dict[str, Any]]:
    """LeRobot's inputs and outputs, by key."""
    if container.framework == "lerobot":
        both = {**container.inputs, **container.outputs}
        return {key: {"type": f.type, "shape": list(f.shape)} for key, f in both.items()}
    side = container.dims.image_size
    roles = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
    found = {_IMAGES + role: {"type": "VISUAL", "shape": [3, side, side]} for role in roles}
    for key, kind in ((STATE, "STATE"), (ACTION, "ACTION")):
        size = next(iter(container.stats[key].values())).size
        found[key] = {"type": kind, "shape": [size]}
    return found


def _config(container: Container, features: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    dims, sidecar = container.dims, container.sidecar
    known = _known_keys(container.kind)
    config = {key: value for key, value in container.config.items() if key in known}
    dtypes = {info.dtype for info in container.tensors.values()}
    said: dict[str, Any] = {
        "type": container.kind,
        "input_features": {k: f for k, f in features.items() if f["type"] != "ACTION"},
        "output_features": {k: f for k, f in features.items() if f["type"] == "ACTION"},
        "chunk_size": container.horizon[0],
        "max_action_dim": dims.action,
        "max_state_dim": dims.state or dims.action,
        "image_resolution": [dims.image_size, dims.image_size],
        "tokenizer_max_length": sidecar.prompt_tokens
        or container.config.get("tokenizer_max_length")
        or _PROMPT_TOKENS[container.kind],
        "paligemma_variant": _VARIANTS.get(dims.width, "gemma_2b"),
        "action_expert_variant": _VARIANTS.get(dims.expert_width, "gemma_300m"),
        "dtype": "bfloat16" if dtypes == {"bfloat16"} else "float32",
        "normalization_mapping": dict(container.norm.modes),
        "device": "cpu",
        "pretrained_revision": None,
    }
    said.setdefault("n_action_steps", config.get("n_action_steps", said["chunk_size"]))
    names = sidecar.joints or config.get("action_feature_names") or ()
    said |= lerobot_keys(sidecar.delta_mask, names, features[ACTION]["shape"][0])
    return {**config, **said}


def _known_keys(kind: str) -> set[str]:
    """The keys that LeRobot's configuration of this kind can read; it stops at any other."""
    try:
        from lerobot.policies.factory import make_policy_config
    except ImportError as error:
        raise extra_missing(error) from error
    return {field.name for field in dataclasses.fields(make_policy_config(kind, device="cpu"))}


_Step = dict[str, Any]


def _pipelines(container: Container, config: Mapping[str, Any]) -> tuple[list[_Step], list[_Step]]:
    features = {**config["input_features"], **config["output_features"]}
    norm = {"eps": container.norm.eps, "norm_map": config["normalization_mapping"]}
    normalise = _step("normalizer_processor", features=features, **norm)
    relative = _step(
        "relative_actions_processor",
        enabled=bool(config.get("use_relative_actions", False)),
        exclude_joints=config.get("relative_exclude_joints", []),
        action_names=config.get("action_feature_names"),
    )
    tokenizer = _step(
        "tokenizer_processor",
        max_length=config["tokenizer_max_length"],
        task_key="task",
        padding_side="right",
        padding="max_length",
        truncation=True,
        tokenizer_name=TOKENIZER,
    )
    renamed = {was: own for own, was in renamed_inputs(container.path).items()}
    begin = [
        _step("rename_observations_processor", rename_map=renamed),
        _step("to_batch_processor"),
    ]
    device = _step("device_processor", device="cpu", float_dtype=None)
    if container.kind == "pi05":
        prompt = _step(
            "pi05_prepare_state_tokenizer_processor_step",
            max_state_dim=config["max_state_dim"],
            task_key="task",
        )
        before = [*begin, relative, normalise, prompt, tokenizer, device]
    else:
        before = [*begin, _step("pi0_new_line_processor"), tokenizer, device, relative, normalise]
    undo = _step("unnormalizer_processor", features=config["output_features"], **norm)
    absolute = _step("absolute_actions_processor", enabled=relative["config"]["enabled"])
    return before, [undo, absolute, device]


def _step(registry_name: str, **config: Any) -> _Step:
    return {"registry_name": registry_name, "config": config}


def _write_pipeline(container: Container, folder: Path, file: str, steps: list[_Step]) -> None:
    from safetensors.numpy import save_file

    name = Path(file).stem
    for index, step in enumerate(steps):
        if "norm_map" not in step["config"]:
            continue
        step["state_file"] = f"{name}_step_{index}_{step['registry_name']}.safetensors"
        flat = {
            f"{key}.{stat}": np.asarray(value, np.float32)
            for key, entry in container.stats.items()
            for stat, value in entry.items()
        }
        save_file(flat, folder / step["state_file"])
    (folder / file).write_text(json.dumps({"name": name, "steps": steps}, indent=2) + "\n")


# --- other policies of LeRobot up to 0.3 ----------------------------------------------------------


def write_from_buffers(container: Container, folder: Path) -> None:
    """A policy whose statistics were buffers of the model, as LeRobot 0.6 saves it."""
    import torch
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies.factory import make_pre_post_processors

    write_safetensors(folder / WEIGHTS, {n: container.read(n) for n in container.tensors})
    known = _known_keys(container.kind) | {"type"}
    config = {key: value for key, value in container.config.items() if key in known}
    config |= {"device": "cpu", "pretrained_revision": None}
    (folder / CONFIG).write_text(json.dumps(config, indent=4) + "\n")
    stats = {
        key: {stat: torch.tensor(value, dtype=torch.float32) for stat, value in entry.items()}
        for key, entry in container.stats.items()
    }
    try:
        settings = PreTrainedConfig.from_pretrained(str(folder))
        pipelines = make_pre_post_processors(settings, dataset_stats=stats)
    except Exception as error:  # draccus and the processors raise types of their own
        raise CheckpointError(
            f"LeRobot cannot make the processors of {container.path}: {error}",
            "Its config.json is of a release that named things otherwise.",
            "Convert it with the LeRobot release that wrote it.",
        ) from error
    for pipeline in pipelines:
        pipeline.save_pretrained(folder)
