"""Edits of a dataset as a whole: delete, relabel, compact.

What an edit builds lies under `robotd/rebuild/` and takes no lock of the dataset: episodes are
recorded and saved meanwhile. If one was, it is built again with that one; at the end the dataset's
lock is held for some renames (`swap`).
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon.recorder import swap, tree
from daemon.recorder.disk import DiskLimits, free_bytes_of
from daemon.recorder.durable import (
    disk_error,
    folder_bytes,
    make_folder,
    sha256_of,
    sync_file,
    sync_folder,
)
from daemon.recorder.film import Joined, Pick
from daemon.recorder.info import INFO
from daemon.recorder.sidecar import EPISODES, Relabel, fingerprint, stage_sidecar
from daemon.recorder.source import Source, read_source
from daemon.recorder.transaction import INTENT, SIDECAR, Commit, last_commit, locked, remove_tree
from robotd.errors import DatasetError, DiskFullError, StateError

REBUILD = f"{SIDECAR}/rebuild"
_LOCK = f"{SIDECAR}/edit.lock"
_TRIES = 3  # beside a recorder that saves; then its saving waits for what is still to be built

type WallClock = Callable[[], int]
type Build = Callable[[Path], swap.Result | None]


def delete(
    root: Path, chosen: Callable[[Source], set[int]], about: str, wall_ns: WallClock
) -> Commit:
    """Take episodes out; the others get new numbers in order. With all of them gone, so is what
    LeRobot reads of the dataset. `chosen` gives their numbers in the dataset as it is by then.

    Raises StateError for a number that there is not, and DatasetError; nothing is changed then.
    """

    def build(folder: Path) -> swap.Result:
        source = read_source(root)
        gone, count = chosen(source), len(source.episodes)
        check_numbers(gone, count, root)
        picks = [Pick(0, number) for number in range(count) if number not in gone]
        return _anew(folder, source, picks, {}, used_tasks_only=True)

    return _done(_edit(root, build, "delete-episode", about, wall_ns), root)


def relabel(
    root: Path, numbers: set[int], task: str, label: Relabel, about: str, wall_ns: WallClock
) -> Commit:
    """Give episodes another task ("": leave it) and change what was said of them.

    Raises StateError for a number that there is not, or a label for an episode that robotd did not
    record, and DatasetError; nothing is changed then.
    """

    def build(folder: Path) -> swap.Result:
        source = read_source(root)
        check_numbers(numbers, len(source.episodes), root)
        picks = [
            Pick(0, number, task if number in numbers else "")
            for number in range(len(source.episodes))
        ]
        labels = dict.fromkeys(numbers, label)
        if task:
            return _anew(folder, source, picks, labels, used_tasks_only=True)
        journals = stage_sidecar(folder, [root], picks, labels)
        return swap.Result(folder=folder, parts=(EPISODES,), files={}, places={}, episodes=journals)

    return _done(_edit(root, build, "relabel", about, wall_ns), root)


def compact(root: Path, wall_ns: WallClock) -> Commit | None:
    """Join small files into files of the sizes that info.json names; None if there is nothing to
    join. Raises DatasetError, nothing changed."""
    joined: Joined = {}

    def build(folder: Path) -> swap.Result | None:
        source = read_source(root)
        picks = [Pick(0, number) for number in range(len(source.episodes))]
        result = _anew(folder, source, picks, {}, joined=joined)
        return None if file_count(folder) >= file_count(root) else result

    return _edit(root, build, "compact", "small files joined", wall_ns)


def undo(root: Path, edit: Commit, wall_ns: WallClock) -> Commit:
    """Bring back what was there before `edit`, the last change.

    Raises StateError when it is not the last one, another program changed the dataset since, or
    what it replaced was removed to make room, and DatasetError; nothing is changed then.
    """
    try:
        with editing(root), locked(root):
            swap.settle(root)
            return swap.undo_edit(root, edit, wall_ns())
    except OSError as error:
        raise disk_error(error, root) from error


def check_numbers(numbers: set[int], count: int, root: Path) -> None:
    """Raise StateError when one of them is no episode of a dataset with `count`."""
    strange = sorted(number for number in numbers if not 0 <= number < count)
    if strange:
        raise StateError(
            f"{root} has no episode {', '.join(map(str, strange))}.",
            f"It has {count}, counted from 0.",
            f"Choose from 0 to {count - 1}; robotd dataset info shows how long each is.",
        )


def left_by_kill(root: Path) -> list[Path]:
    """What a killed edit built and nobody needs; empty while an edit runs."""
    if not (root / REBUILD).exists():
        return []
    try:
        with editing(root):
            return [root / REBUILD] if not (root / INTENT).exists() else []
    except DatasetError:  # an edit runs: it needs what it builds
        return []


@contextmanager
def editing(root: Path) -> Iterator[None]:
    """One edit of a dataset at a time; what a killed one left is removed.

    Raises DatasetError at once when another runs.
    """
    make_folder(root / SIDECAR)
    descriptor = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatasetError(
                f"{root} is being edited by another command.",
                "A compact, delete, relabel or undo of it runs elsewhere.",
                "Wait until it is done.",
            ) from error
        yield
    finally:
        os.close(descriptor)


def _edit(root: Path, build: Build, verb: str, about: str, wall_ns: WallClock) -> Commit | None:
    try:
        with editing(root):
            with locked(root):
                swap.settle(root)  # it may bring in what lies under rebuild/
                remove_tree(root / REBUILD)
            try:
                return _built_and_brought_in(root, build, verb, about, wall_ns)
            finally:
                if not (root / INTENT).exists():
                    remove_tree(root / REBUILD)
    except OSError as error:
        raise disk_error(error, root) from error


def _built_and_brought_in(
    root: Path, build: Build, verb: str, about: str, wall_ns: WallClock
) -> Commit | None:
    for attempt in range(_TRIES):
        with locked(root):
            swap.settle(root)
            state = _state(root)
        try:
            result = _staged(root, build, attempt)
        except (DatasetError, StateError, OSError):
            if _state(root) == state:
                raise
            continue  # an episode was undone while its files were read
        with locked(root):
            swap.settle(root)
            if _state(root) == state:
                return (
                    None if result is None else swap.bring_in(root, result, verb, about, wall_ns())
                )
    with locked(root):
        swap.settle(root)
        result = _staged(root, build, _TRIES)
        return None if result is None else swap.bring_in(root, result, verb, about, wall_ns())


def _staged(root: Path, build: Build, attempt: int) -> swap.Result | None:
    folder = root / REBUILD / str(attempt)
    make_folder(folder)
    result = build(folder)
    if result is not None:
        swap.note_before(root, folder, result.parts)
        _sync(folder)
    return result


def _anew(
    folder: Path,
    source: Source,
    picks: Sequence[Pick],
    labels: Mapping[int, Relabel],
    *,
    joined: Joined | None = None,
    used_tasks_only: bool = False,
) -> swap.Result:
    """All of the dataset but its past, from the picked episodes."""
    _check_room(source.root, videos=joined is not None)
    journals = stage_sidecar(folder, [source.root], picks, labels)
    if not picks:
        return swap.Result(folder=folder, parts=swap.PARTS, files={}, places={}, episodes={})
    built = tree.write_tree(
        folder,
        [source],
        picks,
        source.info["features"],
        joined=joined,
        used_tasks_only=used_tasks_only,
    )
    return swap.Result(
        folder=folder,
        parts=swap.PARTS,
        files=built.files,
        places=built.places,
        episodes=journals,
    )


def _check_room(root: Path, *, videos: bool) -> None:
    """Raise DiskFullError when what is written anew would not leave the room a recording needs."""
    parts = ("data", "meta", "videos") if videos else ("data", "meta")
    needed = sum(folder_bytes(root / part) for part in parts)
    free = free_bytes_of(root) - DiskLimits().refuse_below_bytes
    if free < needed:
        raise DiskFullError(
            f"{needed / 1e6:.0f} MB are to be written into {root}; {max(free, 0) / 1e6:.0f} MB can be.",
            "The disk is nearly full; what an edit replaces is kept to be undone.",
            f"Free space (`df -h`); {root / swap.REMOVED} holds what earlier edits replaced.",
        )


def _state(root: Path) -> object:
    """Equal only while neither the dataset nor what lies beside its episodes changed."""
    info = root / INFO
    return last_commit(root), sha256_of(info) if info.exists() else "", fingerprint(root)


def file_count(root: Path) -> int:
    """How many files LeRobot has to do with."""
    parts = (root / "meta", root / "data", root / "videos")
    return sum(path.is_file() for part in parts for path in part.rglob("*"))


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        elif path.stat().st_nlink == 1:  # a link's content was synced when it was made
            sync_file(path)
    sync_folder(folder)


def _done(commit: Commit | None, root: Path) -> Commit:
    if commit is None:
        raise DatasetError(
            f"The edit of {root} came to nothing.",
            "A defect of robotd.",
            "Nothing was changed. Report it with the dataset's robotd/commits.jsonl.",
        )
    return commit
