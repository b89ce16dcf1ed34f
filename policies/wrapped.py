"""A model that stands before another one: everything is the other's, but what is said otherwise."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.border import ACTION, STATE
from policies.checkpoint.digests import FileDigests
from policies.checkpoint.evidence import Evidence
from policies.checkpoint.folder import Feature
from policies.model import Interface, Model, Timings
from policies.poses import POSE_VALUES, PoseStage
from policies.rtc import Leftover, RawChunk
from robotd.errors import CheckpointError


class WrappedModel:
    """Passes on what is asked of it."""

    def __init__(self, inner: Model) -> None:
        self.inner = inner

    @property
    def kind(self) -> str:
        return self.inner.kind

    @property
    def interface(self) -> Interface:
        return self.inner.interface

    @property
    def evidence(self) -> Evidence:
        return self.inner.evidence

    @property
    def means(self) -> Mapping[str, npt.NDArray[np.float64]]:
        return self.inner.means

    @property
    def chunk(self) -> int:
        return self.inner.chunk

    @property
    def n_action_steps(self) -> int:
        return self.inner.n_action_steps

    @property
    def timings(self) -> Timings:
        return self.inner.timings

    @property
    def raw(self) -> RawChunk | None:
        return self.inner.raw

    def reset(self) -> None:
        self.inner.reset()

    def reseed(self, seed: int) -> None:
        self.inner.reseed(seed)

    def sha256(self, digests: FileDigests) -> str:
        return self.inner.sha256(digests)


class PosedModel(WrappedModel):
    """A policy with the robot's own keys that says poses of the fingers, as one that says joints.

    Raises CheckpointError for one whose actions are no poses.
    """

    def __init__(self, inner: Model, name: str, stage: PoseStage, joints: int) -> None:
        super().__init__(inner)
        self.name = name  # of its embodiment
        said = inner.interface.outputs.get(ACTION)
        if said is None or said.shape != (POSE_VALUES,):
            raise CheckpointError(
                f"{inner.interface.name} says {said.shape if said else 'no'} actions, a pose of the "
                f"fingers has {POSE_VALUES} values.",
                "It was trained on joints, or in another space of poses.",
                "Leave out --embodiment: a policy with this robot's own keys needs none.",
            )
        self._stage = stage
        self._joints = joints

    @property
    def interface(self) -> Interface:
        return replace(self.inner.interface, outputs={ACTION: Feature("ACTION", (self._joints,))})

    @property
    def evidence(self) -> Evidence:
        """Its actions' names are a pose's, and not those of joints."""
        return replace(self.inner.evidence, joints=())

    def predict(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        task: str,
        *,
        noise: npt.NDArray[np.float32] | None = None,
        leftover: Leftover | None = None,
    ) -> npt.NDArray[np.float64]:
        """One chunk [T, joints] in the robot's units."""
        poses = self.inner.predict(values, task, noise=noise, leftover=leftover)
        return self._stage(poses, np.atleast_2d(values[STATE])[-1])  # the newest of several
