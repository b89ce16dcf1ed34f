"""A checkpoint fitted to this robot and ready to play: where serving and lock-step both start."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from config.schema import Config
from drivers.calibration import Calibration
from policies.border import IMAGES, Border, RobotFeatures, robot_features
from policies.embodied import EmbodiedModel, for_robot
from policies.executor import Executor, ExecutorSettings
from policies.failing import loading_failed
from policies.fit import Fit, another_robots, fit
from policies.model import Model, ModelOptions, Timings, load_model
from policies.modes import choose
from policies.observation import Observation
from policies.playing import AS_TRAINED, Played, played
from policies.poses import PoseCount, PosesToJoints, pose_stage
from policies.remote import RemoteModel
from policies.rtc import Leftover, RawChunk
from policies.wrapped import PosedModel
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.errors import CheckpointError, RobotdError
from robotd.frames import PICTURE_WAIT_NS
from robotd.policy_channel import Load
from robotd.states import Source


def row_stride(config: Config) -> int:
    """Ticks from one observation to the next: a dataset row is made at every such tick."""
    return config.control.tick_hz // config.recording.fps


def frame_stale_ns(config: Config) -> int:
    """The age from which an input counts as frozen."""
    return int(config.recording.frame_stale_ms * NS_PER_MS)


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """The policy as a `policies.runner.Predictor`, with how it is to be played."""

    model: Model
    fit: Fit
    border: Border
    robot: RobotFeatures
    settings: ExecutorSettings
    task: str
    inference_ns: int  # of one warm chunk
    played: Played = AS_TRAINED
    poses: PosesToJoints | None = None

    @property
    def step_ns(self) -> int:
        """The policy's own time step, at the speed it is played."""
        return self.played.step_ns(self.model.evidence.fps)

    @property
    def folder(self) -> Path | None:
        """Where its files lie; None for a server elsewhere."""
        folder = Path(self.model.interface.name)
        return folder if folder.is_dir() else None

    @property
    def cameras(self) -> Mapping[str, str]:
        """The training's name of each camera it looks through, and this robot's."""
        if isinstance(self.model, EmbodiedModel):
            return self.model.cameras
        seen = {k: s for k, s in self.fit.inputs.items() if s.startswith(IMAGES)}
        return {key.removeprefix(IMAGES): own.removeprefix(IMAGES) for key, own in seen.items()}

    @property
    def embodiment(self) -> tuple[str, str]:
        """The convention it was trained in and where that is known from; empty: its own keys."""
        if isinstance(self.model, EmbodiedModel):
            return self.model.chosen.name, f"({self.model.chosen.source})"
        if isinstance(self.model, PosedModel):
            return self.model.name, "(asked for)"
        return "", ""

    @property
    def pose_count(self) -> PoseCount:
        """How well this episode's poses could be followed; all zero for a policy that says joints."""
        return PoseCount() if self.poses is None else self.poses.count

    def reset(self) -> None:
        """A new episode: empty queues, processors without memory."""
        self.model.reset()
        if self.poses is not None:
            self.poses.count = PoseCount()

    def reseed(self, seed: int) -> None:
        """See `policies.model.Model`."""
        self.model.reseed(seed)

    @property
    def raw(self) -> RawChunk | None:
        """The last chunk as the model said it."""
        return self.model.raw

    @property
    def timings(self) -> Timings:
        """The parts of the last `predict`."""
        return self.model.timings

    def predict(
        self, observation: Observation, leftover: Leftover | None = None
    ) -> npt.NDArray[np.float64]:
        """One chunk [T, joints] in radians, going on from `leftover` where the model can."""
        values = {key: observation.values[source] for key, source in self.fit.inputs.items()}
        if observation.past:
            moments = (*observation.past, observation.values)
            values = {
                key: np.stack([each[source] for each in moments])
                for key, source in self.fit.inputs.items()
            }
        return _predict(self.model, self.border, values, self.task, leftover, self.played)

    def close(self) -> None:
        """Hang up on a server; the memory of a checkpoint is given back by itself."""
        inner = getattr(self.model, "inner", self.model)
        if isinstance(inner, RemoteModel):
            inner.close()

    def executor(self) -> Executor:
        """A fresh executor that plays this policy as it was asked for."""
        return Executor(self.settings)


