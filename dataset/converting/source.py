"""What is known of a dataset that is to be converted, of format v3.0 or v2.1, without its rows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daemon.recorder.convention import Convention, convention_of, episode_pages
from daemon.recorder.durable import sha256_of
from daemon.recorder.info import INFO, STATS, VERSION, Features, Info
from daemon.recorder.tables import ACTION, STATE
from robotd.errors import DatasetError

OLD_VERSIONS = ("v2.1", "v2.0")
"""Formats with one data and one video file an episode and JSON lines under meta/."""

type Bounds = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset's facts. `calibrations` are the hashes that robotd noted beside its episodes.

    `is_noted`: robotd wrote down what its numbers mean, when it recorded or converted it; else
    `convention` is LeRobot's usual one, of unknown units. `bounds` is the least and greatest value
    [n] of state and action, where `stats.json` says them.
    """

    root: Path
    info: Info
    info_sha256: str
    version: str
    convention: Convention
    is_noted: bool
    calibrations: frozenset[str]
    bounds: Mapping[str, Bounds]

    @property
    def features(self) -> Features:
        features: Features = self.info["features"]
        return features

    @property
    def cameras(self) -> tuple[str, ...]:
        """The keys of its pictures, videos or images."""
        return tuple(
            key for key, each in self.features.items() if each["dtype"] in ("video", "image")
        )

    def check_unchanged(self) -> None:
        """Raise DatasetError when something was recorded into it, or changed, since it was read."""
        if sha256_of(self.root / INFO) != self.info_sha256:
            raise DatasetError(
                f"{self.root} changed while it was read.",
                "An episode was saved into it, or it was edited.",
                "Run the command again when nothing writes to it.",
            )


def read_source(root: Path) -> Source:
    """Read the facts of `root`. Raises DatasetError when it is no dataset of a known format."""
    path = root / INFO
    try:
        content = path.read_bytes()
        info = dict(json.loads(content))
        version = str(info["codebase_version"])
        _ = int(info["fps"]), info["features"].items(), int(info["total_episodes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} is not the info of a LeRobot dataset: {error!r}.",
            "The folder is something else, or was copied in part.",
            "`robotd dataset check` says what is wrong with it.",
        ) from error
    if version != VERSION and version not in OLD_VERSIONS:
        raise DatasetError(
            f"{root} is a LeRobot dataset of version {version}.",
            "It was made by a LeRobot older than 2.0, or newer than this robotd.",
            f"Versions {VERSION} and {', '.join(OLD_VERSIONS)} can be converted; others only by LeRobot.",
        )
    convention = convention_of(root)
    specs = [page.get("spec", {}) for page in episode_pages(root)]
    hashes = {str(spec.get("calibration_sha256", "")) for spec in specs} - {""}
    return Source(
        root=root,
        info=info,
        info_sha256=sha256_of(path),
        version=version,
        convention=convention or Convention(),
        is_noted=convention is not None,
        calibrations=frozenset(hashes),
        bounds=_bounds(root),
    )


def _bounds(root: Path) -> dict[str, Bounds]:
    path = root / STATS
    if not path.exists():
        return {}
    stats = json.loads(path.read_bytes())
    return {
        key: (np.asarray(stats[key]["min"], np.float64), np.asarray(stats[key]["max"], np.float64))
        for key in (ACTION, STATE)
        if "min" in stats.get(key, {}) and "max" in stats[key]
    }
