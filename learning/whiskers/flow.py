"""How a Pi0's answer comes out of noise: what stands after each step of the flow, in the robot's own terms.

The sampler is listened to by the same door that real-time chunking uses, a guide that is called at every step; this
one changes nothing. What was there at a step then takes the place of the sampler's result, so that it comes back
through the very same way that an answer does: un-normalised, absolute, in the robot's units.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from policies.model import Model
from policies.pi0.policy import Pi0Policy
from policies.pi0.sampling import Array32, Guide, Sampler

Array = npt.NDArray[np.float64]


class FlowWatch:
    """Listens to the sampler of one policy while it is used as a context manager."""

    def __init__(self, policy: Pi0Policy) -> None:
        self._policy = policy
        self._inner: Sampler = policy.sampler
        self._steps: list[Array32] = []
        self._replay: Array32 | None = None

    def __enter__(self) -> Self:
        self._policy.sampler = self
        return self

    def __exit__(self, *_: object) -> None:
        self._policy.sampler = self._inner

    def replayed(self, ask: Callable[[], Array]) -> Array:
        """What `ask` answers with each step's intermediate in place of the sampler's result, from noise to the answer:
        [S + 1, T, joints]. Call it after the policy was asked once."""
        steps = list(self._steps)
        found = []
        for each in steps:
            self._replay = each
            found.append(ask())
        self._replay = None
        return np.array(found)

    # --- as a sampler -------------------------------------------------------------------------------------------------

    @property
    def device(self) -> str:
        """See `policies.pi0.sampling.Sampler`."""
        return self._inner.device

    @property
    def acceleration(self) -> str:
        """See `policies.pi0.sampling.Sampler`."""
        return self._inner.acceleration

    def prepare(self, inputs: Any) -> Any:
        """See `policies.pi0.sampling.Sampler`."""
        return self._inner.prepare(inputs)

    def synchronize(self) -> None:
        """See `policies.pi0.sampling.Sampler`."""
        self._inner.synchronize()

    def pulled(self, values: npt.NDArray[np.float32]) -> Any:
        """See `policies.pi0.sampling.Sampler`."""
        return self._inner.pulled(values)

    def sample(self, prepared: Any, noise: Array32, steps: int, guide: Guide | None) -> Array32:
        """The inner sampler's chunk, noted step by step; or what is being replayed."""
        if self._replay is not None:
            return self._replay.copy()
        self._steps = []

        def listen(x: Any, v: Any, t: float) -> Any:
            at = x if isinstance(x, np.ndarray) else np.asarray(x.cpu())
            self._steps.append(np.array(at, np.float32))
            return v if guide is None else guide(x, v, t)

        chunk = self._inner.sample(prepared, noise, steps, listen)
        self._steps.append(np.array(chunk, np.float32))
        return chunk


def flow_of(model: Model) -> FlowWatch | None:
    """A watch for the Pi0 that the model is, or has within its embodiment; None for another policy."""
    inner = getattr(model, "inner", model)
    return FlowWatch(inner) if isinstance(inner, Pi0Policy) else None
