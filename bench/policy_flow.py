"""A policy like Pi0 in all that seams depend on, and nothing else: a flow over chunks of 50 actions.

From every pose there are two good ways on, and a chunk takes one of them by the noise it begins
with. That is what makes flow policies jump where one chunk takes over from another, and what
real-time chunking is for. The flow is the exact one for a mixture of two narrow Gaussians, solved
in ten Euler steps as Pi0's is; its arithmetic takes a millisecond, so that any inference time can be
put in its place.
"""

import math

import numpy as np
import numpy.typing as npt

from policies.model import Timings
from policies.observation import Observation
from policies.rtc import Leftover, Pull, RawChunk, guided
from robotd.clock import NS_PER_S

Array = npt.NDArray[np.float64]

CHUNK = 50
STEPS = 10
POSE = "pose_rad"
"""The key of the measured pose [joints] in an observation's values."""

_UNIT_RAD = math.radians(8.0)  # of model space
_SPREAD = 0.05  # of the actions around their way, in model space
_AWAY = np.array([1.5, 0.0, 0.0, 0.6, 1.5, 0.0])  # which way is the other, joint by joint
_APPROACH_STEPS = 12.0  # a way is two thirds gone after so many steps


class FlowPolicy:
    """The policy as a `policies.runner.Predictor`. `home_rad` [joints] is what both ways lead around;
    the same `seed` gives the same noises."""

    def __init__(self, home_rad: Array, fps: int, seed: int) -> None:
        self.home_rad = np.asarray(home_rad, np.float64)
        self.step_ns = round(NS_PER_S / fps)
        self.raw: RawChunk | None = None
        self.timings = Timings()
        self._random = np.random.default_rng(seed)

    def reset(self) -> None:
        """Nothing is remembered between chunks but the noise's place."""
        self.raw = None

    def predict(self, observation: Observation, leftover: Leftover | None = None) -> Array:
        """A chunk [50, joints] in radians from the measured pose on."""
        ways = self.ways((observation.values[POSE] - self.home_rad) / _UNIT_RAD)
        noise = self._random.normal(size=ways.shape[1:])
        pull = None if leftover is None else leftover.pull(*noise.shape)
        actions = sample(ways, noise, pull)
        self.raw = RawChunk(actions.astype(np.float32))
        return self.home_rad + actions * _UNIT_RAD

    @staticmethod
    def ways(pose: Array) -> Array:
        """The two ways on from a pose, in model space: [2, 50, joints]."""
        gone = 1.0 - np.exp(-np.arange(CHUNK) / _APPROACH_STEPS)
        away = _AWAY[: len(pose)]
        ends = np.stack([away, -away])
        return pose + gone[None, :, None] * (ends - pose)[:, None, :]


def sample(ways: Array, noise: Array, pull: Pull | None) -> Array:
    """Ten Euler steps from noise to a chunk [T, A]."""
    x_t = noise
    for step in range(STEPS):
        t = 1.0 - step / STEPS
        v = velocity(ways, x_t, t)
        if pull is not None:
            v = guided(x_t, v, t, pull)
        x_t = x_t - v / STEPS
    return x_t


def velocity(ways: Array, x_t: Array, t: float) -> Array:
    """The flow at `x_t` [T, A]: (x_t - E[actions | x_t]) / t, for equally likely `ways` [M, T, A]."""
    kept = (1.0 - t) * _SPREAD**2
    variance = t * t + (1.0 - t) * kept
    off = x_t - (1.0 - t) * ways
    likely = -np.square(off).sum(axis=(1, 2)) / (2.0 * variance)
    weights = np.exp(likely - likely.max())
    weights /= weights.sum()
    means = ways + kept / variance * off
    expected: Array = np.einsum("m,mta->ta", weights, means)
    return (x_t - expected) / t
