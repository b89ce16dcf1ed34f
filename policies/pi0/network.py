"""The forward pass of Pi0 and Pi0.5 in plain torch: functions of weights and tensors.

Two parts. `prefix` sees pictures and text once and keeps what the expert attends to: keys (after
rotation) and values of every layer. `velocity` runs the expert over the noisy actions, once per
Euler step. All shapes are fixed by the dimensions, the number of views, the prompt's length and the
horizon, so both parts can be compiled or captured in a CUDA graph; what varies is in masks.

Numerics are those of Physical-Intelligence/openpi (`pi0.py`, `gemma.py`, `siglip.py`): norms,
softmax, rotation and the projections of states and actions in float32, the rest in the weights'
dtype. Single key/value heads let all query heads of a group be rows of one attention, without a copy
of the keys. Padded positions are masked as keys only: their own outputs are never read, and a row
that may look at nothing would be NaN.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as fn

from policies.checkpoint.pi0_layout import Pi0Dims
from policies.pi0.weights import Adaptive, GemmaLayer, Norm, Tensor, Vision, Weights

_EPS = 1e-6  # of every norm
_ROTATION_BASE = 10_000.0
_SHORTEST_PERIOD, _LONGEST_PERIOD = 4e-3, 4.0  # of the time's embedding, in flow time


class Prefix(NamedTuple):
    """What the expert needs of pictures, text and state.

    `keys`, `values` [layer, kv_heads, P, head_dim]; `cos`, `sin` [S, head_dim / 2] of the suffix's
    positions; `mask` [group * S, P + S]: which keys a query row may look at; `state` [1, width] the
    state's token (Pi0.5: None). S is the suffix's length.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    cos: Tensor
    sin: Tensor
    mask: Tensor
    state: Tensor | None


class Moment(NamedTuple):
    """What the expert needs of one flow time: its embedding [width] (Pi0), or scale, shift and gate
    of every norm [norms, 3 width] (Pi0.5). Float32."""

    embedding: Tensor | None
    modulation: Tensor | None


# --- time ------------------------------------------------------------------------------------------


def time_embedding(times: Tensor, width: int) -> Tensor:
    """Sines then cosines of `times` [n] over periods from 4e-3 to 4: [n, width] float32.

    Rounded to float32 where the original rounds: its shortest period turns the last bit of a time
    into 1e-4 of a sine, which ten steps of a Pi0.5 carry into the actions.
    """
    fraction = torch.linspace(0.0, 1.0, width // 2, dtype=torch.float32).to(torch.float64)
    growth = ((_LONGEST_PERIOD / _SHORTEST_PERIOD) ** fraction).to(torch.float32)
    rate = 1.0 / (growth * _SHORTEST_PERIOD) * 2.0 * math.pi
    angle = (times.to(torch.float32)[:, None] * rate).to(torch.float64)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).to(torch.float32)


def modulations(adaptive: Adaptive, times: Tensor, width: int) -> Tensor:
    """Scale, shift and gate of every adaptive norm at `times` [n]: [n, norms, 3 width] on the host.

    They depend on nothing else, so they are computed once per number of steps.
    """
    hidden = fn.silu(fn.linear(time_embedding(times, width), *adaptive.mlp_in))
    condition = fn.silu(fn.linear(hidden, *adaptive.mlp_out))
    weight, bias = adaptive.dense
    return torch.einsum("ni,koi->nko", condition, weight) + bias


# --- pictures --------------------------------------------------------------------------------------


def picture_tokens(vision: Vision, dims: Pi0Dims, pixels: Tensor) -> Tensor:
    """Pictures [V, 3, side, side] in -1..1 (float32) to tokens [V, tokens, text width]."""
    # A convolution whose stride is its size, as the product it is: cuDNN's would be TF32.
    side = pixels.shape[-1] // dims.patch
    cut = pixels.unflatten(3, (side, dims.patch)).unflatten(2, (side, dims.patch))
    patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    x = fn.linear(patches, vision.patch.weight.flatten(1), vision.patch.bias) + vision.positions
    x = x.to(vision.head.weight.dtype)
    views, tokens, width = x.shape
    for layer in vision.layers:
        qkv = fn.linear(_layer_norm(x, layer.norm1), *layer.qkv)
        heads = qkv.view(views, tokens, 3, dims.vision_heads, width // dims.vision_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        seen = fn.scaled_dot_product_attention(query, key, value)
        x = x + fn.linear(seen.transpose(1, 2).reshape(views, tokens, width), *layer.out)
        hidden = fn.linear(_layer_norm(x, layer.norm2), *layer.fc1)
        x = x + fn.linear(fn.gelu(hidden, approximate="tanh"), *layer.fc2)
    return fn.linear(_layer_norm(x, vision.norm), *vision.head)


def _layer_norm(x: Tensor, norm: Norm) -> Tensor:
    return fn.layer_norm(x, (x.shape[-1],), norm.weight, norm.bias, _EPS)


# --- Gemma -----------------------------------------------------------------------------------------


def _rms(x: Tensor) -> Tensor:
    """Normalised to unit mean square, in float32."""
    exact = x.to(torch.float32)
    return exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + _EPS)


