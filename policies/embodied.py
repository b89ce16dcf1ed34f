"""A model of the Pi0 family behind its embodiment: to the rest of robotd a policy like any other.

Outside it takes the robot's keys and gives the robot's actions in LeRobot's units; inside it shows
the model its own views and state, and undoes that on what comes out (`policies/embodiment.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from config.embodiment import load_embodiment
from policies.border import ACTION, IMAGES, STATE, RobotFeatures
from policies.checkpoint.evidence import Evidence, Units
from policies.checkpoint.folder import Feature
from policies.embodiment import NO_VIEW, Adapter, padded
from policies.embodiment_choice import ARM, Chosen
from policies.model import Interface, Model
from policies.poses import PoseStage
from policies.rtc import Leftover
from policies.wrapped import PosedModel, WrappedModel
from robotd.errors import CheckpointError

MODEL_STATE = "state"
"""The key under which a model of the Pi0 family takes its state; its views have openpi's names."""


class EmbodiedModel(WrappedModel):
    """`inner` as a policy of this robot. Made by `embody`."""

    def __init__(
        self,
        inner: Model,
        adapter: Adapter,
        robot: RobotFeatures,
        chosen: Chosen,
        stage: PoseStage | None = None,
    ) -> None:
        super().__init__(inner)
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
    def cameras(self) -> Mapping[str, str]:
        """The training's name of each camera, and this robot's: only what is looked through."""
        row = self.adapter.row
        return {
            row.cameras[role].source.removeprefix(IMAGES): source.removeprefix(IMAGES)
            for role, (source, _) in self.adapter.views.items()
        }

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


class EnvironmentModel(WrappedModel):
    """A model of the Pi0 family in one of the field's environments, by that environment's own names.

    Raises CheckpointError where the embodiment is of an arm.
    """

    def __init__(self, inner: "Conventional", chosen: Chosen, rename: Mapping[str, str]) -> None:
        super().__init__(inner)
        if chosen.row.robot == ARM:
            raise CheckpointError(
                f"{inner.interface.name} as {chosen.name} is of an SO-101, and this is none.",
                f"The embodiment is known from: {chosen.source}.",
                "Say the environment's own: --embodiment NAME.",
            )
        self.adapter = Adapter(chosen.row, rename)
        inner.relative_to_state(self.adapter.delta_mask)
        views = [source for source, _ in self.adapter.views.values()]
        self.sources = (*views, *(part.source for part in chosen.row.state))

    @property
    def interface(self) -> Interface:
        """Shapes are the environment's business: pictures are resized, vectors taken as they are."""
        return Interface(
            self.inner.interface.name,
            {source: Feature("ENV", ()) for source in self.sources},
            {ACTION: Feature("ACTION", (self.adapter.row.action_size,))},
            views_may_miss=True,
        )

    def predict(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        task: str,
        *,
        noise: npt.NDArray[np.float32] | None = None,
        leftover: Leftover | None = None,
    ) -> npt.NDArray[np.float64]:
        """One chunk [T, action_size] of the environment's actions."""
        missing = [source for source in self.sources if source not in values]
        if missing:
            raise CheckpointError(
                f"{self.inner.interface.name} wants {', '.join(missing)}, which is not seen here.",
                f"This environment shows {', '.join(sorted(values))}.",
                "Say the embodiment of this environment: --embodiment NAME.",
            )
        seen = self.adapter.observe(values, task)
        shown: dict[str, npt.NDArray[Any]] = {
            role: seen.images[role] for role, there in seen.present.items() if there
        }
        shown[MODEL_STATE] = seen.state.astype(np.float32)
        actions = self.inner.predict(shown, seen.prompt, noise=noise, leftover=leftover)
        return self.adapter.to_robot(actions, seen.state)


def for_environment(model: Model, rename: Mapping[str, str] | None = None) -> Model:
    """The model as one of an environment; one whose keys are its dataset's comes back as it is.

    `rename` maps views of the model to what the environment calls them, `none` masks one.
    """
    chosen = getattr(model, "chosen", None)
    if chosen is None:
        return model
    return EnvironmentModel(cast(Conventional, model), chosen, rename or {})


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
    asked: str = "",
) -> tuple[Model, Mapping[str, str]]:
    """The model as one of this robot's, and what is left to be renamed.

    A model that needs no embodiment comes back as it is. `stage` makes the inverse kinematics of a
    model that says poses, for a robot spoken to in those units; None where there is none. `asked`
    is the embodiment that a person named. Raises CheckpointError, ConfigError.
    """
    chosen = getattr(model, "chosen", None)
    if chosen is None:
        return _own_keys(model, robot, stage, asked), rename
    conventional = cast(Conventional, model)
    embodied = embody(conventional, chosen, robot, rename, stage)
    conventional.relative_to_state(embodied.adapter.delta_mask)
    return embodied, {}


def _own_keys(
    model: Model,
    robot: RobotFeatures,
    stage: Callable[[Units], PoseStage] | None,
    asked: str,
) -> Model:
    """A model whose keys are the robot's: only what space its actions are in can be said of it."""
    if not asked:
        return model
    if load_embodiment(asked).space != "end_effector":
        raise CheckpointError(
            f"{model.interface.name} needs no embodiment: its keys and units are its dataset's.",
            f"--embodiment {asked} is for models that openpi saved, which name neither.",
            "Leave it out; --rename maps a camera that has another name here.",
        )
    if stage is None:
        raise _no_kinematics(model, asked)
    return PosedModel(model, asked, stage(model.evidence.units), len(robot.joints))


def _no_kinematics(model: Model, name: str) -> CheckpointError:
    return CheckpointError(
        f"{model.interface.name} says poses of the fingers ({name}), and the policy process has no "
        "inverse kinematics.",
        "It needs a model of the arm, which only lock-step has.",
        "Count its successes in the plant (robotd eval), or train in joint space for the arm.",
    )


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
        raise _no_kinematics(inner, chosen.name)
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
