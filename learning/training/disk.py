"""Room for a run's checkpoints, before the first of them is written. Pure but for two look-ups.

A checkpoint is its weights and the optimiser's memory (Adam keeps two values for each that it
trains): some 12 bytes a trained parameter in float32. That is 0.6 GB for an image ACT and tens of
GB for Pi0, and a run that dies of a full disk after a night dies in the middle of a checkpoint.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from robotd.errors import DiskFullError

_GB = 1e9
_RESERVE = 1.1  # the trainer writes beside the old checkpoint, and logs
_LAYERED = ("overlay", "aufs", "fuse-overlayfs")
_IN_MEMORY = ("tmpfs", "ramfs")
_LARGER = "Give --output on a larger disk"
_LARGER_IF_RESUMED = (
    "Move the run's folder to a larger disk and name it there (--output), delete checkpoints of it "
    "that are not needed (not the last one)"
)


@dataclass(frozen=True, slots=True)
class Room:
    """The file system that a run's folder lies in."""

    free_bytes: int
    kind: str
    mount: str


def room_at(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> Room:
    """What there is at `folder`, which need not exist yet."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    found = os.statvfs(there)
    kind, mount = _mount(there.resolve(), mounts)
    return Room(found.f_bavail * found.f_frsize, kind, mount)


def _mount(folder: Path, mounts: Path) -> tuple[str, str]:
    """Kind and mount point of the file system that holds `folder`; empty where nobody says."""
    best = ("", "")
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return best
    for line in lines:
        _, where, kind, *_ = line.split(" ")
        where = where.replace("\\040", " ")
        if folder.is_relative_to(where) and len(where) >= len(best[1]):
            best = (kind, where)
    return best


def checkpoint_bytes(folder: Path) -> int:
    """What one saved checkpoint takes: the folder with its `pretrained_model` and its training state."""
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def needed_bytes(each: int, count: int) -> int:
    """What `count` checkpoints of `each` bytes need."""
    return int(each * count * _RESERVE)


def check_room(
    room: Room, each: int | None, count: int, output: Path, *, resumed: bool = False
) -> tuple[str, ...]:
    """What a person should know of the disk before a run that writes `count` checkpoints.

    `each` None: a checkpoint's size is known from the first one on. `resumed`: earlier ones of the
    run lie there already. Raises DiskFullError where they do not fit.
    """
    more = " more" if resumed else ""
    said = []
    if room.kind in _LAYERED:
        said.append(
            f"{output} lies in a container's own layer ({room.kind}): it is gone with the container, "
            "and its limit may be below the free space that is shown. Mount a volume and give "
            "--output there"
        )
    if room.kind in _IN_MEMORY:
        said.append(f"{output} lies in memory ({room.kind}): it is gone after a restart")
    if each is None:
        said.append(
            f"{room.free_bytes / _GB:.0f} GB free for {count}{more} checkpoints; their size is known from "
            "the first one on"
        )
        return tuple(said)
    needed = needed_bytes(each, count)
    if needed > room.free_bytes:
        fits = int(room.free_bytes / (each * _RESERVE))
        raise DiskFullError(
            f"{count}{more} checkpoints of {each / _GB:.2f} GB need {needed / _GB:.1f} GB, and "
            f"{output} has {room.free_bytes / _GB:.1f} GB.",
            "Each keeps the weights and the optimiser's memory, so that it can be gone on with.",
            f"{_LARGER_IF_RESUMED if resumed else _LARGER}, or save less often (--save-every); "
            f"{fits} fit.",
        )
    said.append(
        f"{count}{more} checkpoints of {each / _GB:.2f} GB need {needed / _GB:.1f} of "
        f"{room.free_bytes / _GB:.0f} GB"
    )
    return tuple(said)
