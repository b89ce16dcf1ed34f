"""Two forwards on the same input, compared stage by stage in the order in which they are computed.

The first stage beyond its tolerance is where the two part; everything after it follows. Differences
are relative to the stage's own size where that is above one: keys of a real Pi0 reach hundreds, and
float32 has seven digits of each. Pure but for the two samplers that are asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

TOLERANCES = {"f32": 1e-4, "bf16": 2e-2}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: the largest difference, the largest number of the reference's, what is allowed."""

    name: str
    difference: float
    size: float
    tolerance: float

    @property
    def relative(self) -> float:
        """The difference as it is judged."""
        return self.difference / max(1.0, self.size)

    @property
    def within(self) -> bool:
        """Whether the two agree (a difference that is no number is none that agrees)."""
        return bool(self.relative <= self.tolerance)


def compare(
    ours: Mapping[str, Array], reference: Mapping[str, Array], tolerance: float
) -> list[Stage]:
    """Every stage that the reference has, in its order. KeyError for one that ours has not."""
    stages = []
    for name, expected in reference.items():
        found = np.asarray(ours[name], np.float32)
        if found.shape != expected.shape:
            stages.append(Stage(name, float("inf"), 1.0, tolerance))
            continue
        difference = np.abs(found - expected)
        largest = float(difference.max(initial=0.0))
        size = float(np.abs(expected).max(initial=0.0))
        stages.append(Stage(name, largest, size, tolerance))
    return stages


def first_beyond(stages: Sequence[Stage]) -> Stage | None:
    """Where the two part; None when they agree to the end."""
    return next((stage for stage in stages if not stage.within), None)


def torch_stages(sampler: Any, inputs: Any, noise: Array, steps: int) -> dict[str, Array]:
    """The stages of `policies.pi0`'s sampler. `noise` [1, T, A]."""
    import torch

    from policies.pi0 import network

    prepared = sampler.prepare(inputs)
    tokens = sampler.tokens(prepared)
    stages = _token_stages(tokens, inputs)
    with torch.inference_mode():
        prefix = network.prefix(sampler.weights, sampler.dims, noise.shape[1], *prepared)
        for layer, (key, value) in enumerate(zip(prefix.keys, prefix.values, strict=True)):
            # [K, P, H] to [P, K, H]
            keys, values = _host(key).swapaxes(0, 1), _host(value).swapaxes(0, 1)
            stages |= _layer_stages(layer, keys, values, _there(inputs, len(tokens)))
    stages["velocity at t=1"] = sampler.velocity(prepared, noise, 1.0)[0]
    states: list[Array] = []

    def watch(x: Any, v: Any, _t: float) -> Any:
        states.append(_host(x)[0])
        return v

    actions = sampler.sample(prepared, noise, steps, watch)[0]
    return stages | _steps([*states[1:], actions])


def jax_stages(sampler: Any, inputs: Any, noise: Array, steps: int) -> dict[str, Array]:
    """The stages of the JAX reference. `noise` [1, T, A]."""
    prepared = sampler.prepare(inputs)
    prefix = sampler.prefix(prepared)
    tokens = np.array(prefix.tokens[0], np.float32)
    stages = _token_stages(tokens, inputs)
    there = _there(inputs, len(tokens))
    for layer in range(prefix.keys.shape[0]):
        keys, values = (np.array(x[layer, 0], np.float32) for x in (prefix.keys, prefix.values))
        stages |= _layer_stages(layer, keys, values, there)
    stages["velocity at t=1"] = sampler.velocity(prepared, noise, 1.0)[0]
    states: list[Array] = []

    def watch(x: Any, v: Any, _t: float) -> Any:
        states.append(np.array(x, np.float32)[0])
        return v

    actions = sampler.sample(prepared, noise, steps, watch)[0]
    return stages | _steps([*states[1:], actions])


def _token_stages(tokens: Array, inputs: Any) -> dict[str, Array]:
    views, words = len(inputs.views), len(inputs.words)
    pictures = tokens[: len(tokens) - words].reshape(views, -1, tokens.shape[-1])
    return {
        "image tokens": pictures[inputs.views],
        "prefix tokens": tokens[_there(inputs, len(tokens))],
    }


def _layer_stages(layer: int, keys: Array, values: Array, there: Any) -> dict[str, Array]:
    """Of tokens that are there alone: what stands at a masked one is never looked at."""
    return {f"layer {layer} keys": keys[there], f"layer {layer} values": values[there]}


def _there(inputs: Any, count: int) -> npt.NDArray[np.bool_]:
    each = (count - len(inputs.words)) // len(inputs.views)
    found: npt.NDArray[np.bool_] = np.concatenate([np.repeat(inputs.views, each), inputs.words])
    return found


def _steps(states: Sequence[Array]) -> dict[str, Array]:
    *between, actions = states
    return {f"after step {k + 1}": x for k, x in enumerate(between)} | {"actions": actions}


def _host(tensor: Any) -> Array:
    import torch

    array: Array = tensor.to("cpu", torch.float32).numpy()
    return array.copy()
