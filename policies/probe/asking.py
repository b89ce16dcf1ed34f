"""Asking a model what it would do at recorded moments, as they were or with something changed.

A model that draws noise is given the same noise every time, so that two answers differ only by what
it was shown; where it takes none (a server), asking twice measures how much it wavers.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.border import ACTION, ENVIRONMENT, IMAGES, STATE, RobotFeatures
from policies.checkpoint.many import answers_many, predict_many
from policies.embodied import EmbodiedModel, for_robot
from policies.fit import Fit, fit
from policies.model import Model
from policies.probe.samples import Array, Place, Samples, done_after
from policies.recorded_pictures import Pictures
from policies.recording import Recording, Rows
from policies.remote import RemoteModel
from robotd.errors import CheckpointError

Values = dict[str, npt.NDArray[Any]]
"""A recorded moment under the recording's keys."""

Change = Callable[[Values], Values]

_SEED = 20
_TOGETHER = 16  # moments, of a model that answers several as it does one


def fit_to_recording(
    model: Model, recording: Recording, rename: Mapping[str, str]
) -> tuple[Model, Fit]:
    """Let the recording stand for the robot: the model behind its embodiment where it has one, and
    what feeds it. Raises CheckpointError naming all that does not fit."""
    robot = RobotFeatures(
        joints=recording.joints,
        cameras={key.removeprefix(IMAGES): size for key, size in recording.cameras.items()},
        environment_state=recording.environment,
    )
    model, rename = for_robot(model, robot, rename)
    if isinstance(model, RemoteModel):
        model.introduce(robot, rename)
    return model, fit(model.interface, model.evidence, robot, rename)


@dataclass(slots=True)
class Asker:
    """One model before one recording. `steps` of each chunk are compared, at the model's own rate.

    `to_model` and `from_model` translate joints between the recording's units and the model's.
    """

    model: Model
    fit: Fit
    recording: Recording
    rows: Mapping[int, Rows]
    pictures: Pictures | None
    task: str
    steps: int
    translate_in: Callable[[Array], Array] | None = None
    translate_out: Callable[[Array], Array] | None = None
    _noise: npt.NDArray[np.float32] | None = None
    times_ms: list[tuple[float, float, float, float]] = field(default_factory=list)

    def moment(self, place: Place) -> Values:
        """What was observed there, under the recording's keys."""
        rows = self.rows[place.episode]
        found: Values = {
            key: rows.vectors[key][place.row].astype(np.float32)
            for key in (STATE, ENVIRONMENT)
            if key in rows.vectors and key in self.fit.inputs.values()
        }
        cameras = [key for key in self.fit.inputs.values() if key.startswith(IMAGES)]
        if cameras and self.pictures is not None:
            found.update(self.pictures.at(rows, place.row, cameras))
        return found

    def instruction(self, place: Place) -> str:
        """What the policy is told there: the task that was given, else the recording's own."""
        return self.task or self.rows[place.episode].tasks[place.row]

    def say(self, values: Values, task: str) -> Array:
        """The first `steps` actions in the recording's units [K, A]."""
        shown = self._shown(values)
        _same_noise()
        began = time.monotonic_ns()
        chunk = self.model.predict(shown, task, noise=self._noise)
        took = self.model.timings
        self.times_ms.append(
            (
                (time.monotonic_ns() - began) / 1e6,
                took.preprocess_ns / 1e6,
                took.infer_ns / 1e6,
                took.post_ns / 1e6,
            )
        )
        return self._heard(chunk)

    @property
    def together(self) -> int:
        """How many moments are asked at once where the time of each does not matter."""
        return _TOGETHER if answers_many(self.model) else 1

    def say_all(self, moments: Sequence[Values], tasks: Sequence[str]) -> list[Array]:
        """What `say` says of each; faster where the model answers several at once."""
        if self.together == 1:
            return [self.say(*each) for each in zip(moments, tasks, strict=True)]
        said: list[Array] = []
        for at in range(0, len(moments), _TOGETHER):
            shown = [self._shown(values) for values in moments[at : at + _TOGETHER]]
            said += [self._heard(chunk) for chunk in predict_many(self.model, shown, tasks[at])]
        return said

    def _shown(self, values: Values) -> Values:
        """A moment under the model's own keys and in its units."""
        shown = {key: values[source] for key, source in self.fit.inputs.items()}
        if self.translate_in is not None and STATE in values:
            for key, source in self.fit.inputs.items():
                if source == STATE:
                    moved = self.translate_in(values[STATE].astype(np.float64))
                    shown[key] = moved.astype(np.float32)
        return shown

    def _heard(self, chunk: Array) -> Array:
        """The first `steps` of a chunk, in the recording's units."""
        if not np.isfinite(chunk).all():
            raise CheckpointError(
                f"{self.model.interface.name} said numbers that are none (NaN or infinite).",
                "Training diverged, or its statistics are damaged.",
                "Check it: robotd ckpt verify; choose an earlier step of the training run.",
            )
        said = chunk[: self.steps]
        return said if self.translate_out is None else self.translate_out(said)

    def warm_up(self, place: Place) -> None:
        """Ask twice: the first pays for lazy initialisation, and shows what noise it would draw."""
        values, task = self.moment(place), self.instruction(place)
        self.say(values, task)
        if self.model.raw is not None and self._draws_noise:
            shape = self.model.raw.actions.shape
            self._noise = np.random.default_rng(_SEED).standard_normal(shape).astype(np.float32)
        self.say(values, task)
        self.times_ms.clear()

    @property
    def embodiment(self) -> str:
        """The convention of a Pi0; empty where the model speaks the robot's own."""
        return self.model.chosen.name if isinstance(self.model, EmbodiedModel) else ""

    @property
    def device(self) -> str:
        """Where the model computes, in torch's words; another machine's is not known here."""
        inner = self.model.inner if isinstance(self.model, EmbodiedModel) else self.model
        if isinstance(inner, RemoteModel):
            return "the machine that serves it"
        holder = getattr(inner, "sampler", inner)
        return str(getattr(holder, "device", "this machine"))

    @property
    def _draws_noise(self) -> bool:
        return self.model.kind in ("pi0", "pi05", "smolvla")

    def samples(self, places: Sequence[Place], said: Sequence[Array], ratio: float) -> Samples:
        """What was said beside what was done; `ratio`: recorded rows a step of the model takes."""
        done = [
            done_after(self.rows[p.episode].vectors[ACTION], p.row, self.steps, ratio)
            for p in places
        ]
        same = self.recording.state_joints == self.recording.joints
        state = None
        if same and all(STATE in self.rows[p.episode].vectors for p in places):
            state = np.array([self.rows[p.episode].vectors[STATE][p.row] for p in places])
        return Samples(
            joints=self.recording.joints,
            said=np.array(said),
            done=np.array(done),
            state=state,
            episode=np.array([p.episode for p in places]),
            row=np.array([p.row for p in places]),
        )

    @property
    def ratio(self) -> float:
        """Recorded rows that one step of the model takes."""
        return self.recording.fps / self.model.evidence.fps


def _same_noise() -> None:
    """For models that draw noise from torch's own generator."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(_SEED)
