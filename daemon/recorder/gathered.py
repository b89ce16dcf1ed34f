"""Files of single episodes that have gathered in a dataset: counted, and joining them offered.

Every episode is saved in files of its own. LeRobot opens each of them: with an empty cache a dataset
of 500 such episodes took it 7.0 s, after `robotd dataset compact` 0.4 s (`robotd bench scale`). It
is offered in a sentence, and done when somebody says so: it takes disk and processor for a while.
"""

from math import ceil
from pathlib import Path
from typing import NamedTuple

from daemon.recorder.info import load_info
from daemon.recorder.transaction import COMMITS, last_commit

OFFERED_FROM = 100
"""Files of one kind that could be fewer: below, opening takes LeRobot a second or two longer."""

_MIB = 1 << 20
_DATA_MIB, _VIDEO_MIB = 100, 200  # LeRobot's, where info.json does not say


class Gathered(NamedTuple):
    """How many files could be fewer in the dataset `name` under `root`."""

    root: Path
    name: str
    files: int


def gathered(root: Path) -> int:
    """By how many files the dataset would have less if they were joined to LeRobot's sizes: of the
    kind (rows, one camera's pictures) of which there are most. 0 where there is no dataset.

    Reads names and sizes only. Raises DatasetError for an info.json that cannot be read.
    """
    info = load_info(root)
    if info is None:
        return 0
    kinds = [("data", float(info.get("data_files_size_in_mb") or _DATA_MIB))]
    size_mib = float(info.get("video_files_size_in_mb") or _VIDEO_MIB)
    kinds += [(f"videos/{path.name}", size_mib) for path in (root / "videos").glob("*")]
    return max(_joinable(root / folder, limit * _MIB) for folder, limit in kinds)


def offer(name: str, files: int) -> str:
    """The sentence about a dataset called `name` in which so many files could go; "" for few."""
    if files < OFFERED_FROM:
        return ""
    return (
        f"{files} files of single episodes have gathered in {name}: LeRobot opens it quicker after "
        f"robotd dataset compact {name} (nothing is encoded again; recording may go on)."
    )


class Offer:
    """What is offered of the dataset that was saved into last, until it is changed otherwise."""

    def __init__(self) -> None:
        self._found: Gathered | None = None
        self._seen_bytes = 0

    def saved(self, found: Gathered) -> None:
        """An episode was saved."""
        self._found = found if found.files >= OFFERED_FROM else None
        self._seen_bytes = _size(found.root / COMMITS)

    def sentence(self) -> str:
        """What is to be said now, or "". Looks at the size of one file."""
        found = self._found
        if found is None:
            return ""
        size = _size(found.root / COMMITS)
        if size != self._seen_bytes:
            self._seen_bytes = size
            last = last_commit(found.root) if size else None
            if last is None or not last.is_beside:  # compacted, or an episode was taken out
                self._found = None
                return ""
        return offer(found.name, found.files)


def _joinable(folder: Path, limit_bytes: float) -> int:
    """Files that are smaller than half a full one, less those that they would make."""
    sizes = [path.stat().st_size for path in folder.glob("*/file-*")]
    small = [size for size in sizes if size < limit_bytes / 2]
    return max(0, len(small) - ceil(sum(small) / limit_bytes))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # the disk went away, or the dataset was moved
        return 0
