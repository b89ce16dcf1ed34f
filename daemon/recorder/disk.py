"""How much room recording needs, and what is removed to make it."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from daemon.recorder.transaction import remove_tree
from robotd.errors import DiskFullError

_MIB = 1 << 20

type FreeBytes = Callable[[Path], int]


class DiskLimits(msgspec.Struct, frozen=True):
    """Free space to keep. Two 640x480 cameras write about 0.6 MB/s.

    Below `refuse_below_bytes` no episode starts (a quarter of an hour is left); below
    `stop_below_bytes` beyond what publishing the running one will need, it is ended.
    """

    refuse_below_bytes: int = 512 * _MIB
    stop_below_bytes: int = 64 * _MIB


def free_bytes_of(folder: Path) -> int:
    """Free bytes on the disk that `folder` is, or will be, on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def make_room(
    journals: Path, spare: Iterable[Path], limits: DiskLimits, free_bytes: FreeBytes
) -> None:
    """Remove `spare` folders, in order, until an episode may start. Raises DiskFullError."""
    for folder in spare:
        if free_bytes(journals) >= limits.refuse_below_bytes:
            return
        remove_tree(folder)
    free = free_bytes(journals)
    if free < limits.refuse_below_bytes:
        raise DiskFullError(
            f"Only {free // _MIB} MiB are free; an episode needs "
            f"{limits.refuse_below_bytes // _MIB} MiB to start.",
            "Recordings, or something else on this disk, used up its space.",
            "Free space (`df -h`), move datasets away, or lower the limit in the profile.",
        )
