"""Several files changed as one: a redo log of renames in the dataset's own folder.

What is to change is first built in a staging folder and synced. Then `robotd/intent.json` is
written, atomically: from that instant the change happens, whatever crashes, because `finish` does
the renames that are left and appends the commit record. Before that instant it never happened.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from daemon.recorder.durable import append_line, make_folder, sync_folder, write_atomic
from robotd.errors import DatasetError

SIDECAR = "robotd"
"""The folder beside LeRobot's own in which robotd keeps what the dataset has no column for."""

INTENT, COMMITS, STAGING = (
    f"{SIDECAR}/intent.json",
    f"{SIDECAR}/commits.jsonl",
    f"{SIDECAR}/staging",
)
_LOCK = f"{SIDECAR}/lock"


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `commits.jsonl`: an episode that is in the dataset, or was taken out again.

    `info_sha256` is that of info.json after the commit: while it still matches, nobody else
    changed the dataset and `places` says where its files end, by kind of file.
    """

    kind: Literal["keep", "remove"]
    journal_id: str
    episode_index: int
    rows: int
    total_frames: int
    wall_ns: int
    info_sha256: str
    places: dict[str, tuple[int, int]] = {}
    files: dict[str, str] = {}


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """The renames of one change, in order, source and target relative to the dataset's folder."""

    steps: tuple[tuple[str, str], ...]
    commit: Commit
    staging: str = ""


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the dataset's lock; the kernel releases it if this process dies.

    Raises DatasetError at once when another process holds it.
    """
    make_folder(root / SIDECAR)
    descriptor = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatasetError(
                f"Another robotd is writing to {root}.",
                "Two daemons record into one dataset.",
                "Wait until it has saved its episode, or record into another dataset.",
            ) from error
        yield
    finally:
        os.close(descriptor)


def begin(root: Path, intent: Intent) -> None:
    """Make `intent` durable. All its sources must be on the disk already."""
    write_atomic(root / INTENT, msgspec.json.encode(intent))


def read_intent(root: Path) -> Intent | None:
    """The change that a crash left to be finished, if there is one."""
    path = root / INTENT
    return msgspec.json.decode(path.read_bytes(), type=Intent) if path.exists() else None


def finish(root: Path) -> Commit | None:
    """Do what is left of the intent under `root`, if there is one; returns its commit record."""
    path = root / INTENT
    intent = read_intent(root)
    if intent is None:
        return None
    for source, target in intent.steps:
        _step(root / source, root / target)
    if intent.commit not in read_commits(root):
        append_line(root / COMMITS, msgspec.json.encode(intent.commit))
    path.unlink()
    sync_folder(path.parent)
    if intent.staging:
        remove_tree(root / intent.staging)
    return intent.commit


def _step(source: Path, target: Path) -> None:
    if source.exists():
        make_folder(target.parent)
        source.replace(target)
        sync_folder(target.parent)
        sync_folder(source.parent)
    elif not target.exists():
        raise DatasetError(
            f"Saving an episode was interrupted, and {source} is gone.",
            "Files in the dataset's robotd folder were removed by hand.",
            f"Restore the folder from a backup, or remove {target.name} from its intent.json.",
        )


def unsettled(root: Path) -> bool:
    """Whether a crash left a change under `root` to be finished or rolled back."""
    staging = root / STAGING
    return (root / INTENT).exists() or (staging.exists() and any(staging.iterdir()))


def roll_back(root: Path) -> None:
    """Remove what was staged for changes that never began. Only under the lock."""
    staging = root / STAGING
    if staging.exists() and not (root / INTENT).exists():
        for each in staging.iterdir():
            remove_tree(each)


def read_commits(root: Path) -> list[Commit]:
    """Every commit record in order. A line torn by a crash never was a commit."""
    path = root / COMMITS
    commits = []
    if path.exists():
        for line in path.read_bytes().splitlines():
            try:
                commits.append(msgspec.json.decode(line, type=Commit))
            except msgspec.DecodeError:
                continue
    return commits


def standing(commits: list[Commit]) -> dict[str, Commit]:
    """The episodes that were kept and not removed since, by journal id, in order."""
    kept: dict[str, Commit] = {}
    for commit in commits:
        if commit.kind == "keep":
            kept[commit.journal_id] = commit
        else:
            kept.pop(commit.journal_id, None)
    return kept


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it; files that vanish meanwhile are no error."""
    if not folder.exists():
        return
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    folder.rmdir()
