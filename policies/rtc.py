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
from dataclasses import dataclass
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
class Leftover:
    """What is left of the chunk before, seen from the new observation.

    Row k of `actions` [K, A] is due k steps after it, as `Model.raw` gave it. The first
    `delay_steps` rows will have been consumed before the new chunk takes over; at `horizon` rows
    the pull has faded.
    """

    actions: npt.NDArray[np.float64]
    delay_steps: int
    horizon: int
    schedule: Schedule = Schedule.LINEAR
    max_weight: float = MAX_WEIGHT

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


def from_zero(
    actions: npt.NDArray[Any],
    state: npt.NDArray[Any],
    delta: npt.NDArray[np.bool_],
    scale: npt.NDArray[Any],
) -> npt.NDArray[np.float64]:
    """Deltas from a pose as deltas from the zero pose, in model space [T, A]: what a `Model.raw` is,
    so that a leftover of one observation means the same at another.

    `state` [A] is the pose in the actions' units before normalising, `delta` [A] says which actions
    are deltas, `scale` [A] what one unit of model space is in those units (std + eps, or
    (q99 - q01 + eps) / 2). What lies beyond the width of `delta` (padding) is left alone.
    """
    return _moved(actions, state, delta, scale)


def from_pose(
    actions: npt.NDArray[Any],
    state: npt.NDArray[Any],
    delta: npt.NDArray[np.bool_],
    scale: npt.NDArray[Any],
) -> npt.NDArray[np.float64]:
    """The inverse of `from_zero`: a leftover's actions as deltas from the new observation's pose."""
    return _moved(actions, -np.asarray(state), delta, scale)


def _moved(
    actions: npt.NDArray[Any],
    state: npt.NDArray[Any],
    delta: npt.NDArray[np.bool_],
    scale: npt.NDArray[Any],
) -> npt.NDArray[np.float64]:
    width = len(delta)
    moved = np.array(actions, np.float64)
    moved[:, :width] += np.where(delta, state[:width] / scale[:width], 0.0)
    return moved


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