def load_policy(
    request: Load,
    config: Config,
    calibrations: Mapping[str, Calibration],
    *,
    threads: int = 1,
    poses: PosesToJoints | None = None,
    told: Callable[[str], None] = lambda _words: None,
) -> LoadedPolicy:
    """Load, fit and warm up a checkpoint. Moves nothing, needs no network. See `load_checkpoint`.

    `told` hears what takes long meanwhile (a compilation), in words.
    `poses` is the inverse kinematics for one that says poses of the fingers, where there is any.

    Raises CheckpointError for a checkpoint that is damaged, does not say its rate or units, does
    not fit the robot, or gives something that is no action.
    """
    robot = robot_features(config)
    asked = played(request, robot.joints)
    options = ModelOptions(
        fps=request.fps,
        units=request.units,
        device=config.policy.device,
        threads=threads,
        embodiment=request.embodiment or config.policy.embodiment,
        tokenizer=request.tokenizer or config.policy.tokenizer,
        dtype=config.policy.dtype,
        num_steps=config.policy.num_steps,
        compile=config.policy.compile,
        backend=request.backend or config.policy.backend,
        seed=config.policy.seed,
        told=told,
    )
    try:
        model = load_model(request.path, options)
    except CheckpointError as error:
        other = another_robots(request.path, robot)
        if other is None:
            raise
        raise other from error
    stage = None
    if poses is not None:
        stage = lambda units: pose_stage(poses, Border(config, calibrations, units))  # noqa: E731
    model, rename = for_robot(model, robot, request.rename, stage, request.embodiment)
    if isinstance(model, RemoteModel):
        model.introduce(robot, request.rename)
    fitted = fit(model.interface, model.evidence, robot, rename)
    border = Border(config, calibrations, model.evidence.units)
    try:
        inference_ns = _warm_up(model, fitted, border, robot, request.task)
    except RobotdError:
        raise
    except Exception as error:  # out of memory, a processor that does not fit: whatever it raises
        raise loading_failed(error) from error
    mode = choose(request.mode, request.ensemble, config.policy, guidable=model.raw is not None)
    row_ns = NS_PER_S * row_stride(config) // config.control.tick_hz
    steps = request.n_action_steps
    if steps is None:
        # Ensembling lives from many overlapping chunks: as often as the machine can.
        own = min(config.policy.n_action_steps, model.n_action_steps)
        steps = own if mode.ensemble is None else 1
    settings = ExecutorSettings(
        source=Source.POLICY,
        joints=len(robot.joints),
        n_action_steps=max(1, min(steps, model.chunk)),
        row_ns=row_ns,
        first_delay_ns=inference_ns
        + int(config.twin.verdict_budget_ms * NS_PER_MS)
        + (PICTURE_WAIT_NS if fitted.cameras else 0),
        crossfade_ns=int(config.policy.crossfade_ms * NS_PER_MS),
        mode=mode,
        late_passes=config.twin.late_rule == "pass",
    )
    return LoadedPolicy(
        model, fitted, border, robot, settings, request.task, inference_ns, asked, poses
    )


def _predict(
    model: Model,
    border: Border,
    values: Mapping[str, npt.NDArray[Any]],
    task: str,
    leftover: Leftover | None = None,
    asked: Played = AS_TRAINED,
) -> npt.NDArray[np.float64]:
    actions = model.predict(values, task, leftover=leftover)
    fits = actions.ndim == 2 and actions.shape[1] == border.joints
    if not fits or not np.isfinite(actions).all():
        return actions  # no unit can be given to it; the executor refuses it by name
    return border.actions_rad(asked.change(actions))


def _warm_up(model: Model, fitted: Fit, border: Border, robot: RobotFeatures, task: str) -> int:
    """Predict from an average observation; returns the time of a warm chunk in nanoseconds.

    The first prediction pays for lazy initialisation, so the second one is timed.
    """
    values: dict[str, npt.NDArray[Any]] = {}
    for key, source in fitted.inputs.items():
        shape = robot.shape(source)
        if source.startswith(IMAGES):
            values[key] = np.full((shape[1], shape[2], 3), 127, np.uint8)
        else:
            mean = model.means.get(key, np.zeros(shape))
            values[key] = np.asarray(mean, np.float32).reshape(shape)
    actions = _predict(model, border, values, task)
    began_ns = time.monotonic_ns()
    _predict(model, border, values, task)
    inference_ns = time.monotonic_ns() - began_ns
    wanted = (model.chunk, len(robot.joints))
    if actions.shape != wanted or not np.isfinite(actions).all():
        raise CheckpointError(
            f"{model.interface.name} gave a chunk of shape {actions.shape} with "
            f"{np.count_nonzero(~np.isfinite(actions))} values that are no numbers; "
            f"{wanted} finite ones were expected.",
            "Training diverged, or the statistics of its processors are wrong.",
            "Choose an earlier step of the training run.",
        )
    return inference_ns
