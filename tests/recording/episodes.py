"""Episodes for the recorder's tests, in which every frame says which it is.

A row's number is painted into its pictures as 12 black or white squares, which no encoder blurs
away, so that a shifted, lost or doubled frame is seen.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from daemon.recorder.journal import EpisodeJournal
from daemon.recorder.schema import (
    CameraSpec,
    EpisodeSpec,
    Evidence,
    Row,
    Stamp,
    joint_feature_names,
)

FPS = 15
HEIGHT, WIDTH = 96, 128
_BITS, _SQUARE = 12, 32
STARTED = Stamp(boot_id="boot", wall_ns=1_700_000_000_000_000_000, monotonic_ns=5)


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> npt.NDArray[np.uint8]:
    """A picture uint8 [H, W, 3] that carries `number` (0..4095)."""
    image = np.full((height, width, 3), 90, np.uint8)
    for bit in range(_BITS):
        top, left = _SQUARE * (bit // 4), _SQUARE * (bit % 4)
        image[top : top + _SQUARE, left : left + _SQUARE] = 255 if number >> bit & 1 else 0
    return image


def number_in(image: npt.NDArray[Any]) -> int:
    """The number painted into a picture [H, W, 3], 0..255 or 0..1."""
    bright = 0.5 if image.dtype.kind == "f" else 128
    number = 0
    for bit in range(_BITS):
        top, left = _SQUARE * (bit // 4) + 8, _SQUARE * (bit % 4) + 8
        number |= int(image[top : top + 16, left : left + 16].mean() > bright) << bit
    return number


def make_spec(root: Path, **changes: Any) -> EpisodeSpec:
    """A one-armed robot with two small cameras."""
    values: dict[str, Any] = {
        "dataset_root": str(root),
        "repo_id": "me/pick",
        "fps": FPS,
        "robot_type": "so_follower",
        "task": "put the block into the bowl",
        "state_names": joint_feature_names(),
        "action_names": joint_feature_names(),
        "cameras": (CameraSpec("overhead", WIDTH, HEIGHT), CameraSpec("wrist", WIDTH, HEIGHT)),
    }
    return EpisodeSpec(**(values | changes))


def make_row(spec: EpisodeSpec, number: int, task: str | None = None) -> Row:
    """Row `number`: values that a test can recompute, different in every joint."""
    joints = np.arange(len(spec.state_names), dtype=np.float32)
    evidence = Evidence(
        tick_index=number * 8,
        deadline_ns=number * 66_666_667,
        requested_rad=np.full(len(joints), number * 0.01),
        applied_rad=np.full(len(joints), number * 0.009),
        capture_ns={camera.name: number * 66_000_000 for camera in spec.cameras},
        repeated={camera.name: False for camera in spec.cameras},
        limited_by=number % 3,
        source="scripted",
    )
    environment = np.arange(len(spec.environment_names), dtype=np.float32) + number
    return Row(
        state=joints + np.float32(np.sin(number / 9) * 30),
        action=joints + np.float32(np.cos(number / 9) * 30),
        task=task or spec.task,
        evidence=evidence,
        environment_state=environment if spec.environment_names else None,
    )


def make_frames(spec: EpisodeSpec, number: int) -> dict[str, npt.NDArray[np.uint8]]:
    """The frames of row `number`; the second camera's carry 4095 - number."""
    return {
        camera.name: picture(4095 - number if place else number, camera.height, camera.width)
        for place, camera in enumerate(spec.cameras)
    }


def write_episode(
    folder: Path, spec: EpisodeSpec, rows: int, first: int = 0, kept: bool = True
) -> Path:
    """A closed journal of `rows` rows, numbered from `first`."""
    journal = EpisodeJournal.create(folder, spec, started=STARTED)
    for number in range(first, first + rows):
        journal.append(make_row(spec, number), make_frames(spec, number))
    journal.close(kept=kept)
    return folder


def check_frames(dataset: Any, numbers: list[int], spec: EpisodeSpec) -> None:
    """Every row and every frame of a LeRobot dataset is the one that was recorded."""
    assert len(dataset) == len(numbers)
    for index, number in enumerate(numbers):
        item = dataset[index]
        expected = make_row(spec, number)
        assert item["index"].item() == index
        np.testing.assert_array_equal(item["observation.state"].numpy(), expected.state)
        np.testing.assert_array_equal(item["action"].numpy(), expected.action)
        for place, camera in enumerate(spec.cameras):
            image = item[camera.key].numpy().transpose(1, 2, 0)
            assert number_in(image) == (4095 - number if place else number), (index, camera.name)
