"""JAX's arrays of a Pi0 as PyTorch's tensors, right for any sizes.

openpi's own converter is not followed where it is wrong: it decides the norms by the folder's name,
reshapes `o_proj` as if N·H were D, drops LoRA and assumes 18 and 27 layers.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.checkpoint.pi0_layout import EMBEDDING, EXPERT, LANGUAGE, PROJECTOR, VISION

Array = npt.NDArray[Any]
_IMG, _LLM = "PaliGemma/img", "PaliGemma/llm"
_BLOCK = f"{_IMG}/Transformer/encoderblock"
_ATTENTION = f"{_BLOCK}/MultiHeadDotProductAttention_0"
_PROJECTIONS = (
    "action_in_proj",
    "action_out_proj",
    "state_proj",
    "action_time_mlp_in",
    "action_time_mlp_out",
    "time_mlp_in",
    "time_mlp_out",
)

# What becomes of one layer of an array: (suffix of the PyTorch name, tensor), one or two of them.
_Made = list[tuple[str, Array]]


def _plain(suffix: str) -> Callable[[Array], _Made]:
    return lambda x: [(suffix, x)]


def _transposed(suffix: str) -> Callable[[Array], _Made]:
    return lambda x: [(suffix, x.T)]


def _heads_in(suffix: str) -> Callable[[Array], _Made]:
    """[W, h, d] -> [h·d, W]."""
    return lambda x: [(suffix, x.reshape(x.shape[0], -1).T)]


def _heads_out(suffix: str) -> Callable[[Array], _Made]:
    """[N, H, D] -> [D, N·H]."""
    return lambda x: [(suffix, x.reshape(-1, x.shape[-1]).T)]


def _flat(suffix: str) -> Callable[[Array], _Made]:
    return lambda x: [(suffix, x.reshape(-1))]


def _by_head(x: Array) -> Array:
    """[N, D, H] -> [N·H, D]."""
    return x.transpose(0, 2, 1).reshape(-1, x.shape[1])


def _query(x: Array) -> _Made:
    return [("self_attn.q_proj.weight", _by_head(x))]


def _key_value(x: Array) -> _Made:
    return [
        ("self_attn.k_proj.weight", _by_head(x[0])),
        ("self_attn.v_proj.weight", _by_head(x[1])),
    ]


def _gate_up(x: Array) -> _Made:
    return [("mlp.gate_proj.weight", x[0].T), ("mlp.up_proj.weight", x[1].T)]


def _stacked() -> dict[str, tuple[str, Callable[[Array], _Made]]]:
    """JAX name -> (PyTorch module that has `.layers.l.`, what becomes of one layer)."""
    vision = f"{VISION}.encoder"
    table: dict[str, tuple[str, Callable[[Array], _Made]]] = {}
    for part, name in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
        table[f"{_ATTENTION}/{part}/kernel"] = (vision, _heads_in(f"self_attn.{name}.weight"))
        table[f"{_ATTENTION}/{part}/bias"] = (vision, _flat(f"self_attn.{name}.bias"))
    table[f"{_ATTENTION}/out/kernel"] = (vision, _heads_out("self_attn.out_proj.weight"))
    table[f"{_ATTENTION}/out/bias"] = (vision, _plain("self_attn.out_proj.bias"))
    for number, (norm, dense) in enumerate((("layer_norm1", "fc1"), ("layer_norm2", "fc2"))):
        table[f"{_BLOCK}/LayerNorm_{number}/scale"] = (vision, _plain(f"{norm}.weight"))
        table[f"{_BLOCK}/LayerNorm_{number}/bias"] = (vision, _plain(f"{norm}.bias"))
        mlp = f"{_BLOCK}/MlpBlock_0/Dense_{number}"
        table[f"{mlp}/kernel"] = (vision, _transposed(f"mlp.{dense}.weight"))
        table[f"{mlp}/bias"] = (vision, _plain(f"mlp.{dense}.bias"))
    for e, module in (("", LANGUAGE), ("_1", EXPERT)):
        layers = f"{_LLM}/layers"
        table[f"{layers}/attn/q_einsum{e}/w"] = (module, _query)
        table[f"{layers}/attn/kv_einsum{e}/w"] = (module, _key_value)
        table[f"{layers}/attn/attn_vec_einsum{e}/w"] = (
            module,
            _heads_out("self_attn.o_proj.weight"),
        )
        table[f"{layers}/mlp{e}/gating_einsum"] = (module, _gate_up)
        table[f"{layers}/mlp{e}/linear"] = (module, _transposed("mlp.down_proj.weight"))
        for jax_norm, norm in (
            (f"pre_attention_norm{e}", "input_layernorm"),
            (f"pre_ffw_norm{e}", "post_attention_layernorm"),
        ):
            table[f"{layers}/{jax_norm}/scale"] = (module, _plain(f"{norm}.weight"))
            dense = f"{layers}/{jax_norm}/Dense_0"
            table[f"{dense}/kernel"] = (module, _transposed(f"{norm}.dense.weight"))
            table[f"{dense}/bias"] = (module, _plain(f"{norm}.dense.bias"))
    return table


def _single() -> dict[str, tuple[str, Callable[[Array], Array]]]:
    """JAX name -> (PyTorch name, what becomes of the array)."""
    embeddings = f"{VISION}.embeddings"
    table: dict[str, tuple[str, Callable[[Array], Array]]] = {
        f"{_IMG}/embedding/kernel": (
            f"{embeddings}.patch_embedding.weight",
            lambda x: x.transpose(3, 2, 0, 1),
        ),
        f"{_IMG}/embedding/bias": (f"{embeddings}.patch_embedding.bias", _same),
        f"{_IMG}/pos_embedding": (
            f"{embeddings}.position_embedding.weight",
            lambda x: x.reshape(-1, x.shape[-1]),
        ),
        f"{_IMG}/Transformer/encoder_norm/scale": (f"{VISION}.post_layernorm.weight", _same),
        f"{_IMG}/Transformer/encoder_norm/bias": (f"{VISION}.post_layernorm.bias", _same),
        f"{_LLM}/embedder/input_embedding": (EMBEDDING, _same),
        f"{_LLM}/final_norm/scale": (f"{LANGUAGE}.norm.weight", _same),
        f"{_LLM}/final_norm_1/scale": (f"{EXPERT}.norm.weight", _same),
    }
    denses = {name: name for name in _PROJECTIONS}
    denses |= {f"{_IMG}/head": PROJECTOR, f"{_LLM}/final_norm_1/Dense_0": f"{EXPERT}.norm.dense"}
    for jax_name, name in denses.items():
        table[f"{jax_name}/kernel"] = (f"{name}.weight", lambda x: x.T)
        table[f"{jax_name}/bias"] = (f"{name}.bias", _same)
    return table


def _same(x: Array) -> Array:
    return x


STACKED = _stacked()
SINGLE = _single()


def to_torch(names: Collection[str], read: Callable[[str], Array]) -> Iterator[tuple[str, Array]]:
    """Every PyTorch tensor that these JAX arrays make, contiguous; one array is read at a time.

    Names that are in neither table (adapters among them) make nothing: `read` gives merged weights.
    """
    for jax_name in names:
        if jax_name in SINGLE:
            name, change = SINGLE[jax_name]
            yield name, np.ascontiguousarray(change(read(jax_name)))
        elif jax_name in STACKED:
            module, parts = STACKED[jax_name]
            for layer, one in enumerate(read(jax_name)):
                for suffix, tensor in parts(one):
                    yield f"{module}.layers.{layer}.{suffix}", np.ascontiguousarray(tensor)
