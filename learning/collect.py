"""Demonstrations without waiting: the scripted expert in lock-step, through robotd's own recorder.

Rows, journal and publication are the recorder's own code, so the dataset is what `robotd record --source scripted`
would have written in the simulation, only sooner. The same seeds give the same rows, so a dataset has each seed once.
Failed episodes are discarded, and said.
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from config.schema import Config
from daemon.recorder.catalog import read_episode_about
from daemon.recorder.info import load_info
from daemon.recorder.rows import Body, make_row
from daemon.recorder.schema import Label
from daemon.recorder.session import Session
from drivers.calibration import fingerprint
from drivers.joint_map import JointMap
from learning.episode import EpisodeResult, ExpertDriver, run_episode
from learning.pictures import Pictures
from learning.world import (
    LockStepWorld,
    Tick,
    demonstration_plant,
    lockstep_calibrations,
    lockstep_world,
)
from robotd.errors import DatasetError
from robotd.frames import Frame
from sim.expert import HOME_RAD
from sim.experts import expert_type
from sim.kinematics import ArmKinematics
from sim.model.camera_identity import view_identity
from sim.tasks.spec import TaskSpec

_SEED = re.compile(r"seed (\d+)")
DEFAULT_FIRST_SEED = 10_000
"""Demonstrations and evaluation never share a seed: evaluation counts from 0."""

Progress = Callable[[int, EpisodeResult], None]
"""Called after each episode with the number of episodes kept so far."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection came to. `seeds` are those of the kept episodes, in the dataset's order."""

    root: Path
    episodes: int
    rows: int
    seeds: tuple[int, ...]
    failed_seeds: tuple[int, ...]


def collect(
    config: Config,
    task: TaskSpec,
    root: Path,
    repo_id: str,
    episodes: int,
    first_seed: int | None = None,
    cameras: bool = False,
    progress: Progress | None = None,
) -> Collected:
    """Record `episodes` successful demonstrations into the new or matching dataset at `root`.

    `first_seed` None: after the highest seed that is in it. Seeds that are in it are left out.
    `config` comes from `lockstep_config`, with the same task. With `cameras` every configured camera is rendered for
    each row, some twenty times slower. Raises DatasetError when the expert fails too often or the dataset cannot take
    the rows.
    """
    robot = config if cameras else msgspec.structs.replace(config, cameras={})
    body = _body(robot)
    kinematics = ArmKinematics()
    journals = root.with_name(f"{root.name}.journals")
    session = Session(journals)
    kept: list[int] = []
    failed: list[int] = []
    rows = 0
    try:
        session.recover()
        there = collected_seeds(root)
        seed = max(there, default=DEFAULT_FIRST_SEED - 1) + 1 if first_seed is None else first_seed
        while len(kept) < episodes:
            if seed in there:
                seed += 1
                continue
            with lockstep_world(robot, seed, demonstration_plant(seed)) as world:
                seen = _seen(world)
                spec = body.episode_spec(str(root), repo_id, task.instruction, "", seen=seen)
                session.start(spec)
                recording = _Recording(body, session, task, Pictures.of(world) if cameras else None)
                try:
                    driver = ExpertDriver(kinematics, HOME_RAD, expert_type(task))
                    result = run_episode(world, task, driver, recording)
                finally:
                    recording.close()
            if result.success:
                rows += session.rows
                session.keep(Label(success=True, note=f"seed {seed}", source="plant"))
                _publish(session)
                kept.append(seed)
            else:
                session.discard(f"seed {seed}: {result.outcome}")
                failed.append(seed)
            if progress is not None:
                progress(len(kept), result)
            if len(failed) > max(5, episodes):
                raise DatasetError(
                    f"The expert failed {len(failed)} of {len(kept) + len(failed)} episodes.",
                    "The plant or the limits were changed in a way the expert cannot cope with.",
                    f"Look at one: robotd eval --source scripted --task {task.name} --episodes 5",
                )
            seed += 1
    finally:
        session.close()
    shutil.rmtree(journals)
    return Collected(root, len(kept), rows, tuple(kept), tuple(failed))


def collected_seeds(root: Path) -> frozenset[int]:
    """The seeds of the demonstrations that are in the dataset at `root`; none where there is none."""
    info = load_info(root)
    abouts = (read_episode_about(root, n) for n in range(info["total_episodes"] if info else 0))
    notes = (about.label.note or "" for about in abouts if about is not None)
    return frozenset(int(found.group(1)) for note in notes if (found := _SEED.fullmatch(note)))


def _seen(world: LockStepWorld) -> dict[str, dict[str, str]]:
    """What each configured camera of the world is."""
    return {
        name: view_identity(world.plant.model, camera.view or name)
        for name, camera in world.config.cameras.items()
    }


def _publish(session: Session) -> None:
    for published in session.publish_pending():
        if published.error is not None:
            raise published.error


def _body(config: Config) -> Body:
    calibrations = lockstep_calibrations(config)
    ids = [arm.id for arm in config.arms.values()]
    maps = tuple(JointMap(calibrations[arm_id]) for arm_id in ids)
    return Body(config, maps, "+".join(fingerprint(calibrations[arm_id]) for arm_id in ids))


class _Recording:
    """Turns a world's rows into the recorder's."""

    def __init__(
        self, body: Body, session: Session, task: TaskSpec, pictures: Pictures | None
    ) -> None:
        self._body = body
        self._session = session
        self._task = task
        self._pictures = pictures
        self._captured: dict[str, int] = {}

    def __call__(self, tick: Tick, environment: Mapping[str, Any]) -> None:
        frames: Mapping[str, Frame] = {}
        if self._pictures is not None:
            frames = self._pictures.take(int(tick["deadline_ns"]))
        told = self._body.config.recording.environment_state
        values: Sequence[float] | None = environment["values"] if told else None
        row, images = make_row(
            self._body, tick, self._task.instruction, frames, self._captured, values
        )
        self._captured = {name: frame.stamp_ns for name, frame in frames.items()}
        self._session.append(row, images)

    def close(self) -> None:
        if self._pictures is not None:
            self._pictures.close()
