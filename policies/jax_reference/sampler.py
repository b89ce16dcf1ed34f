"""The JAX forward as the network behind a Pi0 policy (`policies.pi0.sampler.Sampler`), jitted.

It is compiled for the shapes it first meets, which takes seconds for a tiny model and about a minute
for a real one on a CPU: `told` hears of it before and after. Weights stay as they are stored and
are widened where they are used.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.jax_reference.starting import Started
from policies.jax_reference.weights import arrange

Array32 = npt.NDArray[np.float32]
Guide = Callable[[Any, Any, float], Any]
Told = Callable[[str], None]


class JaxSampler:
    """A Pi0 or Pi0.5 in JAX on one device. Raises CheckpointError for a tree that is not one."""

    def __init__(
        self,
        params: Mapping[str, Any],
        started: Started,
        *,
        half: bool,
        lora_scale: float = 1.0,
        source: str = "the checkpoint",
        told: Told = lambda _words: None,
    ) -> None:
        """`half`: compute in bfloat16, else in float32 with exact products (no TF32)."""
        from policies.jax_reference import forward

        self._jax, self._forward = started.jax, forward
        self._place = started.device
        weights, self.dims = arrange(params, lora_scale=lora_scale, source=source)
        self.weights = self._jax.device_put(weights, started.device)
        self._half = half
        self._told = told
        self._programs = _programs(half)
        self._compiled: set[tuple[Any, ...]] = set()
        self.device = "cpu" if started.device.platform == "cpu" else f"cuda:{started.device.id}"
        self.acceleration = f"{started.words}, jitted"

    def prepare(self, inputs: Any) -> Any:
        """`policies.pi0.sampler.NetworkInputs` on the device."""
        return self._put(
            self._forward.Inputs(
                images=np.moveaxis(inputs.pixels, 1, -1)[None],
                image_mask=inputs.views[None],
                tokens=inputs.ids[None].astype(np.int32),
                token_mask=inputs.words[None],
                state=inputs.state[None],
            )
        )

    def synchronize(self) -> None:
        """Nothing to wait for: `sample` has copied to the host, which waits."""

    def pulled(self, values: Array32) -> Any:
        """A guide's array on the device."""
        return self._put(np.asarray(values, np.float32))

    def sample(self, prepared: Any, noise: Array32, steps: int, guide: Guide | None) -> Array32:
        """Chunks [B, T, A] in model space from noise [B, T, A]; returns when they are computed."""
        start = self._put(np.asarray(noise, np.float32))
        if guide is None:
            key = ("sample", steps, start.shape, prepared.tokens.shape, prepared.images.shape)
            with self._exactly(key):
                actions, _ = self._programs.whole(self.weights, prepared, start, steps=steps)
                return np.array(actions, np.float32)
        key = ("steps", 1, start.shape, prepared.tokens.shape, prepared.images.shape)
        with self._exactly(key):
            prefix, x = self.prefix(prepared, len(noise)), start
            state = self._repeated(prepared.state, len(noise))
            for t in self._forward.times(steps):
                v = self._programs.velocity(
                    self.weights, prefix, state, x, self._times(t, len(noise))
                )
                x = x - guide(x, v, t) / steps
            return np.array(x, np.float32)

    # --- parts that tests and verification look at -----------------------------------------------

    def prefix(self, prepared: Any, batch: int = 1) -> Any:
        """What is computed once a chunk (`forward.Prefix`)."""
        with self._precision():
            prefix = self._programs.prefix(self.weights, prepared)
        return prefix if batch == 1 else self._forward.spread(prefix, batch)

    def velocity(self, prepared: Any, actions: Array32, t: float) -> Array32:
        """The flow's velocity [B, T, A] at noisy `actions` [B, T, A] and time `t`."""
        batch = len(actions)
        with self._precision():
            found = self._programs.velocity(
                self.weights,
                self.prefix(prepared, batch),
                self._repeated(prepared.state, batch),
                self._put(np.asarray(actions, np.float32)),
                self._times(t, batch),
            )
        return np.array(found, np.float32)

    def _put(self, values: Any) -> Any:
        return self._jax.device_put(values, self._place)

    def _repeated(self, state: Any, batch: int) -> Any:
        return self._put(np.repeat(np.asarray(state), batch, axis=0))

    def _times(self, t: float, batch: int) -> Any:
        return self._put(np.full(batch, t, np.float32))

    def _precision(self) -> Any:
        """A GPU multiplies float32 in TF32 unless told otherwise, which is good to three digits."""
        return self._jax.default_matmul_precision("default" if self._half else "highest")

    def _exactly(self, key: tuple[Any, ...]) -> "_Compiling":
        return _Compiling(self, key)


class _Compiling:
    """Around a call: says how long compiling took when these shapes are met for the first time."""

    def __init__(self, sampler: JaxSampler, key: tuple[Any, ...]) -> None:
        self._sampler, self._key = sampler, key
        self._precision = sampler._precision()
        self._began_s = 0.0

    def __enter__(self) -> None:
        self._precision.__enter__()
        if self._key not in self._sampler._compiled:
            self._sampler._told("compiling for JAX (a minute or two the first time)")
            self._began_s = time.monotonic()

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self._precision.__exit__(kind, value, trace)
        if self._began_s and kind is None:
            self._sampler._compiled.add(self._key)
            self._sampler._told(f"compiled for JAX in {time.monotonic() - self._began_s:.1f} s")


@dataclass(frozen=True, slots=True)
class _Programs:
    """The jitted functions. Models of the same shapes in one process share what is compiled."""

    prefix: Any
    velocity: Any
    whole: Any


@cache
def _programs(half: bool) -> _Programs:
    import jax
    import jax.numpy as jnp

    from policies.jax_reference import forward

    dtype = jnp.bfloat16 if half else jnp.float32

    def whole(weights: Any, inputs: Any, noise: Any, steps: int) -> Any:
        """Inputs to actions in one program, so that XLA sees all of it."""
        prefix = forward.run_prefix(weights, inputs, dtype)
        if noise.shape[0] != 1:
            prefix = forward.spread(prefix, noise.shape[0])
        state = forward.spread_rows(inputs.state, noise.shape[0])
        return forward.sample(weights, prefix, state, noise, steps)

    return _Programs(
        jax.jit(partial(forward.run_prefix, dtype=dtype)),
        jax.jit(forward.velocity),
        jax.jit(whole, static_argnames="steps"),
    )
