"""What is being fetched into a folder, and how far it is: one small JSON file beside the folder.

It is written before the first byte and names the pinned revision with every file, so a process that
is killed at any moment is gone on with by whoever comes next. A file under its own name was
verified; one that ends in `.part` was not.
"""

import os
from dataclasses import replace
from pathlib import Path

import msgspec

from policies.pulling.remote import RemoteFile
from policies.pulling.source import parse_source
from robotd import paths

PART = ".part"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`source` is the source's URL without revision, `asked` the revision that was asked for (may
    be a branch), `revision` what it was pinned to; `at` when, in ISO 8601."""

    schema: int = 1
    source: str
    name: str
    asked: str = ""
    revision: str
    at: str
    files: tuple[RemoteFile, ...]
    complete: bool = False

    @property
    def text(self) -> str:
        """What pulls the same again: its name, with the revision that was asked for."""
        return replace(parse_source(self.source), revision=self.asked).text

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self.files)


def store_root() -> Path:
    """Where pulled checkpoints are kept."""
    return paths.cache_dir() / "checkpoints"


def folder_of(slug: str, revision: str) -> Path:
    """Where the files of one source at one revision go."""
    return store_root() / slug / revision[:12]


def manifest_of(folder: Path) -> Path:
    """The manifest beside a folder of the store."""
    return folder.with_name(folder.name + ".json")


def read_manifest(file: Path) -> Manifest | None:
    """The manifest, or None when there is none that can be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None  # then nothing is known of the folder: it is fetched as if for the first time


def write_manifest(file: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step, on the disk when this returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with partial.open("wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        out.flush()
        os.fsync(out.fileno())
    partial.replace(file)


def fetched_bytes(folder: Path, manifest: Manifest) -> int:
    """How much of it is here, unverified parts included."""
    done = 0
    for file in manifest.files:
        for name in (file.path, file.path + PART):
            try:
                done += min((folder / name).stat().st_size, file.size_bytes)
            except OSError:
                continue  # not there
            break
    return done
