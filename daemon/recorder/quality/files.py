"""The quality gate's files in an episode's sidecar: its verdict, and its cameras' still backgrounds.

quality.json   the findings (`Verdict`)
views.npz      by camera, what stood still before it: `<camera>/median`, `<camera>/still`
"""

import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from daemon.recorder.quality import limits
from daemon.recorder.quality.finding import Verdict
from daemon.recorder.quality.scene import Scene
from daemon.recorder.transaction import SIDECAR

log = logging.getLogger(__name__)

QUALITY, VIEWS = "quality.json", "views.npz"
_EPISODES = f"{SIDECAR}/episodes"


def encode_verdict(verdict: Verdict) -> bytes:
    """`quality.json`."""
    return msgspec.json.format(msgspec.json.encode(verdict), indent=2)


def read_verdict(folder: Path) -> Verdict | None:
    """The verdict in an episode's sidecar folder; None where the gate never saw it."""
    try:
        return msgspec.json.decode((folder / QUALITY).read_bytes(), type=Verdict)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s cannot be read: %s", folder / QUALITY, error)
        return None


def write_views(path: Path, scenes: Mapping[str, Scene]) -> None:
    """Write the backgrounds of an episode's cameras, some 10 kB each."""
    arrays = {}
    for camera, scene in scenes.items():
        arrays[f"{camera}/median"] = scene.median
        arrays[f"{camera}/still"] = np.packbits(scene.still)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_views(path: Path) -> dict[str, Scene]:
    """The backgrounds that `write_views` wrote; none from a file that is damaged or not there."""
    scenes = {}
    try:
        with np.load(path) as arrays:
            for name in arrays.files:
                camera, part = name.rsplit("/", 1)
                if part != "median":
                    continue
                median = arrays[name]
                bits = np.unpackbits(arrays[f"{camera}/still"], count=median.size)
                scenes[camera] = Scene(median, bits.reshape(median.shape).astype(bool))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        log.warning("%s cannot be read: %s", path, error)
    return scenes


def last_views(root: Path, episodes: int) -> dict[str, Scene]:
    """By camera, the newest background among the last of the dataset's `episodes` episodes."""
    found: dict[str, Scene] = {}
    for index in range(episodes - 1, max(-1, episodes - 1 - limits.LOOK_BACK), -1):
        for camera, scene in read_views(root / _EPISODES / f"episode-{index:06d}" / VIEWS).items():
            found.setdefault(camera, scene)
    return found


def read_verdicts(root: Path, episodes: int) -> dict[int, Verdict]:
    """The verdicts of a dataset's episodes, by index, of those that the gate saw."""
    verdicts = {}
    for index in range(episodes):
        verdict = read_verdict(root / _EPISODES / f"episode-{index:06d}")
        if verdict is not None:
            verdicts[index] = verdict
    return verdicts