def _normed(x: Tensor, scale: Tensor | None, modulation: Tensor | None) -> tuple[Tensor, Any]:
    """The normed input and the gate of its residual (None: as it is)."""
    if modulation is None:
        return (_rms(x) * scale).to(x.dtype), None
    factor, shift, gate = modulation.chunk(3)
    return (_rms(x) * (1.0 + factor) + shift).to(x.dtype), gate.to(x.dtype)


def _rotation(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, head_dim / 2] of the rotary embedding, float32."""
    half = torch.arange(head_dim // 2, device=positions.device, dtype=torch.float32)
    scale = _ROTATION_BASE ** (half * (2.0 / head_dim))
    angle = positions.to(torch.float32)[:, None] / scale
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the halves of [..., heads, T, head_dim] by the angles [T, head_dim / 2]."""
    first, second = x.to(torch.float32).chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def _feed_forward(x: Tensor, layer: GemmaLayer) -> Tensor:
    gate, up = fn.linear(x, layer.gate_up).chunk(2, dim=-1)
    return fn.linear(fn.gelu(gate, approximate="tanh") * up, layer.down)


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, T, heads * d] to [B, heads, T, d]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Queries [B, N, T, d] over keys [B, K, S, d]: [B, T, N * d].

    The N / K query heads of a group become rows of one attention; `mask` is [N / K * T, S] or
    [1, S].
    """
    batch, heads, length, depth = query.shape
    rows = query.reshape(batch, key.shape[1], -1, depth)
    seen = fn.scaled_dot_product_attention(rows, key, value, attn_mask=mask)
    return seen.view(batch, heads, length, depth).transpose(1, 2).flatten(2)


def prefix_tokens(weights: Weights, dims: Pi0Dims, pixels: Tensor, text: Tensor) -> Tensor:
    """Pictures, then text: [V * tokens + L, width]. `text` [L, width] is `text_tokens`'s."""
    pictures = picture_tokens(weights.vision, dims, pixels)
    return torch.cat([pictures.flatten(0, 1), text.to(pictures.dtype)])


def text_tokens(weights: Weights, dims: Pi0Dims, ids: Tensor) -> Tensor:
    """Token ids [L] to embeddings [L, width] times the root of the width, float32 on the host."""
    return weights.embeddings[ids].to(torch.float32) * math.sqrt(dims.width)


def prefix(
    weights: Weights,
    dims: Pi0Dims,
    horizon: int,
    pixels: Tensor,
    text: Tensor,
    mask: Tensor,
    state: Tensor,
) -> Prefix:
    """See pictures and text once. `mask` [P] bool: which prefix tokens there are; `state` [S]."""
    tokens = prefix_tokens(weights, dims, pixels, text)[None]
    cos, sin = _rotation(torch.cumsum(mask, 0) - 1, dims.head_dim)
    keys, values = [], []
    for layer in weights.text:
        normed, _ = _normed(tokens, layer.norm1, None)
        query, key, value = _qkv(normed, layer.qkv, dims)
        key = _rotate(key, cos, sin)
        keys.append(key[0])
        values.append(value[0])
        seen = _attend(_rotate(query, cos, sin), key, value, mask[None])
        tokens = tokens + fn.linear(seen, layer.out)
        normed, _ = _normed(tokens, layer.norm2, None)
        tokens = tokens + _feed_forward(normed, layer)
    normed, _ = _normed(tokens, weights.last_norm, None)
    key, value = fn.linear(normed, weights.last_kv).chunk(2, dim=-1)
    keys.append(_rotate(_split_heads(key, dims.kv_heads), cos, sin)[0])
    values.append(_split_heads(value, dims.kv_heads)[0])
    return _with_suffix(weights, dims, horizon, tuple(keys), tuple(values), mask, state)


