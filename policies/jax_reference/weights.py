"""The JAX tree of a Pi0 or Pi0.5, checked and put where the forward wants it.

Taken is a flat table `PaliGemma/img/…` → array as Orbax stores it (a trailing `value` stripped):
attention weights as einsum operands, layers stacked along the first axis. Every dimension is read
from the arrays; a name that is missing, unknown or of another shape is an error that names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any, NamedTuple

import numpy as np

from robotd.errors import CheckpointError

Array = Any
"""A numpy or JAX array; bfloat16 ones have ml_dtypes' type, which numpy's annotations lack."""

_IMG = "PaliGemma/img/"
_LLM = "PaliGemma/llm/"
_BLOCK = _IMG + "Transformer/encoderblock/"
_ATTENTION = _BLOCK + "MultiHeadDotProductAttention_0/"
_NORMS = ("layers/pre_attention_norm", "layers/pre_ffw_norm", "final_norm")
_EINSUMS = ("attn/q_einsum", "attn/kv_einsum", "attn/attn_vec_einsum")
_FEED_FORWARD = ("mlp/gating_einsum", "mlp/linear")
_NAMED = 6


@dataclass(frozen=True, slots=True)
class Dims:
    """Sizes of one model. Vision `patch_px` pixels a side and `image_tokens` of them a picture."""

    kind: str
    patch_px: int
    image_tokens: int
    vision_width: int
    vision_depth: int
    vision_heads: int
    vision_head_dim: int
    vision_mlp: int
    vocabulary: int
    width: int
    depth: int
    mlp: int
    expert_width: int
    expert_mlp: int
    heads: int
    kv_heads: int
    head_dim: int
    action_dim: int
    state_dim: int

    @property
    def image_px(self) -> int:
        """Pixels along a side of the square picture."""
        return self.patch_px * isqrt(self.image_tokens)


class Weights(NamedTuple):
    """What the forward reads. Tables keep Orbax's names below their prefix; in `*_layers` every
    array has the layer as its first axis. The expert's names have lost their `_1`."""

    vision: dict[str, Array]
    vision_layers: dict[str, Array]
    text: dict[str, Array]
    text_layers: dict[str, Array]
    expert: dict[str, Array]
    expert_layers: dict[str, Array]
    heads: dict[str, Array]


def arrange(
    params: Mapping[str, Array], *, lora_alpha: float | None = None, source: str = "the checkpoint"
) -> tuple[Weights, Dims]:
    """Check the tree and arrange it; LoRA pairs are merged into the weights they belong to.

    `lora_alpha` is that of the training's configuration, which no file of the checkpoint has; None:
    each pair's own rank, as openpi's configurations have it. Every pair is scaled by alpha / its
    rank (one for each expert), in attention only: openpi adds the feed-forward's pair unscaled (its
    `lora.FeedForward`).

    Raises CheckpointError for a tree that is not exactly that of a Pi0 or a Pi0.5.
    """
    merged = _merge_lora(params, lora_alpha)
    dims = _dims(merged, source)
    _check(merged, dims, source)
    text, expert = _of_expert(merged, ""), _of_expert(merged, "_1")
    return (
        Weights(
            vision=_below(merged, _IMG, without=_BLOCK),
            vision_layers=_below(merged, _BLOCK),
            text=_split(text, layers=False),
            text_layers=_split(text, layers=True),
            expert=_split(expert, layers=False),
            expert_layers=_split(expert, layers=True),
            heads={name: array for name, array in merged.items() if "PaliGemma" not in name},
        ),
        dims,
    )


