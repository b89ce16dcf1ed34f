"""The weights of a Pi0 as the network wants them, loaded strictly from the canonical tensors.

Projections that read the same input are one matrix (queries, keys and values; gate and up). A tensor
that is missing, unknown or of another shape is an error that names it: never a random weight. (That
every number is one has been looked at by `Container.pi0_tensors`.) Tensors are taken out of the table
one at a time, so that loading needs no second copy of the model.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

import torch

from policies.checkpoint.pi0_layout import (
    EMBEDDING,
    EXPERT,
    LANGUAGE,
    LM_HEAD,
    PROJECTOR,
    VISION,
    Pi0Dims,
    Pi0Kind,
    is_ignored,
)
from policies.pi0.placing import tensor_shapes
from robotd.errors import CheckpointError

_NAMED = 6  # tensors named in an error; the rest is counted

Tensor = Any
"""A torch tensor (mypy does not look into torch)."""


class Linear(NamedTuple):
    """`weight` [out, in], `bias` [out] or None."""

    weight: Tensor
    bias: Tensor | None = None


class Norm(NamedTuple):
    """A LayerNorm's scale and offset [width]."""

    weight: Tensor
    bias: Tensor


class VisionLayer(NamedTuple):
    """One block of SigLIP."""

    norm1: Norm
    qkv: Linear
    out: Linear
    norm2: Norm
    fc1: Linear
    fc2: Linear


class Vision(NamedTuple):
    """SigLIP and the projection into the text's width. Patches and positions are float32."""

    patch: Linear
    positions: Tensor
    layers: tuple[VisionLayer, ...]
    norm: Norm
    head: Linear


class GemmaLayer(NamedTuple):
    """One block of Gemma. `norm1` and `norm2` are 1 + scale in float32, None where adaptive."""

    norm1: Tensor | None
    qkv: Tensor
    out: Tensor
    norm2: Tensor | None
    gate_up: Tensor
    down: Tensor


class Adaptive(NamedTuple):
    """What makes Pi0.5's norms of the time, on the host: an MLP and one projection per norm, in the
    order norm1, norm2 of every layer, then the final one. Stacked: [norms, 3 width, width]."""

    mlp_in: Linear
    mlp_out: Linear
    dense: Linear


class Weights(NamedTuple):
    """All of it. `embeddings` and `adaptive` are on the host, everything else on the device.

    `text` are the layers but the last, of which only `last_norm` and `last_kv` matter. Small
    projections of states and actions are float32 whatever the model's dtype.
    """

    vision: Vision
    embeddings: Tensor
    text: tuple[GemmaLayer, ...]
    last_norm: Tensor
    last_kv: Tensor
    expert: tuple[GemmaLayer, ...]
    norm: Tensor | None
    action_in: Linear
    action_out: Linear
    state: Linear | None
    mlp_in: Linear | None
    mlp_out: Linear | None
    adaptive: Adaptive | None


def load_weights(
    tensors: MutableMapping[str, Tensor],
    kind: Pi0Kind,
    dims: Pi0Dims,
    device: str,
    dtype: Any,
    name: str = "this Pi0",
) -> Weights:
    """Put what matters where it belongs, and empty `tensors`. Raises CheckpointError.

    `dtype` is torch's (bfloat16 or float32), `name` how errors call the checkpoint.
    """
    problems = compare(tensors, kind, dims)
    if problems:
        listed = "; ".join(f"{what}: {_listed(found)}" for what, found in problems.items())
        raise CheckpointError(
            f"The weights of {name} are not those of a {kind} ({listed}).",
            "The file was damaged or edited, or a conversion lost a part.",
            "Copy the checkpoint again, or choose an earlier step; robotd ckpt verify says more.",
        )
    weights = _load(_Source(tensors, device, dtype), kind, dims)
    tensors.clear()
    return weights


def compare(tensors: Mapping[str, Tensor], kind: Pi0Kind, dims: Pi0Dims) -> dict[str, list[str]]:
    """What is wrong with the names and shapes, by kind of fault; empty when nothing is."""
    wanted = tensor_shapes(kind, dims)
    found = {
        "missing": [n for n in wanted if n not in tensors],
        "unknown": [n for n in tensors if n not in wanted and not _optional(n)],
        "of another shape": [
            n for n, shape in wanted.items() if n in tensors and tuple(tensors[n].shape) != shape
        ],
    }
    return {what: names for what, names in found.items() if names}


def _optional(name: str) -> bool:
    """A copy of the embeddings, or a part that nothing reads: there or not."""
    return name == LM_HEAD or is_ignored(name)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