def prefix_attention(
    weights: Weights, dims: Pi0Dims, pixels: Tensor, text: Tensor, mask: Tensor
) -> Tensor:
    """How much each token of the prefix attends to each other: the mean over heads, [layer, P, P]
    float32. The same forward as `prefix`, with the weights of its attention kept."""
    tokens = prefix_tokens(weights, dims, pixels, text)[None]
    cos, sin = _rotation(torch.cumsum(mask, 0) - 1, dims.head_dim)
    found = []
    for layer in weights.text:
        normed, _ = _normed(tokens, layer.norm1, None)
        query, key, value = _qkv(normed, layer.qkv, dims)
        query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
        many = key.repeat_interleave(dims.heads // dims.kv_heads, dim=1)
        scores = query.to(torch.float32) @ many.to(torch.float32).transpose(-1, -2)
        scores = (scores / math.sqrt(dims.head_dim)).masked_fill(~mask, -math.inf)
        found.append(scores.softmax(-1)[0].mean(0))
        tokens = tokens + fn.linear(_attend(query, key, value, mask[None]), layer.out)
        normed, _ = _normed(tokens, layer.norm2, None)
        tokens = tokens + _feed_forward(normed, layer)
    return torch.stack(found)


def _with_suffix(
    weights: Weights,
    dims: Pi0Dims,
    horizon: int,
    keys: tuple[Tensor, ...],
    values: tuple[Tensor, ...],
    mask: Tensor,
    state: Tensor,
) -> Prefix:
    """Positions and mask of the suffix: the state's token sees itself, actions see everything."""
    own = 0 if weights.state is None else 1
    length = own + horizon
    positions = mask.sum() + torch.arange(length, device=mask.device)
    cos, sin = _rotation(positions, dims.head_dim)
    causal = torch.ones(length, length, dtype=torch.bool, device=mask.device)
    if own:
        causal[0, 1:] = False
    rows = torch.cat([mask[None].expand(length, -1), causal], dim=1)
    rows = rows.repeat(dims.heads // dims.kv_heads, 1)
    token = None if weights.state is None else fn.linear(state, *weights.state)[None]
    return Prefix(keys, values, cos, sin, rows, token)


def _qkv(x: Tensor, qkv: Tensor, dims: Pi0Dims) -> tuple[Tensor, Tensor, Tensor]:
    queries, keys = dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim
    query, key, value = fn.linear(x, qkv).split([queries, keys, keys], dim=-1)
    return (
        _split_heads(query, dims.heads),
        _split_heads(key, dims.kv_heads),
        _split_heads(value, dims.kv_heads),
    )


# --- the expert ------------------------------------------------------------------------------------


def velocity(
    weights: Weights, dims: Pi0Dims, prefix: Prefix, moment: Moment, actions: Tensor
) -> Tensor:
    """The flow's velocity at noisy `actions` [B, T, A] (float32): [B, T, A] float32."""
    x = _suffix(weights, prefix, moment, actions).to(weights.expert[0].qkv.dtype)
    batch = x.shape[0]
    for index, layer in enumerate(weights.expert):
        normed, gate = _normed(x, layer.norm1, _modulation(moment, 2 * index))
        query, key, value = _qkv(normed, layer.qkv, dims)
        key = _rotate(key, prefix.cos, prefix.sin)
        seen = _attend(
            _rotate(query, prefix.cos, prefix.sin),
            torch.cat([prefix.keys[index].expand(batch, -1, -1, -1), key], dim=2),
            torch.cat([prefix.values[index].expand(batch, -1, -1, -1), value], dim=2),
            prefix.mask,
        )
        x = _joined(x, fn.linear(seen, layer.out), gate)
        normed, gate = _normed(x, layer.norm2, _modulation(moment, 2 * index + 1))
        x = _joined(x, _feed_forward(normed, layer), gate)
    normed, _ = _normed(x, weights.norm, _modulation(moment, -1))
    return fn.linear(normed[:, -actions.shape[1] :].to(torch.float32), *weights.action_out)


def _suffix(weights: Weights, prefix: Prefix, moment: Moment, actions: Tensor) -> Tensor:
    tokens = fn.linear(actions, *weights.action_in)
    if prefix.state is None or moment.embedding is None:
        return tokens
    assert weights.mlp_in is not None and weights.mlp_out is not None
    time = moment.embedding.expand(tokens.shape)
    hidden = fn.silu(fn.linear(torch.cat([tokens, time], dim=-1), *weights.mlp_in))
    state = prefix.state.expand(tokens.shape[0], 1, -1)
    return torch.cat([state, fn.linear(hidden, *weights.mlp_out)], dim=1)


def _modulation(moment: Moment, index: int) -> Tensor | None:
    return None if moment.modulation is None else moment.modulation[index]


def _joined(x: Tensor, y: Tensor, gate: Tensor | None) -> Tensor:
    return x + y if gate is None else x + y * gate