def shapes(dims: Dims) -> dict[str, tuple[int, ...]]:
    """Every array of a model of these dimensions, by its JAX name."""
    vision, layers = dims.vision_width, dims.vision_depth
    heads, head = dims.vision_heads, dims.vision_head_dim
    found: dict[str, tuple[int, ...]] = {
        _IMG + "embedding/kernel": (dims.patch_px, dims.patch_px, 3, vision),
        _IMG + "embedding/bias": (vision,),
        _IMG + "pos_embedding": (1, dims.image_tokens, vision),
        _BLOCK + "MlpBlock_0/Dense_0/kernel": (layers, vision, dims.vision_mlp),
        _BLOCK + "MlpBlock_0/Dense_0/bias": (layers, dims.vision_mlp),
        _BLOCK + "MlpBlock_0/Dense_1/kernel": (layers, dims.vision_mlp, vision),
        _BLOCK + "MlpBlock_0/Dense_1/bias": (layers, vision),
        _ATTENTION + "out/kernel": (layers, heads, head, vision),
        _ATTENTION + "out/bias": (layers, vision),
        _IMG + "Transformer/encoder_norm/scale": (vision,),
        _IMG + "Transformer/encoder_norm/bias": (vision,),
        _IMG + "head/kernel": (vision, dims.width),
        _IMG + "head/bias": (dims.width,),
        _LLM + "embedder/input_embedding": (dims.vocabulary, dims.width),
    }
    for each in ("LayerNorm_0", "LayerNorm_1"):
        found[_BLOCK + each + "/scale"] = found[_BLOCK + each + "/bias"] = (layers, vision)
    for each in ("query", "key", "value"):
        found[_ATTENTION + each + "/kernel"] = (layers, vision, heads, head)
        found[_ATTENTION + each + "/bias"] = (layers, heads, head)
    for suffix, width, mlp in (
        ("", dims.width, dims.mlp),
        ("_1", dims.expert_width, dims.expert_mlp),
    ):
        found |= _expert_shapes(dims, suffix, width, mlp)
    return found | _head_shapes(dims)


def _expert_shapes(dims: Dims, suffix: str, width: int, mlp: int) -> dict[str, tuple[int, ...]]:
    depth, heads, kv_heads, head = dims.depth, dims.heads, dims.kv_heads, dims.head_dim
    layers = _LLM + "layers/"
    found: dict[str, tuple[int, ...]] = {
        f"{layers}attn/q_einsum{suffix}/w": (depth, heads, width, head),
        f"{layers}attn/kv_einsum{suffix}/w": (depth, 2, kv_heads, width, head),
        f"{layers}attn/attn_vec_einsum{suffix}/w": (depth, heads, head, width),
        f"{layers}mlp{suffix}/gating_einsum": (depth, 2, width, mlp),
        f"{layers}mlp{suffix}/linear": (depth, mlp, width),
    }
    for norm in _NORMS:
        stacked = (depth,) if norm.startswith("layers") else ()
        if dims.kind == "pi05" and suffix:
            found[f"{_LLM}{norm}{suffix}/Dense_0/kernel"] = (*stacked, width, 3 * width)
            found[f"{_LLM}{norm}{suffix}/Dense_0/bias"] = (*stacked, 3 * width)
        else:
            found[f"{_LLM}{norm}{suffix}/scale"] = (*stacked, width)
    return found


def _head_shapes(dims: Dims) -> dict[str, tuple[int, ...]]:
    width, action = dims.expert_width, dims.action_dim
    linear = {"action_in_proj": (action, width), "action_out_proj": (width, action)}
    if dims.kind == "pi05":
        linear |= {"time_mlp_in": (width, width), "time_mlp_out": (width, width)}
    else:
        linear |= {
            "state_proj": (dims.state_dim, width),
            "action_time_mlp_in": (2 * width, width),
            "action_time_mlp_out": (width, width),
        }
    kernels = {f"{name}/kernel": shape for name, shape in linear.items()}
    return kernels | {f"{name}/bias": shape[1:] for name, shape in linear.items()}


def _dims(params: Mapping[str, Array], source: str) -> Dims:
    """Sizes from the arrays that have them. The kind is that of the keys."""

    def shape(name: str, axes: int) -> tuple[int, ...]:
        array = params.get(name)
        if array is None or np.ndim(array) != axes:
            raise _wrong(source, [f"missing: {name}" if array is None else f"of {name}"])
        return tuple(int(n) for n in np.shape(array))

    layers = _LLM + "layers/"
    patch, _, _, vision_width = shape(_IMG + "embedding/kernel", 4)
    vision_depth, _, vision_heads, vision_head = shape(_ATTENTION + "query/kernel", 4)
    depth, heads, width, head_dim = shape(layers + "attn/q_einsum/w", 4)
    _, _, kv_heads, expert_width, _ = shape(layers + "attn/kv_einsum_1/w", 5)
    pi05 = "time_mlp_in/kernel" in params
    action_dim = shape("action_in_proj/kernel", 2)[0]
    return Dims(
        kind="pi05" if pi05 else "pi0",
        patch_px=patch,
        image_tokens=shape(_IMG + "pos_embedding", 3)[1],
        vision_width=vision_width,
        vision_depth=vision_depth,
        vision_heads=vision_heads,
        vision_head_dim=vision_head,
        vision_mlp=shape(_BLOCK + "MlpBlock_0/Dense_0/kernel", 3)[2],
        vocabulary=shape(_LLM + "embedder/input_embedding", 2)[0],
        width=width,
        depth=depth,
        mlp=shape(layers + "mlp/linear", 3)[1],
        expert_width=expert_width,
        expert_mlp=shape(layers + "mlp_1/linear", 3)[1],
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        action_dim=action_dim,
        # Pi0.5 reads the state as words.
        state_dim=action_dim if pi05 else shape("state_proj/kernel", 2)[0],
    )