class _Source:
    """Takes tensors out of a table and puts them onto the device."""

    def __init__(self, tensors: MutableMapping[str, Tensor], device: str, dtype: Any) -> None:
        self._tensors = tensors
        self._device = device
        self._dtype = dtype

    def stack(self, *names: str) -> Tensor:
        """Matrices or biases under one another, in the model's dtype."""
        parts = [self._tensors.pop(n).to(self._device, self._dtype) for n in names]
        return parts[0].contiguous() if len(parts) == 1 else torch.cat(parts)

    def linear(self, *names: str) -> Linear:
        """One projection of one or several, with biases."""
        weights = self.stack(*(n + ".weight" for n in names))
        return Linear(weights, self.stack(*(n + ".bias" for n in names)))

    def exact(self, name: str) -> Tensor:
        """In float32 on the device."""
        return self._tensors.pop(name).to(self._device, torch.float32).contiguous()

    def exact_linear(self, name: str) -> Linear:
        """A small projection in float32."""
        return Linear(self.exact(name + ".weight"), self.exact(name + ".bias"))

    def norm(self, name: str) -> Norm:
        """A LayerNorm in the model's dtype."""
        return Norm(self.stack(name + ".weight"), self.stack(name + ".bias"))

    def embeddings(self) -> Tensor:
        """The text embeddings as they are stored, on the host."""
        return self._tensors.pop(EMBEDDING)

    def host_linear(self, *names: str) -> Linear:
        """Projections in float32 on the host, stacked along a new axis if several."""
        weights = [self._tensors.pop(n + ".weight").float() for n in names]
        biases = [self._tensors.pop(n + ".bias").float() for n in names]
        if len(names) == 1:
            return Linear(weights[0], biases[0])
        return Linear(torch.stack(weights), torch.stack(biases))


def _load(source: _Source, kind: Pi0Kind, dims: Pi0Dims) -> Weights:
    last = f"{LANGUAGE}.layers.{dims.depth - 1}."
    plain = kind == "pi0"
    return Weights(
        vision=_vision(source, dims),
        embeddings=source.embeddings(),
        text=_gemma(source, LANGUAGE, dims.depth - 1, adaptive=False),
        last_norm=1.0 + source.exact(last + "input_layernorm.weight"),
        last_kv=source.stack(last + "self_attn.k_proj.weight", last + "self_attn.v_proj.weight"),
        expert=_gemma(source, EXPERT, dims.depth, adaptive=not plain),
        norm=1.0 + source.exact(f"{EXPERT}.norm.weight") if plain else None,
        action_in=source.exact_linear("action_in_proj"),
        action_out=source.exact_linear("action_out_proj"),
        state=source.exact_linear("state_proj") if plain else None,
        mlp_in=source.exact_linear("action_time_mlp_in") if plain else None,
        mlp_out=source.exact_linear("action_time_mlp_out") if plain else None,
        adaptive=None if plain else _adaptive(source, dims.depth),
    )


def _vision(source: _Source, dims: Pi0Dims) -> Vision:
    layers = []
    for index in range(dims.vision_depth):
        layer = f"{VISION}.encoder.layers.{index}."
        attention = layer + "self_attn."
        layers.append(
            VisionLayer(
                norm1=source.norm(layer + "layer_norm1"),
                qkv=source.linear(*(attention + part for part in ("q_proj", "k_proj", "v_proj"))),
                out=source.linear(attention + "out_proj"),
                norm2=source.norm(layer + "layer_norm2"),
                fc1=source.linear(layer + "mlp.fc1"),
                fc2=source.linear(layer + "mlp.fc2"),
            )
        )
    return Vision(
        patch=source.exact_linear(f"{VISION}.embeddings.patch_embedding"),
        positions=source.exact(f"{VISION}.embeddings.position_embedding.weight"),
        layers=tuple(layers),
        norm=source.norm(f"{VISION}.post_layernorm"),
        head=source.linear(PROJECTOR),
    )


def _gemma(source: _Source, prefix: str, depth: int, *, adaptive: bool) -> tuple[GemmaLayer, ...]:
    layers = []
    for index in range(depth):
        layer = f"{prefix}.layers.{index}."
        attention, mlp = layer + "self_attn.", layer + "mlp."
        projections = (attention + f"{part}_proj.weight" for part in "qkv")
        layers.append(
            GemmaLayer(
                norm1=None if adaptive else 1.0 + source.exact(layer + "input_layernorm.weight"),
                qkv=source.stack(*projections),
                out=source.stack(attention + "o_proj.weight"),
                norm2=None
                if adaptive
                else 1.0 + source.exact(layer + "post_attention_layernorm.weight"),
                gate_up=source.stack(mlp + "gate_proj.weight", mlp + "up_proj.weight"),
                down=source.stack(mlp + "down_proj.weight"),
            )
        )
    return tuple(layers)


def _adaptive(source: _Source, depth: int) -> Adaptive:
    norms = [
        f"{EXPERT}.layers.{index}.{which}.dense"
        for index in range(depth)
        for which in ("input_layernorm", "post_attention_layernorm")
    ]
    return Adaptive(
        mlp_in=source.host_linear("time_mlp_in"),
        mlp_out=source.host_linear("time_mlp_out"),
        dense=source.host_linear(*norms, f"{EXPERT}.norm.dense"),
    )
