"""The tensors of a Pi0 in PyTorch's names, put back into JAX's tree: the map of openpi backwards.

Written from the shapes that the JAX tree has, not from the forward conversion, so that a round trip
proves both. Sizes that PyTorch's shapes do not show are given: heads of the vision tower, key heads.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = Any

_ROOT = "paligemma_with_expert."
_VISION = _ROOT + "paligemma.model.vision_tower.vision_model."
_TEXT = _ROOT + "paligemma.model.language_model."
_EXPERT = _ROOT + "gemma_expert.model."
_PROJECTOR = _ROOT + "paligemma.model.multi_modal_projector.linear"
_BLOCK = "PaliGemma/img/Transformer/encoderblock/"
_ATTENTION = _BLOCK + "MultiHeadDotProductAttention_0/"
_LLM = "PaliGemma/llm/"
_HEADS = (
    "action_in_proj",
    "action_out_proj",
    "state_proj",
    "action_time_mlp_in",
    "action_time_mlp_out",
    "time_mlp_in",
    "time_mlp_out",
)


def jax_tree(tensors: Mapping[str, Array], *, vision_heads: int, head_dim: int) -> dict[str, Array]:
    """The JAX tree of canonical PyTorch tensors (numpy arrays here). KeyError for a missing one."""
    tree = _vision(tensors, vision_heads)
    tree[_LLM + "embedder/input_embedding"] = tensors[_TEXT + "embed_tokens.weight"]
    for root, suffix in ((_TEXT, ""), (_EXPERT, "_1")):
        tree |= _gemma(tensors, root, suffix, head_dim)
    for name in _HEADS:
        if name + ".weight" in tensors:
            tree[name + "/kernel"] = tensors[name + ".weight"].T
            tree[name + "/bias"] = tensors[name + ".bias"]
    return tree


def _vision(tensors: Mapping[str, Array], heads: int) -> dict[str, Array]:
    embeddings = _VISION + "embeddings."
    patch = tensors[embeddings + "patch_embedding.weight"]  # [W, 3, p, q]
    tree = {
        "PaliGemma/img/embedding/kernel": np.moveaxis(patch, (2, 3, 1, 0), (0, 1, 2, 3)),
        "PaliGemma/img/embedding/bias": tensors[embeddings + "patch_embedding.bias"],
        "PaliGemma/img/pos_embedding": tensors[embeddings + "position_embedding.weight"][None],
        "PaliGemma/img/Transformer/encoder_norm/scale": tensors[_VISION + "post_layernorm.weight"],
        "PaliGemma/img/Transformer/encoder_norm/bias": tensors[_VISION + "post_layernorm.bias"],
        "PaliGemma/img/head/kernel": tensors[_PROJECTOR + ".weight"].T,
        "PaliGemma/img/head/bias": tensors[_PROJECTOR + ".bias"],
    }

    def stack(name: str, change: Callable[[Array], Array] = lambda x: x) -> Array:
        return _stacked(tensors, _VISION + "encoder.layers.", name, change)

    for number in (0, 1):
        norm, dense = f"LayerNorm_{number}", f"MlpBlock_0/Dense_{number}"
        tree[_BLOCK + norm + "/scale"] = stack(f"layer_norm{number + 1}.weight")
        tree[_BLOCK + norm + "/bias"] = stack(f"layer_norm{number + 1}.bias")
        tree[_BLOCK + dense + "/kernel"] = stack(f"mlp.fc{number + 1}.weight", np.transpose)
        tree[_BLOCK + dense + "/bias"] = stack(f"mlp.fc{number + 1}.bias")
    for letter, word in (("q", "query"), ("k", "key"), ("v", "value")):
        tree[_ATTENTION + word + "/kernel"] = stack(
            f"self_attn.{letter}_proj.weight", lambda x: x.T.reshape(x.shape[1], heads, -1)
        )
        tree[_ATTENTION + word + "/bias"] = stack(
            f"self_attn.{letter}_proj.bias", lambda x: x.reshape(heads, -1)
        )
    tree[_ATTENTION + "out/kernel"] = stack(
        "self_attn.out_proj.weight", lambda x: x.T.reshape(heads, -1, x.shape[0])
    )
    tree[_ATTENTION + "out/bias"] = stack("self_attn.out_proj.bias")
    return tree


def _gemma(tensors: Mapping[str, Array], root: str, suffix: str, head_dim: int) -> dict[str, Array]:
    def stack(name: str, change: Callable[[Array], Array] = lambda x: x) -> Array:
        return _stacked(tensors, root + "layers.", name, change)

    def heads(x: Array) -> Array:  # [n·H, D] to [n, D, H]
        return np.swapaxes(x.reshape(-1, head_dim, x.shape[1]), 1, 2)

    keys = stack("self_attn.k_proj.weight", heads)
    values = stack("self_attn.v_proj.weight", heads)
    gates = stack("mlp.gate_proj.weight", np.transpose)
    ups = stack("mlp.up_proj.weight", np.transpose)
    layers = _LLM + "layers/"
    tree = {
        f"{layers}attn/q_einsum{suffix}/w": stack("self_attn.q_proj.weight", heads),
        f"{layers}attn/kv_einsum{suffix}/w": np.stack([keys, values], axis=1),
        f"{layers}attn/attn_vec_einsum{suffix}/w": stack(
            "self_attn.o_proj.weight", lambda x: x.T.reshape(-1, head_dim, x.shape[0])
        ),
        f"{layers}mlp{suffix}/gating_einsum": np.stack([gates, ups], axis=1),
        f"{layers}mlp{suffix}/linear": stack("mlp.down_proj.weight", np.transpose),
    }
    for jax_norm, name in (
        ("pre_attention_norm", "input_layernorm"),
        ("pre_ffw_norm", "post_attention_layernorm"),
    ):
        if f"{root}layers.0.{name}.weight" in tensors:
            tree[f"{layers}{jax_norm}{suffix}/scale"] = stack(name + ".weight")
        else:
            dense = f"{layers}{jax_norm}{suffix}/Dense_0/"
            tree[dense + "kernel"] = stack(name + ".dense.weight", np.transpose)
            tree[dense + "bias"] = stack(name + ".dense.bias")
    if root + "norm.weight" in tensors:
        tree[f"{_LLM}final_norm{suffix}/scale"] = tensors[root + "norm.weight"]
    else:
        dense = f"{_LLM}final_norm{suffix}/Dense_0/"
        tree[dense + "kernel"] = tensors[root + "norm.dense.weight"].T
        tree[dense + "bias"] = tensors[root + "norm.dense.bias"]
    return tree


def _stacked(
    tensors: Mapping[str, Array], root: str, name: str, change: Callable[[Array], Array]
) -> Array:
    """One tensor of every layer, each changed, along a new first axis."""
    found: list[Array] = []
    while (key := f"{root}{len(found)}.{name}") in tensors:
        found.append(change(tensors[key]))
    if not found:
        raise KeyError(f"{root}0.{name}")
    return np.stack(found)
