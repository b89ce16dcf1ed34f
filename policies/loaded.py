"""A checkpoint fitted to this robot and ready to play: where serving and lock-step both start."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from config.schema import Config
from drivers.calibration import Calibration
from policies.border import IMAGES, Border, RobotFeatures, robot_features
from policies.executor import Executor, ExecutorSettings
from policies.fit import Fit, fit
from policies.model import Model, ModelOptions, load_model
from policies.observation import Observation
from policies.plan import parse_ensemble
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.errors import CheckpointError
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

    @property
    def step_ns(self) -> int:
        """The policy's own time step."""
        return round(NS_PER_S / self.model.evidence.fps)

    def reset(self) -> None:
        """A new episode: empty queues, processors without memory."""
        self.model.reset()

    def predict(self, observation: Observation) -> npt.NDArray[np.float64]:
        """One chunk [T, joints] in radians."""
        return _predict(self.model, self.fit, self.border, observation.values, self.task)

    def executor(self) -> Executor:
        """A fresh executor that plays this policy as it was asked for."""
        return Executor(self.settings)


def load_policy(
    request: Load, config: Config, calibrations: Mapping[str, Calibration], *, threads: int = 1
) -> LoadedPolicy:
    """Load, fit and warm up a checkpoint. Moves nothing, needs no network. See `load_checkpoint`.

    Raises CheckpointError for a checkpoint that is damaged, does not say its rate or units, does
    not fit the robot, or gives something that is no action.
    """
    ensemble = parse_ensemble(request.ensemble)
    robot = robot_features(config)
    model = load_model(
        Path(request.path),
        ModelOptions(
            fps=request.fps, units=request.units, device=config.policy.device, threads=threads
        ),
    )
    fitted = fit(model.interface, model.evidence, robot, request.rename)
    border = Border(config, calibrations, model.evidence.units)
    inference_ns = _warm_up(model, fitted, border, robot, request.task)
    row_ns = NS_PER_S * row_stride(config) // config.control.tick_hz
    steps = request.n_action_steps
    if steps is None:
        # Ensembling lives from many overlapping chunks: as often as the machine can.
        own = min(config.policy.n_action_steps, model.n_action_steps)
        steps = 1 if ensemble else own
    settings = ExecutorSettings(
        source=Source.POLICY,
        joints=len(robot.joints),
        n_action_steps=max(1, min(steps, model.chunk)),
        row_ns=row_ns,
        first_delay_ns=inference_ns
        + int(config.twin.verdict_budget_ms * NS_PER_MS)
        + (PICTURE_WAIT_NS if fitted.cameras else 0),
        crossfade_ns=int(config.policy.crossfade_ms * NS_PER_MS),
        ensemble=ensemble,
        late_passes=config.twin.late_rule == "pass",
    )
    return LoadedPolicy(model, fitted, border, robot, settings, request.task, inference_ns)


def _predict(
    model: Model,
    fitted: Fit,
    border: Border,
    values: Mapping[str, npt.NDArray[Any]],
    task: str,
) -> npt.NDArray[np.float64]:
    named = {key: values[source] for key, source in fitted.inputs.items()}
    actions = model.predict(named, task)
    if not np.isfinite(actions).all():
        return actions  # no unit can be given to it; the executor refuses it by name
    return border.actions_rad(actions)


def _warm_up(model: Model, fitted: Fit, border: Border, robot: RobotFeatures, task: str) -> int:
    """Predict from an average observation; returns the time of a warm chunk in nanoseconds.

    The first prediction pays for lazy initialisation, so the second one is timed.
    """
    values: dict[str, npt.NDArray[Any]] = {}
    for key, source in fitted.inputs.items():
        shape = robot.shape(source)
        if source.startswith(IMAGES):
            values[source] = np.full((shape[1], shape[2], 3), 127, np.uint8)
        else:
            mean = model.means.get(key, np.zeros(shape))
            values[source] = np.asarray(mean, np.float32).reshape(shape)
    actions = _predict(model, fitted, border, values, task)
    began_ns = time.monotonic_ns()
    _predict(model, fitted, border, values, task)
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
