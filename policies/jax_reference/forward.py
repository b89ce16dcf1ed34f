"""The forward of Pi0 and Pi0.5 in plain `jax.numpy`: pictures and words to actions.

Pure functions of weights, inputs and noise, made to be jitted; no dropout, no training. Equations:
SigLIP (Zhai et al. 2023, ViT So400m/14), Gemma (Gemma Team 2024), PaliGemma (Beyer et al. 2024),
the flow-matching action expert (Black et al. 2024, pi0; Physical Intelligence 2025, pi0.5).
Shapes: B batch, V views, T actions, S prefix tokens, N heads, K key heads, H head size, W width.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from policies.jax_reference.weights import Weights

Array = Any

_EPS = 1e-6
_MASKED = -2.3819763e38
"""Gemma's own: finite, so that a row without any key gives a mean instead of NaN."""
_ROPE_BASE = 10_000.0
_PERIODS = (4e-3, 4.0)


class Inputs(NamedTuple):
    """What the network sees. `images` [B, V, px, px, 3] in -1…1, `image_mask` [B, V], `tokens` and
    `token_mask` [B, P], `state` [B, A] normalised (Pi0.5 has it in the tokens)."""

    images: Array
    image_mask: Array
    tokens: Array
    token_mask: Array
    state: Array


class Prefix(NamedTuple):
    """What is computed once a chunk. `image_tokens` [B, V, patches, W], `tokens` [B, S, W] and
    `mask` [B, S] before the language model, `keys` and `values` [layers, B, S, K, H] out of it,
    the keys with their rotation."""

    image_tokens: Array
    tokens: Array
    mask: Array
    keys: Array
    values: Array


def run_prefix(weights: Weights, inputs: Inputs, dtype: Any = jnp.float32) -> Prefix:
    """Pictures and prompt through the vision tower and the language model."""
    batch, views = inputs.images.shape[:2]
    flat = inputs.images.reshape(batch * views, *inputs.images.shape[2:])
    seen = _vision(weights, flat, dtype)
    patches, width = seen.shape[-2:]
    image_tokens = seen.reshape(batch, views, patches, width)
    words = jnp.take(weights.text["embedding"], inputs.tokens, axis=0).astype(dtype)
    words = words * jnp.asarray(width**0.5, dtype)
    tokens = jnp.concatenate(
        [image_tokens.reshape(batch, views * patches, width).astype(dtype), words], axis=1
    )
    mask = jnp.concatenate([jnp.repeat(inputs.image_mask, patches, axis=1), inputs.token_mask], 1)
    positions = jnp.cumsum(mask, axis=1) - 1
    allowed = mask[:, None, :] & mask[:, :, None]  # every prefix token sees every other

    def layer(x: Array, w: dict[str, Array]) -> tuple[Array, tuple[Array, Array]]:
        y, _ = _norm(x, w, "pre_attention_norm", None)
        query, key, value = _heads(y, w, positions)
        x = x + _attend(query, key, value, allowed, w)
        y, _ = _norm(x, w, "pre_ffw_norm", None)
        return x + _feed_forward(y, w), (key, value)

    # The language model's own output is never read: only what the actions attend to.
    _, (keys, values) = jax.lax.scan(layer, tokens, weights.text_layers)
    return Prefix(image_tokens, tokens, mask, keys, values)


def velocity(weights: Weights, prefix: Prefix, state: Array, x_t: Array, time: Array) -> Array:
    """dx/dt [B, T, A] float32 at `x_t` [B, T, A] and `time` [B], by the action expert."""
    dtype = prefix.keys.dtype
    tokens, condition = _suffix(weights, state, x_t, time)
    tokens = tokens.astype(dtype)
    count, horizon = tokens.shape[1], x_t.shape[1]
    here = jnp.arange(count)
    # With a state token: it sees the prefix and itself; actions see all. Without: actions see all.
    own = (here[None, :] >= count - horizon) <= (here[:, None] >= count - horizon)
    batch = x_t.shape[0]
    allowed = jnp.concatenate(
        [
            jnp.broadcast_to(prefix.mask[:, None, :], (batch, count, prefix.mask.shape[1])),
            jnp.broadcast_to(own[None], (batch, count, count)),
        ],
        axis=-1,
    )
    positions = prefix.mask.sum(axis=1)[:, None] + here[None, :]

    def layer(x: Array, parts: tuple[dict[str, Array], Array, Array]) -> tuple[Array, None]:
        w, keys, values = parts
        y, gate = _norm(x, w, "pre_attention_norm", condition)
        query, key, value = _heads(y, w, positions)
        key, value = jnp.concatenate([keys, key], 1), jnp.concatenate([values, value], 1)
        x = x + _gated(_attend(query, key, value, allowed, w), gate)
        y, gate = _norm(x, w, "pre_ffw_norm", condition)
        return x + _gated(_feed_forward(y, w), gate), None

    x, _ = jax.lax.scan(layer, tokens, (weights.expert_layers, prefix.keys, prefix.values))
    x, _ = _norm(x, weights.expert, "final_norm", condition)
    return _linear(x[:, -horizon:].astype(jnp.float32), weights.heads, "action_out_proj")


