"""What fetching asks of a source, and which of its files a policy needs. Pure."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Protocol

import msgspec

from robotd.errors import CheckpointError

_SKIPPED_FOLDERS = {"train_state", "training_state", "wandb", "logs", "runs", ".git", ".cache"}
_SKIPPED_STARTS = ("optimizer", "scheduler", "rng_state", "events.out.tfevents")
_SKIPPED_NAMES = {".gitattributes", ".gitignore", "training_args.bin", "metadata.pt"}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file: its path below the source and its size. Whichever hashes the source tells are in
    hex, the others empty; `tag` is a word that changes with the content (an ETag, a generation)."""

    path: str
    size_bytes: int
    sha256: str = ""
    git_sha1: str = ""
    md5: str = ""
    tag: str = ""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """The files at one pinned revision: a commit, or a hash of the listing where there is none."""

    revision: str
    files: tuple[RemoteFile, ...]


class LineError(Exception):
    """The connection failed in the middle: worth trying again from where it stopped."""


class Remote(Protocol):
    """A source that is open. Both raise CheckpointError for what trying again will not mend."""

    def listing(self) -> Listing:
        """Every file of the source, with sizes."""
        ...

    def read(self, revision: str, file: RemoteFile, start: int) -> Iterator[bytes]:
        """The file's content from byte `start` on. Raises LineError when the line goes."""
        ...


def needed(files: Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    """The files that a policy is run from: no optimiser, no pickled twin of a safetensors file."""
    safe = any(file.path.endswith(".safetensors") for file in files)
    return tuple(file for file in files if not _skipped(PurePosixPath(file.path), safe))


def _skipped(path: PurePosixPath, safe: bool) -> bool:
    return (
        bool(_SKIPPED_FOLDERS.intersection(path.parts[:-1]))
        or path.name in _SKIPPED_NAMES
        or path.name.startswith(_SKIPPED_STARTS)
        or (safe and path.suffix in _PICKLES)
    )


def check_paths(source: str, files: Sequence[RemoteFile]) -> None:
    """Raise CheckpointError for a listing that would write outside of its folder, or for none."""
    if not files:
        raise CheckpointError(
            f"There is nothing at {source}.",
            "The path was mistyped, or what was there is gone.",
            "Look at it in a browser, and give the folder that holds the weights.",
        )
    for file in files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise CheckpointError(
                f"{source} lists a file {file.path!r}, which lies outside of it.",
                "The source is damaged, or means harm.",
                "Do not use it.",
            )
