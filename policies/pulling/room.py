"""Whether what is to be fetched has room, and whether it stays: judged before the first byte."""

import shutil
from pathlib import Path

from robotd import paths
from robotd.errors import CheckpointError

_KEPT_FREE_BYTES = 1 << 30
"""Left for everything else that the machine writes meanwhile."""
_FLEETING = {
    "overlay": "the container's own disk: gone with the container",
    "overlayfs": "the container's own disk: gone with the container",
    "tmpfs": "memory: gone at the next start, and its size is taken from what a policy needs",
    "ramfs": "memory: gone at the next start, and its size is taken from what a policy needs",
}


def gigabytes(count: float) -> str:
    """A size as people say it."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def check_room(folder: Path, missing_bytes: int, free_bytes: int | None = None) -> None:
    """Raise CheckpointError when `missing_bytes` more do not fit on the disk of `folder`."""
    free = shutil.disk_usage(_existing(folder)).free if free_bytes is None else free_bytes
    # A few megabytes are fetched onto the fullest of disks: it is the large ones that fill it.
    needed = missing_bytes + min(_KEPT_FREE_BYTES, missing_bytes)
    if needed > free:
        raise CheckpointError(
            f"{gigabytes(missing_bytes)} are missing, and {folder} has {gigabytes(free)} free.",
            "The disk is nearly full, or the cache lies on a small partition.",
            "Make room (robotd ckpt list, robotd ckpt rm NAME), or put the cache on another disk: "
            "XDG_CACHE_HOME=/big/disk robotd ckpt pull …",
        )


def fleeting(folder: Path, filesystem: str | None = None) -> str:
    """Why what is kept there will not stay; empty when it will."""
    kind = paths.filesystem_of(_existing(folder)) if filesystem is None else filesystem
    return _FLEETING.get(kind, "")


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())
