"""What a Pi0's network is asked, whichever library computes it: robotd's torch, or JAX.

A `Sampler` takes what is seen and makes chunks of noise. Nothing here imports torch or JAX.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Guide = Callable[[Any, Any, float], Any]
"""(x_t, v, t) -> v: arrays of the sampler's own library, t from 1 (noise) towards 0 (actions)."""

Array32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkInputs:
    """What the network sees of one moment.

    `pixels` [V, 3, side, side] float32 in -1..1; `views` [V] bool: which are there; `ids` [L] int64
    and `words` [L] bool: tokens and which are there; `state` [S] float32, normalised and filled up.
    """

    pixels: Array32
    views: npt.NDArray[np.bool_]
    ids: npt.NDArray[np.int64]
    words: npt.NDArray[np.bool_]
    state: Array32


class Sampler(Protocol):
    """A network that makes chunks."""

    @property
    def device(self) -> str:
        """Where it computes, in torch's words."""
        ...

    @property
    def acceleration(self) -> str:
        """How it is made fast, or why not."""
        ...

    def prepare(self, inputs: NetworkInputs) -> Any:
        """Put the inputs where it computes; returns what `sample` takes."""
        ...

    def synchronize(self) -> None:
        """Return when everything asked for is computed: without it a clock times the asking."""
        ...

    def pulled(self, values: npt.NDArray[np.float32]) -> Any:
        """An array of a guide's, where it computes."""
        ...

    def sample(self, prepared: Any, noise: Array32, steps: int, guide: Guide | None) -> Array32:
        """Chunks [B, T, A] in model space from noise [B, T, A]; returns when they are computed."""
        ...


def flow_times(steps: int) -> list[float]:
    """The times at which the velocity is asked for: 1, 1 - 1/n, …, 1/n, summed up in float32 like
    the original does (its time embedding can tell)."""
    time, step = np.float32(1.0), np.float32(1.0 / steps)
    times = []
    for _ in range(steps):
        times.append(float(time))
        time = np.float32(time - step)
    return times
