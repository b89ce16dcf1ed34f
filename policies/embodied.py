"""A model of the Pi0 family behind its embodiment: to the rest of robotd a policy like any other.

Outside it takes the robot's keys and gives the robot's actions in LeRobot's units; inside it shows
the model its own views and state, and undoes that on what comes out (`policies/embodiment.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from policies.border import ACTION, IMAGES, STATE, RobotFeatures
from policies.checkpoint.digests import FileDigests
from policies.checkpoint.evidence import Evidence, Units
from policies.checkpoint.folder import Feature
from policies.embodiment import NO_VIEW, Adapter, padded
from policies.embodiment_choice import ARM, Chosen
from policies.model import Interface, Model, Timings
from policies.poses import PoseStage
from policies.rtc import Leftover, RawChunk
from robotd.errors import CheckpointError

MODEL_STATE = "state"
"""The key under which a model of the Pi0 family takes its state; its views have openpi's names."""


class EmbodiedModel:
    """`inner` as a policy of this robot. Made by `embody`."""

    def __init__(
        self,
        inner: Model,
        adapter: Adapter,
        robot: RobotFeatures,
        chosen: Chosen,
        stage: PoseStage | None = None,
    ) -> None:
        self.inner = inner
        self._stage = stage
        self.adapter = adapter
        self.chosen = chosen
        sources = {source for source, _ in adapter.views.values()}
        sources |= {part.source for part in adapter.row.state}
        self._interface = Interface(
            inner.interface.name,
            {key: _feature(key, robot) for key in robot.keys if key in sources},
            {ACTION: Feature("ACTION", (len(robot.joints),))},
        )
        self._evidence = replace(
            inner.evidence,
            units=chosen.units,
            units_source=f"embodiment {chosen.name} ({chosen.source})",
        )
        state = inner.interface.inputs.get(MODEL_STATE)
        self._state_size = state.shape[0] if state and adapter.row.pad_before_normalise else 0

    @property
    def kind(self) -> str:
        return self.inner.kind

    @property
    def interface(self) -> Interface:
        return self._interface

    @property
    def evidence(self) -> Evidence:
        return self._evidence

    @property
    def means(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """None in the robot's units: a pose of zeros warms a model as well."""
        return {}

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

    @property
    def cameras(self) -> Mapping[str, str]:
        """The training's name of each camera, and this robot's: only what is looked through."""
        row = self.adapter.row
        return {
            row.cameras[role].source.removeprefix(IMAGES): source.removeprefix(IMAGES)
            for role, (source, _) in self.adapter.views.items()
        }

    def reset(self) -> None:
        self.inner.reset()

    def sha256(self, digests: FileDigests) -> str:
        """Of the weights; the embodiment is said beside it."""
        return self.inner.sha256(digests)

    def predict(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        task: str,
        *,
        noise: npt.NDArray[np.float32] | None = None,
        leftover: Leftover | None = None,
    ) -> npt.NDArray[np.float64]:
        """One chunk [T, action_size] in the robot's units. A view that is masked is not given."""
        seen = self.adapter.observe(values, task)
        state = seen.state
        if self._state_size > len(state):
            state = padded(state, self._state_size)
        shown: dict[str, npt.NDArray[Any]] = {
            role: seen.images[role] for role, there in seen.present.items() if there
        }
        shown[MODEL_STATE] = state.astype(np.float32)
        actions = self.inner.predict(shown, seen.prompt, noise=noise, leftover=leftover)
        own = self.adapter.to_robot(actions, seen.state)
        return own if self._stage is None else self._stage(own, np.asarray(values[STATE]))


class Conventional(Model, Protocol):
    """A model whose state and actions are in a convention that its checkpoint does not undo."""

    @property
    def chosen(self) -> Chosen | None:
        """Which one; None where its own keys are the robot's."""
        ...

    def relative_to_state(self, mask: npt.NDArray[np.bool_]) -> None:
        """Say which actions are relative to the state, so that a leftover can be moved with it."""
        ...


def for_robot(
    model: Model,
    robot: RobotFeatures,
    rename: Mapping[str, str],
    stage: Callable[[Units], PoseStage] | None = None,
) -> tuple[Model, Mapping[str, str]]:
    """The model as one of this robot's, and what is left to be renamed.

    A model that needs no embodiment comes back as it is. `stage` makes the inverse kinematics of a
    model that says poses, for a robot spoken to in those units; None where there is none. Raises
    CheckpointError.
    """
    chosen = getattr(model, "chosen", None)
    if chosen is None:
        return model, rename
    conventional = cast(Conventional, model)
    embodied = embody(conventional, chosen, robot, rename, stage)
    conventional.relative_to_state(embodied.adapter.delta_mask)
    return embodied, {}


def embody(
    inner: Model,
    chosen: Chosen,
    robot: RobotFeatures,
    rename: Mapping[str, str],
    stage: Callable[[Units], PoseStage] | None = None,
) -> EmbodiedModel:
    """Put the model behind its embodiment, or raise CheckpointError for what does not fit.

    `rename` maps views of the model to keys or cameras of the robot, `none` masks one.
    """
    row = chosen.row
    poses = row.space == "end_effector"
    if poses and stage is None:
        raise CheckpointError(
            f"{inner.interface.name} says poses of the fingers ({chosen.name}), and the policy "
            "process has no inverse kinematics.",
            "It needs a model of the arm, which only lock-step has.",
            "Count its successes in the plant (robotd eval), or train in joint space for the arm.",
        )
    problems = []
    if row.robot != ARM:
        problems.append(f"it is of {row.robot}, and this is an SO-101")
    if row.action_size != len(robot.joints) and row.space == "joints":
        problems.append(f"it moves {row.action_size} joints, this robot has {len(robot.joints)}")
    adapter = Adapter(row, {key: _whole(name, robot) for key, name in rename.items()})
    cameras = ", ".join(robot.cameras) or "none"
    problems += [
        f"{role} is {source.removeprefix(IMAGES)}, and this robot's cameras are: {cameras}"
        for role, (source, _) in adapter.views.items()
        if source not in robot.keys
    ]
    problems += [
        f"its state is made of {part.source}, which this robot has not"
        for part in row.state
        if part.source not in robot.keys
    ]
    said = inner.interface.outputs.get(ACTION)
    if said is not None and said.shape[-1] < row.model_actions:
        problems.append(f"it has {row.model_actions} actions, the model gives {said.shape[-1]}")
    if problems:
        lines = "".join(f"\n    - {problem}" for problem in problems)
        raise CheckpointError(
            f"{inner.interface.name} as {chosen.name} ({chosen.source}) does not fit this robot:"
            f"{lines}",
            "It was trained on another robot, with other cameras, or under other names.",
            "Say another one (--embodiment NAME), name a camera (--rename base_0_rgb=CAMERA), or "
            "mask a view that it can do without (--rename left_wrist_0_rgb=none).",
        )
    made = stage(chosen.units) if poses and stage is not None else None
    return EmbodiedModel(inner, adapter, robot, chosen, made)


def _whole(name: str, robot: RobotFeatures) -> str:
    return IMAGES + name if name != NO_VIEW and IMAGES + name in robot.keys else name


def _feature(key: str, robot: RobotFeatures) -> Feature:
    return Feature("STATE" if key == STATE else "VISUAL", robot.shape(key))
