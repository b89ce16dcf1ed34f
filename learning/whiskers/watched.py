"""A policy that is asked more than is played: other answers to the same observation, and one with a camera covered.

It is the policy that runs (`policies.loaded.LoadedPolicy`), and its own answer is what the executor gets; what else
it says is only kept for the picture. The extra questions come first, so that what the policy remembers of its last
answer (its raw chunk, its times) is of the one that is played.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from learning.whiskers.flow import flow_of
from policies.border import IMAGES
from policies.loaded import LoadedPolicy
from policies.observation import Observation
from policies.rtc import Leftover
from robotd.errors import CheckpointError

Array = npt.NDArray[np.float64]

_COVERED = 127


@dataclass(frozen=True, slots=True)
class Extras:
    """What is asked besides: `samples` more answers, one with the cameras `blind` covered, and the steps of the
    `flow` on its way to the answer."""

    samples: int = 0
    blind: tuple[str, ...] = ()
    flow: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """What a policy said of one observation, chunks [T, joints] in radians. `flow` [S, T, joints]: how the answer came
    about, from noise (S - 1 steps before) to the chunk; None where a policy has no flow."""

    observation_ns: int
    chunk: Array
    samples: tuple[Array, ...] = ()
    blind: Array | None = None
    flow: Array | None = None


@dataclass(slots=True)
class Ear:
    """Keeps the newest answer."""

    extras: Extras
    said: Said | None = None

    @property
    def newest(self) -> Said:
        """The newest answer. Raises ValueError before the first."""
        if self.said is None:
            raise ValueError("the policy has not been asked")
        return self.said


@dataclass(frozen=True, slots=True)
class WatchedPolicy(LoadedPolicy):
    """A loaded policy whose answers are kept by `ear`."""

    ear: Ear = field(default_factory=lambda: Ear(Extras()))

    def predict(self, observation: Observation, leftover: Leftover | None = None) -> Array:
        """The chunk that is played; see the module for what else is asked."""
        extras = self.ear.extras

        def ask(seen: Observation) -> Array:
            return LoadedPolicy.predict(self, seen, leftover)

        samples = tuple(ask(observation) for _ in range(extras.samples))
        blind = ask(covered(observation, extras.blind)) if extras.blind else None
        flow = None
        if extras.flow and (watch := flow_of(self.model)) is not None:
            with watch:
                chunk = ask(observation)
                flow = watch.replayed(partial(ask, observation))
        else:
            chunk = ask(observation)
        self.ear.said = Said(observation.deadline_ns, chunk, samples, blind, flow)
        return chunk


def watched(policy: LoadedPolicy, extras: Extras) -> WatchedPolicy:
    """The same policy, listened to. Raises CheckpointError for a camera that it does not look through."""
    strangers = [name for name in extras.blind if name not in policy.fit.cameras]
    if strangers:
        raise CheckpointError(
            f"The policy does not look through {', '.join(strangers)}; covering it changes nothing.",
            "The camera was mistyped, or it is a policy of joints alone.",
            f"Cover one of its own: {', '.join(policy.fit.cameras) or 'it has none'}.",
        )
    own = {each.name: getattr(policy, each.name) for each in fields(LoadedPolicy)}
    return WatchedPolicy(**own, ear=Ear(extras))


def covered(observation: Observation, cameras: Sequence[str]) -> Observation:
    """The observation as if a grey card were before the cameras."""

    def seen(values: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
        cards = {IMAGES + c: np.full_like(values[IMAGES + c], _COVERED) for c in cameras}
        return {**values, **cards}

    past = tuple(seen(values) for values in observation.past)
    return replace(observation, values=seen(observation.values), past=past)


def all_alike(said: Said) -> bool:
    """Whether asking again gave the same answer: such a policy draws no noise."""
    return all(np.array_equal(each, said.chunk) for each in said.samples)
