"""How far the chunks of a policy go, and how far from the arm they begin: what a shadow can see of
a checkpoint without knowing what people did.
"""

import math
import statistics
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from policies.border import STATE
from policies.model import Timings
from policies.observation import Observation
from policies.rtc import Leftover, RawChunk

if TYPE_CHECKING:
    from policies.loaded import LoadedPolicy

_KEPT = 4096  # an hour at one chunk a second


class Reaching:
    """A loaded policy as a predictor whose chunks are measured as they come.

    `reach_deg` is the way of the joint that goes furthest within a chunk, `jump_deg` the distance of
    the joint that begins furthest from where it was observed; the medians over all chunks.
    """

    def __init__(self, policy: "LoadedPolicy") -> None:
        self._policy = policy
        self._reach_deg: deque[float] = deque(maxlen=_KEPT)
        self._jump_deg: deque[float] = deque(maxlen=_KEPT)

    @property
    def step_ns(self) -> int:
        """The policy's own."""
        return self._policy.step_ns

    def reset(self) -> None:
        """The policy's own."""
        self._policy.reset()

    @property
    def raw(self) -> RawChunk | None:
        """The policy's own."""
        return self._policy.raw

    @property
    def timings(self) -> Timings:
        """The policy's own."""
        return self._policy.timings

    def predict(
        self, observation: Observation, leftover: Leftover | None = None
    ) -> npt.NDArray[np.float64]:
        """The policy's own chunk, measured."""
        chunk = self._policy.predict(observation, leftover)
        state = observation.values.get(STATE)
        if state is not None and np.isfinite(chunk).all():
            began_rad = self._policy.border.actions_rad(np.asarray(state, np.float64))
            self._reach_deg.append(math.degrees(float(np.ptp(chunk, axis=0).max())))
            self._jump_deg.append(math.degrees(float(np.abs(chunk[0] - began_rad).max())))
        return chunk

    @property
    def reach_deg(self) -> float:
        """See the class; 0 before the first chunk."""
        return statistics.median(self._reach_deg) if self._reach_deg else 0.0

    @property
    def jump_deg(self) -> float:
        """See the class; 0 before the first chunk."""
        return statistics.median(self._jump_deg) if self._jump_deg else 0.0
