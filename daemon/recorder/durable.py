"""Writing that is on the disk when it says so.

Three primitives that everything recorded goes through: a file that only grows and can be synced, an
atomic whole-file write, and a rename that survives power loss. `OSError` from the disk becomes one
of robotd's errors here, in one place.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from typing import Self

from robotd.errors import DatasetError, DiskFullError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNKNOWN_CALL = {errno.EINVAL, errno.ENOTSUP, errno.ENOTTY}
_HASH_BLOCK_BYTES = 1 << 20


def disk_error(error: OSError, path: Path) -> DatasetError:
    """The error for a person when writing `path` failed: DiskFullError, or DatasetError."""
    if error.errno in _FULL:
        return DiskFullError(
            f"The disk is full: {path} could not be written.",
            "Recordings, or something else on this disk, used up its space or quota.",
            "Free space (`df -h`), or set another dataset folder; what was flushed is kept.",
        )
    reason = error.strerror or str(error)
    return DatasetError(
        f"{path} could not be written: {reason}.",
        "The disk is read-only, was unplugged, or failed.",
        "Check it (`dmesg | tail`, `mount`), or set another dataset folder.",
    )


class AppendFile:
    """A new file that only grows, unbuffered: what `write` returned for survives SIGKILL.

    Has the methods that pyarrow and PyAV ask of a sink, and on purpose no `seek`, so that neither
    goes back to change what was already written. After `abandon()` writes vanish: a failed file can
    then be taken down by its encoder without a second error.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._abandoned = False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o644)

    @property
    def closed(self) -> bool:
        return self._descriptor < 0

    def write(self, data: bytes | memoryview) -> int:
        """Write all of `data`. Raises OSError when the disk takes only a part."""
        view = memoryview(data).cast("B")
        if self._abandoned:
            return len(view)
        written = 0
        while written < len(view):
            count = self.write_some(view[written:])
            written += count
            self.size_bytes += count
        return written

    def write_some(self, view: memoryview) -> int:
        """One write to the disk; returns how much it took. The seam for tests of a failing disk."""
        return os.write(self._descriptor, view)

    def flush(self) -> None:
        """Nothing is buffered here."""

    def sync(self) -> None:
        """Return when the data is on the disk."""
        if not self._abandoned:
            sync_descriptor(self._descriptor)

    def abandon(self) -> None:
        """Let every later write vanish."""
        self._abandoned = True

    def truncate(self, size_bytes: int) -> None:
        """Cut the file to `size_bytes`."""
        os.ftruncate(self._descriptor, size_bytes)
        self.size_bytes = size_bytes

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sync_descriptor(descriptor: int) -> None:
    """Return when what was written through `descriptor` is on the disk.

    macOS has no fdatasync, and its fsync leaves the data in the drive's own memory: F_FULLFSYNC is
    its word for what Linux does, where the file system knows it.
    """
    fdatasync = getattr(os, "fdatasync", None)
    if fdatasync is not None:
        fdatasync(descriptor)
        return
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        try:
            fcntl.fcntl(descriptor, full)
            return
        except OSError as error:
            if error.errno not in _UNKNOWN_CALL:
                raise
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, each name durable."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: at any instant it holds all of the old content or all of the new.

    Raises DatasetError or DiskFullError; the old content is then untouched.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        with AppendFile(temporary) as file:
            file.write(data)
            file.sync()
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # it stays, on a disk that takes nothing back either
            temporary.unlink(missing_ok=True)
        raise disk_error(error, path) from error


def append_line(path: Path, line: bytes) -> None:
    """Append one line to a log and sync it. A line torn by an earlier crash is ended first."""
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        size_bytes = os.fstat(descriptor).st_size
        torn = size_bytes > 0 and os.pread(descriptor, 1, size_bytes - 1) != b"\n"
        os.write(descriptor, (b"\n" if torn else b"") + line + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def link_or_copy(source: Path, target: Path, *, link: bool = True) -> bool:
    """Put the content of `source` at `target`: a second name of the same file, or, where `link` is
    false or the disk allows none, a copy with the same time of change. Returns whether it is a link.

    Both names then mean the same bytes, so only files that are replaced, never written into, may be
    linked. A link to a file (a download's are links into a cache) is followed. Raises DatasetError
    where `source` is missing, OSError where the disk takes no copy.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        real = source.resolve(strict=True)
    except FileNotFoundError as error:
        raise DatasetError(
            f"{source} is missing.",
            "The dataset was copied in part, or a file of it was removed.",
            "robotd dataset check NAME says which episodes are whole.",
        ) from error
    if link:
        try:
            os.link(real, target)
        except OSError:  # another disk, or a file system without links
            pass
        else:
            return True
    shutil.copyfile(real, target)
    when = real.stat()
    os.utime(target, ns=(when.st_atime_ns, when.st_mtime_ns))
    return False


def folder_bytes(folder: Path) -> int:
    """Bytes of all files under `folder`; 0 where it does not exist."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
