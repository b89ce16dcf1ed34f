"""What the crash bench records: rows that can be computed again and pictures that say which they are.

A number stands for one row of one episode: its values, its task and, painted as twelve black or white
squares that no encoder blurs away, its pictures. So a row that is lost, doubled, shifted or another
episode's is seen, by whoever reads it back.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daemon.recorder.schema import CameraSpec, EpisodeSpec, Evidence, Row, joint_feature_names

FPS = 15
EPISODE_NUMBERS = 64
"""Each episode has that many numbers of its own; it may be shorter."""

EPISODES = 64
"""After that many episodes the numbers begin again: 12 bits are painted."""

_SQUARE, _COLUMNS, _ROWS = 16, 4, 3
_WIDTH, _HEIGHT = _SQUARE * _COLUMNS, _SQUARE * _ROWS
_HIGHEST = EPISODE_NUMBERS * EPISODES - 1
_TASKS = ("put the block into the bowl", "push the block aside", "touch the bowl")
_ROW_NS = 10**9 // FPS


def spec_of(root: Path) -> EpisodeSpec:
    """A one-armed robot with two very small cameras."""
    return EpisodeSpec(
        dataset_root=str(root),
        repo_id="local/crash",
        fps=FPS,
        robot_type="so_follower",
        task=_TASKS[0],
        state_names=joint_feature_names(),
        action_names=joint_feature_names(),
        cameras=(CameraSpec("overhead", _WIDTH, _HEIGHT), CameraSpec("wrist", _WIDTH, _HEIGHT)),
    )


def first_number(episode: int) -> int:
    """The number of the first row of the world's `episode`-th episode."""
    return episode % EPISODES * EPISODE_NUMBERS


def task_of(number: int) -> str:
    """The task of the episode to which row `number` belongs."""
    return _TASKS[number // EPISODE_NUMBERS % len(_TASKS)]


def state_of(number: int) -> npt.NDArray[np.float32]:
    """`observation.state` of row `number`, float32 [6], degrees."""
    joints = np.arange(6, dtype=np.float32)
    return joints + np.float32(np.sin(number / 9) * 30 + number / 8)


def action_of(number: int) -> npt.NDArray[np.float32]:
    """`action` of row `number`, float32 [6], degrees."""
    joints = np.arange(6, dtype=np.float32)
    return joints + np.float32(np.cos(number / 9) * 30 - number / 8)


def row_of(number: int) -> Row:
    """Row `number`, with evidence that carries the number as its tick."""
    goals = np.radians(action_of(number).astype(np.float64))
    evidence = Evidence(
        tick_index=number,
        deadline_ns=number * _ROW_NS,
        requested_rad=goals,
        applied_rad=goals,
        capture_ns={"overhead": number * _ROW_NS, "wrist": number * _ROW_NS},
        repeated={"overhead": False, "wrist": False},
        source="scripted",
    )
    return Row(state_of(number), action_of(number), task_of(number), evidence)


def frames_of(number: int) -> dict[str, npt.NDArray[np.uint8]]:
    """The pictures of row `number`, uint8 [48, 64, 3]; the wrist's are the other's negative."""
    return {"overhead": _painted(number), "wrist": _painted(_HIGHEST - number)}


def number_in(camera: str, image: npt.NDArray[Any]) -> int:
    """The row's number, read from a picture [H, W, 3] with values in 0..1."""
    number = 0
    for bit in range(_COLUMNS * _ROWS):
        top, left = _SQUARE * (bit // _COLUMNS) + 4, _SQUARE * (bit % _COLUMNS) + 4
        number |= int(image[top : top + 8, left : left + 8].mean() > 0.5) << bit
    return number if camera == "overhead" else _HIGHEST - number


def _painted(number: int) -> npt.NDArray[np.uint8]:
    bits = (number >> np.arange(_COLUMNS * _ROWS) & 1).reshape(_ROWS, _COLUMNS)
    squares = np.kron(bits.astype(np.uint8) * 255, np.ones((_SQUARE, _SQUARE), np.uint8))
    return np.repeat(squares[:, :, None], 3, axis=2)
