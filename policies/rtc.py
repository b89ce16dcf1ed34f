"""Real-time chunking: a flow policy's next chunk is made to go on from the one that is being played.

While a chunk is inferred the arm plays what is left of the one before. Those actions are no longer
a choice: the first `delay_steps` of the new chunk are pulled onto them with full weight, the next
ones less and less, and the rest is free. The pull is a correction of the velocity at every step of
the flow (Black, Galliker, Levine, "Real-Time Execution of Action Chunking Flow Policies",
arXiv 2506.07339); its numbers are those of LeRobot 0.6.1 (`lerobot.policies.rtc.modeling_rtc`),
where the correction is the plain error: no backward pass through the model.

Pure functions. Everything is in the model's own space, normalised and padded, where one schedule
means the same for every joint. Arithmetic only, so `guided` takes torch, jax and numpy arrays.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

MAX_WEIGHT = 10.0
"""LeRobot's `max_guidance_weight`."""


class Schedule(Enum):
    """How the pull fades between the frozen prefix and the horizon (LeRobot's names)."""

    LINEAR = "linear"
    EXP = "exp"
    ONES = "ones"
    ZEROS = "zeros"


@dataclass(frozen=True, slots=True, eq=False)
class RawChunk:
    """What a model said, as it said it: `actions` [T, A] in model space, before un-normalising.

    `state` [A] is the pose that delta actions are relative to, in the actions' units before
    normalising; None where actions are absolute.
    """

    actions: Array
    state: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Leftover:
    """What is left of the chunk before, seen from the new observation.

    Row k of `actions` [K, A] (model space) is due k steps after it. The first `delay_steps` rows
    will have been consumed before the new chunk takes over; at `horizon` rows the pull has faded.
    `state` as in `RawChunk`: where it is given, `rebased` has to be called before use.
    """

    actions: Array
    delay_steps: int
    horizon: int
    schedule: Schedule = Schedule.LINEAR
    max_weight: float = MAX_WEIGHT
    state: Array | None = None

    def rebased(self, state_now: Array, delta: npt.NDArray[np.bool_], scale: Array) -> "Leftover":
        """The same motion as deltas from another pose.

        `state_now` [A] is the new observation's, in the units of `state`; `delta` [A] says which
        actions are deltas; `scale` [A] is what one unit of model space is in those units (std +
        eps, or (q99 - q01 + eps) / 2). A leftover without a `state` is returned as it is.
        """
        if self.state is None:
            return self
        width = len(delta)
        actions = np.array(self.actions, np.float32)
        moved = (self.state[:width] - state_now[:width]) / scale[:width]
        actions[:, :width] += np.where(delta, moved, 0.0)
        return replace(self, actions=actions, state=None)

    def pull(self, length: int, width: int) -> "Pull":
        """What `guided` needs for chunks of [length, width]: once per chunk, not per step."""
        count = min(length, len(self.actions))
        target = np.zeros((length, width), np.float32)
        target[:count, : self.actions.shape[1]] = self.actions[:count]
        horizon = min(self.horizon, len(self.actions))
        weights = prefix_weights(self.delay_steps, horizon, length, self.schedule)
        return Pull(target, weights[:, None], self.max_weight)


class Pull(NamedTuple):
    """Where a chunk is pulled to (`target` [T, A]), how strongly (`weights` [T, 1], 0 to 1), and
    the bound of the guidance weight. Arrays of whichever library the sampler computes with."""

    target: Any
    weights: Any
    max_weight: float


def prefix_weights(delay_steps: int, horizon: int, length: int, schedule: Schedule) -> Array:
    """The weight of each of `length` actions: 1 for the frozen prefix, 0 from `horizon` on.

    Between them LINEAR falls evenly, EXP as c (e^c - 1) / (e - 1) of that; ONES stays 1 to the
    horizon, ZEROS is the prefix alone.
    """
    start = min(delay_steps, horizon)
    weights = np.zeros(length, np.float32)
    weights[: max(0, start)] = 1.0
    if schedule is Schedule.ONES:
        weights[: max(0, horizon)] = 1.0
    if schedule in (Schedule.ZEROS, Schedule.ONES):
        return weights
    fading = min(horizon, length) - start
    if fading > 0:
        # Shares of the step after the last and of the one before the first belong to neither.
        line = np.linspace(1.0, 0.0, fading + 2, dtype=np.float32)[1:-1]
        if schedule is Schedule.EXP:
            line = line * np.expm1(line) / np.float32(math.e - 1.0)
        weights[start : start + fading] = line
    return weights


def guidance_weight(t: float, max_weight: float) -> float:
    """How strongly the flow is corrected at time `t` (1: noise, 0: actions), `max_weight` at most.

    With tau = 1 - t: (1 - tau) / tau * (tau^2 + (1 - tau)^2) / (1 - tau)^2, which is infinite at
    both ends.
    """
    tau = 1.0 - t
    if tau <= 0.0:
        return max_weight
    if t <= 0.0:
        return 0.0  # the flow is over; LeRobot's nan there becomes 0 too
    return min(max_weight, (t * t + tau * tau) / (t * tau))


def guided(x_t: Any, v: Any, t: float, pull: Pull) -> Any:
    """The velocity `v` [..., T, A] at `x_t` and time `t`, corrected toward the pull's target.

    The flow goes from t = 1 (noise) to 0 (actions) by x - dt * v, so x_t - t * v is where it would
    end from here. The pull's arrays have to be on the device of `x_t`.
    """
    ends_at = x_t - t * v
    error = (pull.target - ends_at) * pull.weights
    return v - guidance_weight(t, pull.max_weight) * error