def _check(params: Mapping[str, Array], dims: Dims, source: str) -> None:
    wanted = shapes(dims)
    missing = [name for name in wanted if name not in params]
    extra = [name for name in params if name not in wanted]
    other = [
        f"{name} {np.shape(array)} for {wanted[name]}"
        for name, array in params.items()
        if name in wanted and tuple(np.shape(array)) != wanted[name]
    ]
    problems = [
        f"{what}: {', '.join(names[:_NAMED])}"
        + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        for what, names in (("missing", missing), ("unknown", extra), ("of another shape", other))
        if names
    ]
    if problems:
        raise _wrong(source, problems)


def _wrong(source: str, problems: list[str]) -> CheckpointError:
    return CheckpointError(
        f"The arrays of {source} are not those of a Pi0 or Pi0.5 ({'; '.join(problems)}).",
        "The copy is not whole, or it is another model's checkpoint.",
        "See what is wrong with it: robotd ckpt verify PATH. Then copy it again.",
    )


def _merge_lora(params: Mapping[str, Array], alpha: float | None) -> dict[str, Array]:
    """The tree without LoRA pairs.

    A pair's product is that of the last two axes. Only the output projection is another: openpi
    makes the pair's einsums by exchanging letters in `BTNH,NHD->BTD`, whereby the heads are summed
    after the first factor and again in the second: the second factor counts with its sum over them.
    """
    merged = {name: array for name, array in params.items() if "lora_" not in name}
    for name in params:
        if not name.endswith("lora_a"):
            continue
        first = np.asarray(params[name], np.float32)
        second = np.asarray(params[name.removesuffix("a") + "b"], np.float32)
        attention = name.endswith("/lora_a")
        whole = name.removesuffix("lora_a") + "w" if attention else name.removesuffix("_lora_a")
        if "attn_vec_einsum" in name:
            second = second.sum(axis=-3, keepdims=True)
        scale = alpha / first.shape[-1] if attention and alpha is not None else 1.0
        merged[whole] = np.asarray(params[whole], np.float32) + scale * (first @ second)
    return merged


def _below(params: Mapping[str, Array], prefix: str, without: str = "\0") -> dict[str, Array]:
    return {
        name.removeprefix(prefix): array
        for name, array in params.items()
        if name.startswith(prefix) and not name.startswith(without)
    }


def _of_expert(params: Mapping[str, Array], suffix: str) -> dict[str, Array]:
    """The language model's arrays of one expert, named as those of the first."""
    wanted = [*(f"layers/{each}" for each in (*_EINSUMS, *_FEED_FORWARD)), *_NORMS]
    found = {}
    for name in wanted:
        group, _, rest = name.partition("mlp/")
        stored = f"{group}mlp{suffix}/{rest}" if rest else name + suffix
        for each, array in _below(params, _LLM).items():
            if each == stored or each.startswith(stored + "/"):
                found[name + each.removeprefix(stored)] = array
    if not suffix:
        found["embedding"] = params[_LLM + "embedder/input_embedding"]
    return found


def _split(expert: Mapping[str, Array], *, layers: bool) -> dict[str, Array]:
    return {
        name.removeprefix("layers/"): array
        for name, array in expert.items()
        if name.startswith("layers/") == layers
    }


def count_bytes(params: Mapping[str, Array]) -> int:
    """Bytes of all arrays as they are stored."""
    return sum(int(np.size(array)) * np.dtype(array.dtype).itemsize for array in params.values())