def times(steps: int) -> list[float]:
    """When the velocity is asked for: from 1 down by 1 / steps, counted in float32 as openpi does."""
    found = [np.float32(1.0)]
    for _ in range(steps - 1):
        found.append(found[-1] - np.float32(1.0 / steps))
    return [float(each) for each in found]


def spread(prefix: Prefix, batch: int) -> Prefix:
    """One prefix for `batch` chunks that start from different noise."""
    return Prefix(
        jnp.repeat(prefix.image_tokens, batch, axis=0),
        jnp.repeat(prefix.tokens, batch, axis=0),
        jnp.repeat(prefix.mask, batch, axis=0),
        jnp.repeat(prefix.keys, batch, axis=1),
        jnp.repeat(prefix.values, batch, axis=1),
    )


def _vision(weights: Weights, images: Array, dtype: Any) -> Array:
    """SigLIP: [B, px, px, 3] to [B, patches, W of the language model]."""
    w = weights.vision
    kernel = w["embedding/kernel"].astype(jnp.float32)
    patch, width = kernel.shape[0], kernel.shape[-1]
    batch, size = images.shape[0], images.shape[1] // patch
    cut = images.astype(jnp.float32).reshape(batch, size, patch, size, patch, 3)
    x = jnp.einsum("bipjqc,pqcw->bijw", cut, kernel) + w["embedding/bias"].astype(jnp.float32)
    x = x.reshape(batch, size * size, width) + w["pos_embedding"].astype(jnp.float32)

    def layer(x: Array, w: dict[str, Array]) -> tuple[Array, None]:
        y = _layer_norm(x, w, "LayerNorm_0")
        x = x + _vision_attention(y, w)
        y = _linear(_layer_norm(x, w, "LayerNorm_1"), w, "MlpBlock_0/Dense_0")
        return x + _linear(jax.nn.gelu(y, approximate=True), w, "MlpBlock_0/Dense_1"), None

    x, _ = jax.lax.scan(layer, x.astype(dtype), weights.vision_layers)
    return _linear(_layer_norm(x, w, "Transformer/encoder_norm"), w, "head")


def _vision_attention(x: Array, w: dict[str, Array]) -> Array:
    def projected(name: str) -> Array:
        root = f"MultiHeadDotProductAttention_0/{name}"
        kernel, bias = w[root + "/kernel"].astype(x.dtype), w[root + "/bias"].astype(x.dtype)
        return jnp.einsum("btw,wnh->btnh", x, kernel) + bias

    query, key, value = projected("query"), projected("key"), projected("value")
    scores = jnp.einsum("btnh,bsnh->bnts", query, key).astype(jnp.float32)
    shares = jax.nn.softmax(scores / query.shape[-1] ** 0.5, axis=-1).astype(x.dtype)
    mixed = jnp.einsum("bnts,bsnh->btnh", shares, value)
    out = "MultiHeadDotProductAttention_0/out"
    kernel, bias = w[out + "/kernel"].astype(x.dtype), w[out + "/bias"].astype(x.dtype)
    return jnp.einsum("btnh,nhw->btw", mixed, kernel) + bias


def _layer_norm(x: Array, w: dict[str, Array], name: str) -> Array:
    wide = x.astype(jnp.float32)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    scaled = centred * jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + _EPS)
    scale, bias = w[name + "/scale"], w[name + "/bias"]
    return (scaled * scale.astype(jnp.float32) + bias.astype(jnp.float32)).astype(x.dtype)


