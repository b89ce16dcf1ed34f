"""Hashes of checkpoint files, remembered: a Pi0 has six gigabytes, and reading them takes a while.

A file is known again by its path, size and modification time. Only what is big enough to be waited
for is remembered; everything else is read each time.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from robotd import paths

BIG_BYTES = 32 << 20
_BLOCK_BYTES = 4 << 20


def files_sha256(files: Iterable[Path], digests: "FileDigests") -> str:
    """The hash of several files together, by their names and contents, in the order given."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0".encode())
        digest.update(bytes.fromhex(digests.sha256(path)))
    return digest.hexdigest()


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    mtime_ns: int
    sha256: str


_decode = msgspec.json.Decoder(dict[str, _Known]).decode


class FileDigests:
    """The SHA-256 of files. `progress` is called while a big one is read, with its name and the
    part (0 to 1) that is done."""

    def __init__(
        self,
        memory: Path | None = None,
        progress: Callable[[str, float], None] = lambda _name, _part: None,
        big_bytes: int = BIG_BYTES,
    ) -> None:
        self._memory = paths.cache_dir() / "file_hashes.json" if memory is None else memory
        self._progress = progress
        self._big_bytes = big_bytes

    def sha256(self, path: Path) -> str:
        """The hash of the file's content, in hex. Raises OSError when it cannot be read."""
        stat = path.stat()
        if stat.st_size < self._big_bytes:
            return self._read(path, stat.st_size)
        name, known = str(path.resolve()), self._load()
        found = known.get(name)
        if found is not None and (found.size, found.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return found.sha256
        digest = self._read(path, stat.st_size)
        entry = _Known(size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=digest)
        self._save({**known, name: entry})
        return digest

    def _read(self, path: Path, size: int) -> str:
        digest, done = hashlib.sha256(), 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                done += len(block)
                if size >= self._big_bytes:
                    self._progress(path.name, done / size)
        return digest.hexdigest()

    def _load(self) -> dict[str, _Known]:
        try:
            return _decode(self._memory.read_bytes())
        except (OSError, msgspec.DecodeError):
            return {}  # nothing is remembered; the files are read again

    def _save(self, known: dict[str, _Known]) -> None:
        partial = self._memory.with_name(f".{self._memory.name}.{os.getpid()}")
        # A disk that does not take it costs only the time to read the file again.
        with contextlib.suppress(OSError):
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(msgspec.json.encode(known))
            partial.replace(self._memory)
