"""A dataset that changes, and what a repository that holds it may look like: the judge's side.

It knows nothing of how the uploader works: after each commit it walks the dataset's folders itself
and remembers every file's content. A repository is whole when it holds exactly what one of these
walks found.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from random import Random

import numpy as np

from bench.local_hub_store import Blob
from daemon.recorder.dataset import publish, remove_last
from daemon.recorder.journal import EpisodeJournal
from daemon.recorder.schema import (
    CameraSpec,
    EpisodeSpec,
    Evidence,
    Row,
    Stamp,
    joint_feature_names,
)

NAME = "me/block"
_FPS, _ROWS, _SIDE = 15, 6, 64
_MOST, _FEWEST = 5, 1
_FOLDERS = ("data", "videos", "meta", "robotd/episodes")
_STARTED = Stamp(boot_id="", wall_ns=1_700_000_000_000_000_000, monotonic_ns=0)

type Contents = dict[str, str]
"""A digest of each file's content by path."""


class World:
    """One dataset under `home`, with between one and five episodes."""

    def __init__(self, home: Path, seed: int) -> None:
        self.root = home / "home" / NAME
        self.walks: list[Contents] = []
        self.episodes = 0
        self._journals = home / "journals"
        self._journals.mkdir(parents=True)
        self._chance = Random(seed)
        self._made = 0

    def change(self) -> None:
        """Keep another episode, or take the last one out again."""
        grow = self._chance.random() < 0.6
        if self.episodes >= _MOST or (self.episodes > _FEWEST and not grow):
            remove_last(self.root)
            self.episodes -= 1
        else:
            publish(self._record())
            self.episodes += 1
        self.walks.append(self._walk())

    def whole(self, files: Mapping[str, Blob]) -> bool:
        """Whether a repository's files are the dataset as it was committed at some time."""
        return held(files) in self.walks

    def _record(self) -> Path:
        self._made += 1
        names = joint_feature_names()
        spec = EpisodeSpec(
            dataset_root=str(self.root),
            repo_id=NAME,
            fps=_FPS,
            robot_type="so_follower",
            task="put the block into the bowl",
            state_names=names,
            action_names=names,
            cameras=(CameraSpec("wrist", _SIDE, _SIDE),),
        )
        folder = self._journals / f"episode-{self._made:05d}"
        journal = EpisodeJournal.create(folder, spec, started=_STARTED)
        random = np.random.default_rng(self._made)
        for number in range(_ROWS):
            joints = random.normal(size=len(names)).astype(np.float32)
            zero = np.zeros(len(names))
            evidence = Evidence(number, number * 10**8, zero, zero, {"wrist": 0}, {"wrist": False})
            picture = random.integers(0, 255, (_SIDE, _SIDE, 3), dtype=np.uint8)
            journal.append(Row(joints, joints, spec.task, evidence), {"wrist": picture})
        journal.close(kept=True)
        return folder

    def _walk(self) -> Contents:
        paths = [path for folder in _FOLDERS for path in (self.root / folder).rglob("*")]
        paths.append(self.root / "robotd/commits.jsonl")
        return {
            path.relative_to(self.root).as_posix(): _digest(path.name, path.read_bytes())
            for path in paths
            if path.is_file() and path.parent.name != "before"
        }


def held(files: Mapping[str, Blob]) -> Contents:
    """What a repository holds of a dataset."""
    return {
        path: _digest(path.rpartition("/")[2], blob.data)
        for path, blob in files.items()
        if "/" in path
    }


def _digest(name: str, data: bytes) -> str:
    if name == "episode.json":  # goes up without the folder it was recorded into
        page = json.loads(data)
        page["spec"]["dataset_root"] = ""
        data = json.dumps(page, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()
