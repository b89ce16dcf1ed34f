"""Observations of a recording with what a person did next and what the policy said. Pure arrays.

Both sides are waypoints of the policy's own time step. Where the episode ends inside a chunk, what
was done is NaN, and nothing is measured there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

GRIPPER = "gripper"
_LEAST_SHARE = 0.02  # of the widest joint's spread: a joint below that stood still


@dataclass(frozen=True, slots=True)
class Samples:
    """N observations of K steps with A joints, all in the same units.

    `said` and `done` [N, K, A]; `state` [N, A] is where the joints were, None where the recording
    does not have them under the action's names; `episode` and `row` [N] say where each comes from.
    """

    joints: tuple[str, ...]
    said: Array
    done: Array
    state: Array | None
    episode: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    _of_done: dict[str, Array] = field(default_factory=dict, compare=False, repr=False)

    @property
    def spread(self) -> Array:
        """How far each joint strays from its median in what was done [A]: the unit of errors."""
        if "spread" not in self._of_done:  # the same for whatever was said, and asked for often
            middle = np.nanmedian(self.done, axis=(0, 1))
            spread = np.nanmean(np.abs(self.done - middle), axis=(0, 1))
            self._of_done["spread"] = np.asarray(spread, np.float64)
        return self._of_done["spread"]

    @property
    def moved(self) -> npt.NDArray[np.bool_]:
        """The joints that were moved at all [A]: of the others nothing can be told."""
        spread = self.spread
        return np.asarray(spread > max(_LEAST_SHARE * float(spread.max()), 1e-9), np.bool_)

    @property
    def grippers(self) -> tuple[int, ...]:
        """The indices of the grippers."""
        return tuple(i for i, name in enumerate(self.joints) if GRIPPER in name)

    @property
    def body(self) -> tuple[int, ...]:
        """The indices of all other joints."""
        return tuple(i for i in range(len(self.joints)) if i not in self.grippers)

    def saying(self, said: Array) -> "Samples":
        """The same, had the policy said something else."""
        return replace(self, said=said)

    def part(self, chosen: npt.NDArray[np.int64]) -> "Samples":
        """Some of the observations."""
        state = None if self.state is None else self.state[chosen]
        return Samples(
            self.joints,
            self.said[chosen],
            self.done[chosen],
            state,
            self.episode[chosen],
            self.row[chosen],
        )


@dataclass(frozen=True, slots=True)
class Place:
    """One observation of a recording: its episode, and its row within it."""

    episode: int
    row: int


def choose_places(lengths: Sequence[tuple[int, int]], count: int, seed: int = 0) -> list[Place]:
    """Up to `count` places, spread evenly over all (episode, rows) given; shuffled, so that any
    first part of them is spread too. The same seed gives the same places.

    The last rows of an episode have nothing after them to compare with, so they are left out.
    """
    every = [
        Place(episode, row) for episode, rows in lengths for row in range(max(0, rows - _AFTER))
    ]
    if not every:
        return []
    picked = np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)
    order = np.random.default_rng(seed).permutation(len(picked))
    return [every[picked[i]] for i in order]


_AFTER = 2


def done_after(actions: Array, row: int, steps: int, ratio: float) -> Array:
    """What was done at steps 0 … `steps`-1 after `row` [steps, A]; NaN after the episode's end.

    `actions` [rows, A] of one episode; `ratio` is recorded rows a step of the policy takes.
    """
    at = row + ratio * np.arange(steps)
    low = np.minimum(np.floor(at).astype(int), len(actions) - 1)
    high = np.minimum(low + 1, len(actions) - 1)
    part = (at - np.floor(at))[:, None]
    found = actions[low] * (1.0 - part) + actions[high] * part
    found[at > len(actions) - 1] = np.nan
    return np.asarray(found, np.float64)
