"""From chunks of actions to one plan: whose prediction counts for which moment.

Pure functions of arrays and times: no model, no clock. A *chunk* is what a policy said for the
moments `observation_ns + k * step_ns`; a *plan* is what the arm is asked to do from now on. Between
them lie temporal ensembling (several chunks speak of the same moment) and the crossfade (the arm
is still following the plan before).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from policies.rtc import RawChunk
from robotd.errors import CheckpointError
from robotd.layouts import PLAN_WAYPOINTS

Array = npt.NDArray[np.float64]

DEFAULT_COEFFICIENT = 0.01
"""ACT's own value (arXiv 2304.13705, algorithm 2); LeRobot's default too."""

_SNAP = 0.01
"""Moments within 1 % of a step are the same moment: tick deadlines are rounded to nanoseconds."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a policy said: action k is meant for `observation_ns + k * step_ns`.

    `actions_rad` is [T, A] float64 in the model frame. `handover_version` is the hand-over that was
    in force at the observation. `raw` is the same chunk as the model said it, where real-time
    chunking can hold on to it.
    """

    id: int
    handover_version: int
    observation_ns: int
    step_ns: int
    actions_rad: Array
    raw: RawChunk | None = None

    @property
    def end_ns(self) -> int:
        """When the last action is due."""
        return self.observation_ns + self.step_ns * (len(self.actions_rad) - 1)

    def at(self, times_ns: npt.NDArray[np.int64]) -> tuple[Array, npt.NDArray[np.bool_]]:
        """The actions at `times_ns` [N]: [N, A], and which of them the chunk covers [N].

        Between two actions the path is straight. What is not covered is clamped to the ends.
        """
        steps = _snapped((times_ns - self.observation_ns) / self.step_ns)
        covered = (steps >= 0) & (steps <= len(self.actions_rad) - 1)
        path = _between(self.actions_rad, steps)
        return path, covered

    def raw_from(self, observation_ns: int) -> Array | None:
        """What is left of the chunk at an observation, in model space: row k is due k steps after
        it, [K, A_model]. None where nothing is left or the model's own words are not known."""
        if self.raw is None:
            return None
        past = (observation_ns - self.observation_ns) / self.step_ns
        steps = _snapped(past + np.arange(len(self.raw.actions), dtype=np.float64))
        left = steps[(steps >= 0) & (steps <= len(self.raw.actions) - 1)]
        return _between(np.asarray(self.raw.actions, np.float64), left) if len(left) else None


def _snapped(steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    nearest = np.rint(steps)
    return np.where(np.abs(steps - nearest) < _SNAP, nearest, steps)


def _between(rows: Array, steps: npt.NDArray[np.float64]) -> Array:
    """The rows at fractional `steps` [N], straight between two, clamped to the ends: [N, A]."""
    last = len(rows) - 1
    steps = np.clip(steps, 0, last)
    below = np.floor(steps).astype(np.int64)
    above = np.minimum(below + 1, last)
    part = (steps - below)[:, None]
    path: Array = rows[below] * (1.0 - part) + rows[above] * part
    return path


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Weights exp(-coefficient * i), i = 0 for the chunk that counts most.

    `oldest` first is ACT's and LeRobot's order; `newest` first is the other one that is in use
    (82 → 90 % success on an SO-101 where it was measured).
    """

    order: Literal["newest", "oldest"]
    coefficient: float = DEFAULT_COEFFICIENT


def parse_ensemble(text: str) -> Ensemble | None:
    """Read `""`, `newest`, `oldest` or `newest:0.02`. Raises CheckpointError for anything else."""
    if not text:
        return None
    order, _, number = text.partition(":")
    try:
        coefficient = float(number) if number else DEFAULT_COEFFICIENT
    except ValueError:
        coefficient = -1.0
    if order == "newest" and 0 <= coefficient < np.inf:
        return Ensemble("newest", coefficient)
    if order == "oldest" and 0 <= coefficient < np.inf:
        return Ensemble("oldest", coefficient)
    raise CheckpointError(
        f"Ensembling {text!r} is not known.",
        "It is neither newest nor oldest, or its coefficient is not a number of zero or more.",
        "Use --ensemble newest, --ensemble oldest, or one with a coefficient: newest:0.01.",
    )


def ensembled(chunks: Sequence[Chunk], times_ns: npt.NDArray[np.int64], how: Ensemble) -> Array:
    """The weighted mean [N, A] of all chunks that speak of each moment; `chunks` oldest first.

    The last chunk must cover every moment. Ranks are counted among the chunks that cover a moment,
    so that moment's weights are those of LeRobot's online ensembler.
    """
    values = []
    covers = []
    for chunk in chunks:
        path, covered = chunk.at(times_ns)
        values.append(path)
        covers.append(covered)
    covered = np.stack(covers)  # [C, N]
    oldest_first = how.order == "oldest"
    rank = (np.cumsum(covered if oldest_first else covered[::-1], axis=0)) - 1
    rank = rank if oldest_first else rank[::-1]
    weights = np.where(covered, np.exp(-how.coefficient * rank), 0.0)
    weights /= weights.sum(axis=0)
    mean: Array = np.einsum("cn,cna->na", weights, np.stack(values))
    return mean


def crossfaded(
    old_rad: Array, new_rad: Array, times_ns: npt.NDArray[np.int64], seam_ns: int, fade_ns: int
) -> Array:
    """Go from the old path to the new one over `fade_ns` after `seam_ns`; both are [N, A].

    Until the seam the arm still follows the old plan, so the new one agrees with it there: whenever
    control switches before the seam's end, the goal does not jump.
    """
    if fade_ns <= 0:
        return new_rad
    part = np.clip((times_ns - seam_ns) / fade_ns, 0.0, 1.0)[:, None]
    return old_rad * (1.0 - part) + new_rad * part


def times_left(chunk: Chunk, now_ns: int) -> npt.NDArray[np.int64]:
    """The moments of the chunk that still count: the last one at or before now, and all after it.

    The one before now stays, because the path from it to the next is what is due now. Empty when
    the whole chunk is in the past; never more than a plan holds.
    """
    first = max(0, (now_ns - chunk.observation_ns) // chunk.step_ns)
    steps = np.arange(first, len(chunk.actions_rad), dtype=np.int64)[:PLAN_WAYPOINTS]
    return chunk.observation_ns + steps * chunk.step_ns