def _norm(
    x: Array, w: dict[str, Array], name: str, condition: Array | None
) -> tuple[Array, Array | None]:
    """Gemma's RMS norm with 1 + scale; under a condition (Pi0.5) scale, shift and the gate of the
    branch that follows are linear in it."""
    wide = x.astype(jnp.float32)
    unit = wide * jax.lax.rsqrt((wide**2).mean(axis=-1, keepdims=True) + _EPS)
    if condition is None:
        return (unit * (1.0 + w[name + "/scale"].astype(jnp.float32))).astype(x.dtype), None
    linear = _linear(condition.astype(x.dtype), w, name + "/Dense_0")[:, None, :]
    scale, shift, gate = jnp.split(linear, 3, axis=-1)
    changed = unit * (1.0 + scale.astype(jnp.float32)) + shift.astype(jnp.float32)
    return changed.astype(x.dtype), gate


def _gated(branch: Array, gate: Array | None) -> Array:
    return branch if gate is None else branch * gate


def _heads(x: Array, w: dict[str, Array], positions: Array) -> tuple[Array, Array, Array]:
    """Query (rotated, scaled) [B, T, N, H], key (rotated) and value [B, T, K, H]."""
    query = jnp.einsum("btd,ndh->btnh", x, w["attn/q_einsum/w"].astype(x.dtype))
    both = jnp.einsum("btd,ckdh->cbtkh", x, w["attn/kv_einsum/w"].astype(x.dtype))
    scale = jnp.asarray(query.shape[-1] ** -0.5, x.dtype)
    return _rotated(query, positions) * scale, _rotated(both[0], positions), both[1]


def _rotated(x: Array, positions: Array) -> Array:
    """Rotary position (Su et al. 2021), the first half of the head paired with the second."""
    half = x.shape[-1] // 2
    wavelengths = _ROPE_BASE ** (jnp.arange(half, dtype=jnp.float32) / half)
    angle = positions[..., None, None].astype(jnp.float32) / wavelengths
    first, second = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)


def _attend(query: Array, key: Array, value: Array, allowed: Array, w: dict[str, Array]) -> Array:
    """Each key head serves N / K query heads. Softmax in float32."""
    batch, count, heads, size = query.shape
    grouped = query.reshape(batch, count, key.shape[2], heads // key.shape[2], size)
    scores = jnp.einsum("btkgh,bskh->bkgts", grouped, key, preferred_element_type=jnp.float32)
    scores = jnp.where(allowed[:, None, None], scores, _MASKED)
    shares = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    mixed = jnp.einsum("bkgts,bskh->btkgh", shares, value).reshape(batch, count, heads, size)
    return jnp.einsum("btnh,nhd->btd", mixed, w["attn/attn_vec_einsum/w"].astype(mixed.dtype))


def _feed_forward(x: Array, w: dict[str, Array]) -> Array:
    gate, up = (x @ each for each in w["mlp/gating_einsum"].astype(x.dtype))
    return (jax.nn.gelu(gate, approximate=True) * up) @ w["mlp/linear"].astype(x.dtype)


def _suffix(weights: Weights, state: Array, x_t: Array, time: Array) -> tuple[Array, Array | None]:
    """The expert's input tokens, and what its norms are conditioned on (Pi0.5)."""
    w, swish = weights.heads, jax.nn.silu
    actions = _linear(x_t.astype(jnp.float32), w, "action_in_proj")
    moment = _time_features(time, actions.shape[-1])
    if "time_mlp_in/kernel" in w:
        condition = swish(_linear(swish(_linear(moment, w, "time_mlp_in")), w, "time_mlp_out"))
        return actions, condition
    timed = jnp.concatenate([actions, jnp.broadcast_to(moment[:, None], actions.shape)], axis=-1)
    mixed = _linear(swish(_linear(timed, w, "action_time_mlp_in")), w, "action_time_mlp_out")
    here = _linear(state.astype(jnp.float32), w, "state_proj")[:, None]
    return jnp.concatenate([here, mixed], axis=1), None


def _time_features(time: Array, width: int) -> Array:
    """Sines, then cosines, of the time in periods spread evenly in their logarithm.

    In openpi's order of operations: the shortest period makes 1e-4 of a sine out of the last bit.
    """
    shortest, longest = _PERIODS
    period = shortest * (longest / shortest) ** jnp.linspace(0.0, 1.0, width // 2)
    angle = time[:, None] * (1.0 / period * 2 * jnp.pi)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


def _linear(x: Array, w: dict[str, Array], name: str) -> Array:
    kernel, bias = w[name + "/kernel"], w[name + "/bias"]
    return x @ kernel.astype(x.dtype) + bias.astype(x.dtype)
