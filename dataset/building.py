"""A new dataset folder that is there whole or not at all.

It is built under a hidden name beside its place, synced, and renamed at the end. What a kill leaves
is hidden, has no `meta/info.json` yet, and is removed by the next attempt.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.recorder.durable import disk_error, make_folder, sync_file, sync_folder
from daemon.recorder.transaction import remove_tree
from robotd.errors import DatasetError, DiskFullError

_SPARE_BYTES = 64 << 20  # a disk filled to the last byte troubles everybody else on it


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """A folder to build in, which becomes `target` when the block ends without an error.

    Raises DatasetError when `target` exists, or another program is building it.
    """
    check_absent(target)
    folder = target.with_name(f".{target.name}.building")
    try:
        make_folder(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise disk_error(error, folder) from error
    try:
        _claim(descriptor, folder)
        check_absent(target)  # another may have finished it since
        for left in folder.iterdir():  # by one that was killed
            remove_tree(left) if left.is_dir() else left.unlink()
        try:
            yield folder
            _sync(folder)
            check_absent(target)
            folder.rename(target)
            sync_folder(target.parent)
        except BaseException as error:
            remove_tree(folder)
            if isinstance(error, FileNotFoundError):
                raise DatasetError(
                    f"{error.filename} is missing.",
                    "The dataset was copied or downloaded in part, or moved away meanwhile.",
                    "`robotd dataset check` says what is whole.",
                ) from error
            if isinstance(error, OSError):
                raise disk_error(error, folder) from error
            raise
    finally:
        os.close(descriptor)


def check_absent(target: Path) -> None:
    """Raise DatasetError when something is at `target`: nothing is written over."""
    if target.exists() or target.is_symlink():
        raise DatasetError(
            f"{target} exists.",
            "A dataset is never written over another one.",
            "Choose another name, or move that folder away.",
        )


def check_room(
    target: Path, needed_bytes: int, *, linked: Path | None = None, linked_bytes: int = 0
) -> None:
    """Raise DiskFullError when the disk of `target` has no room for `needed_bytes` more, and, where
    the files of `linked` cannot be linked because they are on another, for `linked_bytes`."""
    there = target
    while not there.exists():
        there = there.parent
    if linked is not None and there.stat().st_dev != linked.stat().st_dev:
        needed_bytes += linked_bytes
    free_bytes = shutil.disk_usage(there).free
    if free_bytes < needed_bytes + _SPARE_BYTES:
        raise DiskFullError(
            f"{target} needs {needed_bytes / 1e6:.0f} MB; {free_bytes / 1e6:.0f} MB are free.",
            "The disk is nearly full.",
            "Free space (`df -h`), or choose a folder on another disk.",
        )


def linked_and_own_bytes(folder: Path) -> tuple[int, int]:
    """Bytes of the files under `folder` that are also elsewhere, and of those that are its own."""
    sizes = [path.stat() for path in folder.rglob("*") if path.is_file()]
    linked = sum(each.st_size for each in sizes if each.st_nlink > 1)
    return linked, sum(each.st_size for each in sizes) - linked


def _claim(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DatasetError(
            f"{folder} is being built by another program.",
            "The same command runs a second time.",
            "Wait for it, or choose another name.",
        ) from error


def _sync(folder: Path) -> None:
    folders = {folder}
    for path in folder.rglob("*"):
        if path.is_dir():
            folders.add(path)
        else:
            sync_file(path)
    for each in sorted(folders, reverse=True):
        sync_folder(each)
