"""A recorded episode with the policy's whiskers: what it would do at each moment, beside what was done there.

Open loop: nothing that the policy says changes what it sees next. The observations are the dataset's own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from config.schema import Camera, Config
from learning.whiskers.answers import Answers, words_of
from learning.whiskers.lockstep import Followed
from learning.whiskers.numbers import ChunkNumbers
from learning.whiskers.sheaf import Sheaf
from learning.whiskers.watched import WatchedPolicy
from policies.border import ACTION, ENVIRONMENT, IMAGES, STATE
from policies.observation import Observation
from policies.plan import Chunk
from policies.recorded_pictures import Pictures
from policies.recording import Recording, Rows
from robotd.clock import NS_PER_S
from robotd.errors import DatasetError
from robotd.states import State
from robotd.trajectory import Trajectory
from sim.twin.apply import TwinBody, placements
from sim.twin.roll import roll, swept_m
from sim.view.compose import CameraPicture, Caption
from sim.view.seen import Seen, packed

_SUBSTEPS = 4  # between two rows of 30 a second: the ticks of control
_BEGAN_NS = NS_PER_S


def config_of(config: Config, recording: Recording) -> Config:
    """The robot as the dataset was recorded on it: its cameras and their sizes, its rate."""
    cameras = {
        key.removeprefix(IMAGES): Camera(device="plant", width=width, height=height)
        for key, (height, width) in recording.cameras.items()
    }
    told = msgspec.structs.replace(config.recording, environment_state=recording.environment)
    return msgspec.structs.replace(config, cameras=cameras, recording=told)


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode of a dataset. `pictures` None: the policy looks at none."""

    recording: Recording
    number: int
    rows: Rows
    pictures: Pictures | None

    def observation(self, row: int, at_ns: int, cameras: Sequence[str]) -> Observation:
        """What was observed in that row."""
        values: dict[str, npt.NDArray[Any]] = {
            key: self.rows.vectors[key][row].astype(np.float32)
            for key in (STATE, ENVIRONMENT)
            if key in self.rows.vectors
        }
        values.update(self.seen(row, cameras))
        return Observation(at_ns, 1, at_ns, values)

    def seen(self, row: int, cameras: Sequence[str]) -> Mapping[str, npt.NDArray[np.uint8]]:
        """The pictures of that row by key."""
        if self.pictures is None or not cameras:
            return {}
        keys = [IMAGES + name for name in cameras]
        return self.pictures.at(self.rows, row, keys)


def open_episode(recording: Recording, number: int, policy: WatchedPolicy) -> Episode:
    """One episode for this policy. Raises DatasetError when it is not there, or in other units."""
    count = len(recording.episode_tasks)
    if not 0 <= number < count:
        raise DatasetError(
            f"{recording.root} has no episode {number}.",
            f"It has {count}, counted from 0.",
            f"Choose one of 0 to {count - 1}: --episode 0.",
        )
    units = policy.model.evidence.units
    if recording.units and recording.units != units:
        raise DatasetError(
            f"{recording.root} is in {recording.units}, the policy speaks {units}.",
            "They are of different recordings.",
            "Convert the dataset (robotd dataset convert), or say the policy's --units.",
        )
    rows = recording.rows([number])[number]
    if STATE not in rows.vectors:
        raise DatasetError(
            f"{recording.root} has no {STATE}: where the arm was is not known.",
            "It was recorded without the joints.",
            "Choose a dataset of an arm.",
        )
    pictures = Pictures(recording) if policy.fit.cameras else None
    return Episode(recording, number, rows, pictures)


def walk(
    policy: WatchedPolicy, config: Config, episode: Episode, on_moment: Callable[[Seen], None]
) -> list[ChunkNumbers]:
    """Go through the episode; the policy is asked as often as it would be when it runs.

    Draws every row. Raises CheckpointError for a policy that cannot answer.
    """
    body = TwinBody(placements(config))
    row_ns = round(NS_PER_S / episode.recording.fps) // _SUBSTEPS * _SUBSTEPS
    measured = policy.border.actions_rad(episode.rows.vectors[STATE])
    goals = policy.border.actions_rad(episode.rows.vectors[ACTION])
    tips = swept_m(body, measured)
    stride = max(1, round(policy.settings.n_action_steps * policy.step_ns / row_ns))
    sheaf, chunks = Sheaf(), list[ChunkNumbers]()
    followed: list[Followed] = []
    before: Chunk | None = None
    policy.reset()
    for row in range(len(episode.rows)):
        at_ns = _BEGAN_NS + row * row_ns
        if row % stride == 0:
            policy.predict(episode.observation(row, at_ns, policy.fit.cameras))
            said = policy.ear.newest
            chunk = Chunk(row, 0, at_ns, policy.step_ns, said.chunk)
            path = Trajectory(at_ns, policy.step_ns, tuple(map(tuple, said.chunk.tolist())))
            state = body.start(goals[max(0, row - 1)], measured[row])
            rolled = roll(body, path, state, at_ns, path.end_ns, row_ns // _SUBSTEPS)
            answers = Answers(body, said)
            sheaf.say(answers.drawn(rolled.tips_m))
            chunks.append(
                answers.numbers(chunk, before, tips[:, row], (at_ns - _BEGAN_NS) / NS_PER_S)
            )
            followed.append(Followed(rolled, row_ns // _SUBSTEPS))
            before = chunk
        followed[-1].see(at_ns, tips[:, row])
        sheaf.go(tips[:, row])
        on_moment(_moment(policy, episode, row, measured[row], sheaf, words_of(chunks[-1])))
    return [
        replace(each, plan_rmse_m=real.rmse_m) for each, real in zip(chunks, followed, strict=True)
    ]


def _moment(
    policy: WatchedPolicy,
    episode: Episode,
    row: int,
    position_rad: npt.NDArray[np.float64],
    sheaf: Sheaf,
    words: str,
) -> Seen:
    seen = episode.seen(row, policy.fit.cameras)
    caption = Caption(
        robot=f"{policy.model.kind}, episode {episode.number} row {row}",
        simulated=True,
        state=State.REPLAY,
        detail=episode.rows.tasks[row],
        note=words,
        kind="RECORDING",
    )
    cameras = tuple(
        packed(CameraPicture(key.removeprefix(IMAGES), rgb, 0.0)) for key, rgb in seen.items()
    )
    return Seen(tuple(position_rad.tolist()), None, sheaf.lines(), cameras, caption)
