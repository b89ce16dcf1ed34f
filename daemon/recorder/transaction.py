"""Several files changed as one: a redo log of renames in the dataset's own folder.

What is to change is first built in a staging folder and synced. Then `robotd/intent.json` is
written, atomically: from that instant the change happens, whatever crashes, because `finish` does
the renames that are left and appends the commit record. Before that instant it never happened.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from daemon.recorder.durable import append_line, make_folder, sync_file, sync_folder, write_atomic
from robotd.errors import DatasetError

SIDECAR = "robotd"
"""The folder beside LeRobot's own in which robotd keeps what the dataset has no column for."""

INTENT, COMMITS, STAGING = (
    f"{SIDECAR}/intent.json",
    f"{SIDECAR}/commits.jsonl",
    f"{SIDECAR}/staging",
)
_LOCK = f"{SIDECAR}/lock"
PATIENCE_S = 5.0
"""How long a change waits for another one's lock. Whoever edits holds it for some renames only."""
_ASK_AGAIN_S = 0.01
_TAIL_BYTES = 1 << 16


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `commits.jsonl`: an episode that is in the dataset, or was taken out again, or
    an edit of the whole dataset.

    `info_sha256` is that of info.json after the commit: while it still matches, nobody else
    changed the dataset and `places` says where its files end, by kind of file. `files` has the
    SHA-256 of what the commit brought by name; of an edit, of all that LeRobot reads.

    Of an edit, `journal_id` is its own id, `verb` and `about` say what was done, `episodes` where
    those that robotd recorded are after it: (episode_index, rows) by journal id; `undoes` is the
    id of the edit that it takes back, `tag` the name that it gives to the dataset as it is. Of what
    a session's key said of an episode after it was saved, `label_of` is that episode's journal id.
    """

    kind: Literal["keep", "remove", "edit"]
    journal_id: str
    episode_index: int
    rows: int
    total_frames: int
    wall_ns: int
    info_sha256: str
    places: dict[str, tuple[int, int]] = {}
    files: dict[str, str] = {}
    verb: str = ""
    about: str = ""
    episodes: dict[str, tuple[int, int]] = {}
    undoes: str = ""
    tag: str = ""
    label_of: str = ""

    @property
    def is_beside(self) -> bool:
        """Whether it is an edit that leaves every file and number that LeRobot reads as it was."""
        return bool(self.tag or self.label_of)


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """The renames of one change, in order, source and target relative to the dataset's folder.

    `aside` comes first: what makes way for a step that brings another under the same name. Its
    targets are new, so one that is there says that it was done.
    """

    steps: tuple[tuple[str, str], ...]
    commit: Commit
    staging: str = ""
    aside: tuple[tuple[str, str], ...] = ()


@contextmanager
def locked(root: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the dataset's lock; the kernel releases it if this process dies.

    Raises DatasetError when another process still holds it after `patience_s`.
    """
    make_folder(root / SIDECAR)
    descriptor = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _claim(descriptor, root, time.monotonic() + patience_s)
        yield
    finally:
        os.close(descriptor)


def _claim(descriptor: int, root: Path, until_s: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= until_s:
                raise DatasetError(
                    f"Another robotd is writing to {root}.",
                    "Two daemons record into one dataset, or it is being edited.",
                    "Wait until it has saved its episode, or record into another dataset.",
                ) from error
        time.sleep(_ASK_AGAIN_S)


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
    for source, target in intent.aside:
        if not (root / target).exists():
            _step(root / source, root / target)
    for source, target in intent.steps:
        _step(root / source, root / target)
    _last(root, intent)
    if intent.commit != last_commit(root):
        append_line(root / COMMITS, msgspec.json.encode(intent.commit))
    else:
        sync_file(root / COMMITS)
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


def _last(root: Path, intent: Intent) -> None:
    """Have every name that changed on the disk, also those that an earlier process, killed before
    it could, made or changed: after the intent nothing would do them again."""
    names = [Path(name) for step in (*intent.aside, *intent.steps) for name in step]
    for folder in sorted({folder for name in names for folder in name.parents}):
        if (root / folder).is_dir():
            sync_folder(root / folder)
    sync_folder(root.parent)


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
            commit = _decoded(line)
            if commit is not None:
                commits.append(commit)
    return commits


def last_commit(root: Path) -> Commit | None:
    """The newest commit record. Reads the log's end, however long it is."""
    path = root / COMMITS
    if not path.exists():
        return None
    with path.open("rb") as file:
        size = wanted = file.seek(0, os.SEEK_END)
        wanted = min(size, _TAIL_BYTES)
        while True:
            file.seek(size - wanted)
            lines = file.read(wanted).splitlines()
            for line in reversed(lines if wanted == size else lines[1:]):
                commit = _decoded(line)
                if commit is not None:
                    return commit
            if wanted == size:
                return None
            wanted = min(size, wanted * 4)


def standing_commit(root: Path, journal_id: str) -> Commit | None:
    """The record of that episode while it is in the dataset. Quick for one that never was."""
    path = root / COMMITS
    if not path.exists() or journal_id.encode() not in path.read_bytes():
        return None
    return standing(read_commits(root)).get(journal_id)


def _decoded(line: bytes) -> Commit | None:
    try:
        return msgspec.json.decode(line, type=Commit)
    except msgspec.DecodeError:
        return None


def standing(commits: list[Commit]) -> dict[str, Commit]:
    """The episodes that were kept and are still there, by journal id, in order.

    Of one that was there when the dataset was edited, `files` and `places` are empty: its files
    are not its own any more, and only `episode_index` and `rows` hold.
    """
    kept: dict[str, Commit] = {}
    before: dict[str, dict[str, Commit]] = {}
    for commit in commits:
        if commit.kind == "keep":
            kept[commit.journal_id] = commit
        elif commit.kind == "remove":
            kept.pop(commit.journal_id, None)
        elif commit.undoes:
            kept = dict(before.get(commit.undoes, kept))
        elif not commit.is_beside:
            before[commit.journal_id] = dict(kept)
            kept = _moved(kept, commit)
    return kept


def _moved(kept: dict[str, Commit], edit: Commit) -> dict[str, Commit]:
    places = sorted(edit.episodes.items(), key=lambda each: each[1])
    return {
        journal_id: msgspec.structs.replace(
            kept.get(journal_id, edit),
            kind="keep",
            journal_id=journal_id,
            episode_index=index,
            rows=rows,
            places={},
            files={},
            verb="",
            about="",
            episodes={},
        )
        for journal_id, (index, rows) in places
    }


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
