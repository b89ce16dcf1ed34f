"""Fetching: file after file into its place, gone on with after whatever happened, each verified.

A file grows under its name with `.part` behind it and gets its own name only when size and hash are
the source's. A part that a killed process left is read once (for the hash) and gone on with; one
whose content turns out wrong is thrown away and fetched once more from its beginning.
"""

import errno
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from policies.pulling.manifest import PART, Manifest
from policies.pulling.remote import LineError, Remote, RemoteFile
from robotd.errors import CheckpointError

_BLOCK_BYTES = 1 << 20
_WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Between tries that brought nothing. One that brought bytes begins again with the first."""

Progress = Callable[[str, int], None]
"""Told the file's path and how many of its bytes are here, often."""


@dataclass(slots=True)
class Fetch:
    """One folder being filled from a remote."""

    remote: Remote
    manifest: Manifest
    folder: Path
    progress: Progress = lambda _path, _done: None
    sleep: Callable[[float], None] = field(default=time.sleep)

    def run(self) -> None:
        """Fetch what is missing. Raises CheckpointError; what is here by then stays."""
        for file in self.manifest.files:
            self._file(file)

    def _file(self, file: RemoteFile) -> None:
        target = self.folder / file.path
        if target.exists() and target.stat().st_size == file.size_bytes:
            self.progress(file.path, file.size_bytes)
            return
        part = target.with_name(target.name + PART)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            began_with = part.stat().st_size if part.exists() else 0
            problem = self._fill(file, part)
            if problem and began_with:
                # What was left of an earlier try may have been cut by a power loss.
                part.unlink()
                problem = self._fill(file, part)
            if problem:
                part.unlink()
                raise CheckpointError(
                    f"{file.path} of {self.manifest.name} did not arrive as it is there: {problem}.",
                    "The source changed while it was fetched, or something between here and there "
                    "changes content (a proxy, a sign-in page).",
                    f"Pull it again: robotd ckpt pull {self.manifest.text}",
                )
            part.replace(target)
        except OSError as error:
            raise _disk(error, self.manifest, target) from error

    def _fill(self, file: RemoteFile, part: Path) -> str:
        """Bring the part to its full size; what is wrong with it then, or ""."""
        digests = _Digests(file)
        if part.exists() and part.stat().st_size > file.size_bytes:
            part.unlink()
        with part.open("ab") as out:
            self._hash_what_is_here(file, part, digests)
            tries = 0
            while (start := out.tell()) < file.size_bytes:
                try:
                    for block in self.remote.read(self.manifest.revision, file, start):
                        out.write(block)
                        digests.update(block)
                        self.progress(file.path, out.tell())
                    short = out.tell() < file.size_bytes
                    why = "it ended early" if short else ""
                except LineError as error:
                    why = str(error)
                if not why:
                    break
                out.flush()
                tries = tries + 1 if out.tell() == start else 1
                if tries > len(_WAITS_S):
                    raise _line_lost(self.manifest, file, out.tell(), why)
                self.sleep(_WAITS_S[tries - 1])
            out.flush()
            os.fsync(out.fileno())
            size = out.tell()
        if size != file.size_bytes:
            return f"{size} bytes instead of {file.size_bytes}"
        return digests.problem()

    def _hash_what_is_here(self, file: RemoteFile, part: Path, digests: "_Digests") -> None:
        done = 0
        with part.open("rb") as begun:
            while block := begun.read(_BLOCK_BYTES):
                digests.update(block)
                done += len(block)
        if done:
            self.progress(file.path, done)


class _Digests:
    """The hashes that the source tells of a file, computed as it comes."""

    def __init__(self, file: RemoteFile) -> None:
        known = (("sha256", file.sha256), ("sha1", file.git_sha1), ("md5", file.md5))
        self._wanted = [
            (name, wanted, hashlib.new(name, usedforsecurity=False))
            for name, wanted in known
            if wanted
        ]
        for name, _, digest in self._wanted:
            if name == "sha1":  # git's: of a header and the content
                digest.update(b"blob %d\0" % file.size_bytes)

    def update(self, block: bytes) -> None:
        for _, _, digest in self._wanted:
            digest.update(block)

    def problem(self) -> str:
        for name, wanted, digest in self._wanted:
            if digest.hexdigest() != wanted:
                return f"its {name} is {digest.hexdigest()[:12]}…, not {wanted[:12]}…"
        return ""


def _line_lost(manifest: Manifest, file: RemoteFile, done: int, why: str) -> CheckpointError:
    return CheckpointError(
        f"The line to {manifest.source} went at byte {done} of {file.path}, and "
        f"{len(_WAITS_S)} more tries brought nothing ({why}).",
        "This machine is offline, or the source is.",
        f"What is here is kept. Go on with it later: robotd ckpt pull {manifest.text}",
    )


def _disk(error: OSError, manifest: Manifest, target: Path) -> CheckpointError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CheckpointError(
            f"The disk is full: {target} cannot grow.",
            "Something else filled it while this was fetched, or a quota is used up.",
            "See what may go (robotd ckpt list, robotd ckpt rm NAME); then go on: "
            f"robotd ckpt pull {manifest.text}",
        )
    return CheckpointError(
        f"{target} cannot be written: {error.strerror or error}.",
        "The cache folder belongs to somebody else, or the disk is read-only or failing.",
        "Look: ls -ld, dmesg | tail. Another place for the cache: XDG_CACHE_HOME.",
    )
