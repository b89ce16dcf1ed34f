"""The JAX forward as the network behind a Pi0 policy (`policies.pi0.sampler.Sampler`), jitted.

It is compiled for the shapes it first meets, which takes seconds for a tiny model and about a minute
for a real one on a CPU: `told` hears of it before and after. Weights stay as they are stored and
are widened where they are used.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
        lora_alpha: float | None = None,
        source: str = "the checkpoint",
        told: Told = lambda _words: None,
    ) -> None:
        """`half`: compute in bfloat16, else in float32 with exact products (no TF32)."""
        from policies.jax_reference import forward

        self._jax, self._forward = started.jax, forward
        self._place = started.device
        weights, self.dims = arrange(params, lora_alpha=lora_alpha, source=source)
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

    def sample(
        self, prepared: Any, noise: Array32, steps: int, guide: Guide | None = None
    ) -> Array32:
        """Chunks [B, T, A] in model space from noise [B, T, A]; returns when they are computed.

        Step by step with and without a guide: the first chunk that is guided (real-time chunking,
        in the middle of a run) must find everything compiled.
        """
        batch, x = len(noise), self._put(np.asarray(noise, np.float32))
        with self._compiling((x.shape, prepared.tokens.shape, prepared.images.shape)):
            prefix = self.prefix(prepared, batch)
            state = self._repeated(prepared.state, batch)
            for t in self._forward.times(steps):
                v = self._velocity(prefix, state, x, t)
                x = x - (v if guide is None else guide(x, v, t)) / steps
            return np.array(x, np.float32)

    # --- parts that tests and verification look at -----------------------------------------------

    def prefix(self, prepared: Any, batch: int = 1) -> Any:
        """What is computed once a chunk (`forward.Prefix`)."""
        with self._precision():
            prefix = self._programs.prefix(self.weights, prepared)
        return prefix if batch == 1 else self._forward.spread(prefix, batch)

    def velocity(self, prepared: Any, actions: Array32, t: float) -> Array32:
        """The flow's velocity [B, T, A] at noisy `actions` [B, T, A] and time `t`."""
        batch, x = len(actions), self._put(np.asarray(actions, np.float32))
        state = self._repeated(prepared.state, batch)
        return np.array(self._velocity(self.prefix(prepared, batch), state, x, t), np.float32)

    def _velocity(self, prefix: Any, state: Any, x: Any, t: float) -> Any:
        time = self._put(np.full(len(x), t, np.float32))
        with self._precision():
            return self._programs.velocity(self.weights, prefix, state, x, time)

    def _put(self, values: Any) -> Any:
        return self._jax.device_put(values, self._place)

    def _repeated(self, state: Any, batch: int) -> Any:
        return self._put(np.repeat(np.asarray(state), batch, axis=0))

    def _precision(self) -> Any:
        """A GPU multiplies float32 in TF32 unless told otherwise, which is good to three digits."""
        return self._jax.default_matmul_precision("default" if self._half else "highest")

    @contextmanager
    def _compiling(self, shapes: tuple[Any, ...]) -> Iterator[None]:
        """Around a chunk: says how long it took where these shapes are met for the first time."""
        if shapes in self._compiled:
            yield
            return
        self._told("compiling for JAX (a minute or two the first time)")
        began_s = time.monotonic()
        yield
        self._compiled.add(shapes)
        self._told(f"compiled for JAX in {time.monotonic() - began_s:.1f} s")


@dataclass(frozen=True, slots=True)
class _Programs:
    """The jitted functions. Models of the same shapes in one process share what is compiled."""

    prefix: Any
    velocity: Any


@cache
def _programs(half: bool) -> _Programs:
    import jax
    import jax.numpy as jnp

    from policies.jax_reference import forward

    dtype = jnp.bfloat16 if half else jnp.float32
    return _Programs(jax.jit(partial(forward.run_prefix, dtype=dtype)), jax.jit(forward.velocity))
