"""An edit's result takes the dataset's place by a few renames, and gives it back to be undone.

`meta` makes way first and comes back last, so that LeRobot finds the dataset before, the dataset
after or, between two renames, none; never a mixture. What made way lies under `robotd/removed/`
until space is needed; videos that an edit does not change are one file under both names. A single
file makes way under a second name, so that whoever reads it beside a session always finds one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from daemon.recorder.durable import link_or_copy, make_folder, sha256_of
from daemon.recorder.history import changes, present_files
from daemon.recorder.info import INFO, load_info
from daemon.recorder.sidecar import EPISODES, files_seen
from daemon.recorder.staging import is_ours
from daemon.recorder.transaction import (
    SIDECAR,
    Commit,
    Intent,
    begin,
    finish,
    last_commit,
    locked,
    read_commits,
    roll_back,
)
from robotd.errors import DatasetError, StateError

REMOVED = f"{SIDECAR}/removed"
PARTS = ("meta", "data", "videos", EPISODES)
_BEFORE = "before.json"
_WAS = "was"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What an edit leaves, staged under `folder`: `parts` (folders, or files) replace the dataset's,
    and one that is not there is gone after it. `files`, `places`, `episodes` and `label_of` as in
    `Commit`."""

    folder: Path
    parts: tuple[str, ...]
    files: Mapping[str, str]
    places: Mapping[str, tuple[int, int]]
    episodes: Mapping[str, tuple[int, int]]
    label_of: str = ""


def new_id(wall_ns: int, verb: str) -> str:
    """An edit's id: as those of journals are, so that they sort by time together."""
    moment = datetime.fromtimestamp(wall_ns // 10**9, UTC).strftime("%Y%m%d-%H%M%S")
    return f"{moment}-{wall_ns % 10**9:09d}-{verb}"


def settle(root: Path) -> Commit | None:
    """Finish or roll back what a crash left; returns what was finished. Only under the lock."""
    finished = finish(root)
    roll_back(root)
    return finished


def bring_in(root: Path, result: Result, verb: str, about: str, wall_ns: int) -> Commit:
    """Let `result` take its place; `note_before` was called. Only under the lock, and only while
    the dataset is the one that it was built from."""
    change_id = new_id(wall_ns, verb)
    away, new = f"{REMOVED}/{change_id}", result.folder.relative_to(root).as_posix()
    whole = "meta" in result.parts
    there = result.folder if whole else root
    intent = Intent(
        aside=tuple((part, f"{away}/{part}") for part in result.parts if (root / part).is_dir()),
        steps=(
            (f"{new}/{_BEFORE}", f"{away}/{_BEFORE}"),
            *((f"{new}/{_WAS}/{part}", f"{away}/{part}") for part in _single(root, result.parts)),
            *_incoming(root / new, new, result),
        ),
        commit=msgspec.structs.replace(
            _record(there, change_id, verb, about, wall_ns),
            places=dict(result.places) if whole else _places(root),
            files=_files(root, result),
            episodes=dict(result.episodes),
            label_of=result.label_of,
        ),
        staging=new,
    )
    begin(root, intent)
    finish(root)
    return intent.commit


def put_tag(root: Path, name: str, wall_ns: int) -> Commit:
    """Give the dataset as it is the name `name`, in its commit records. Raises DatasetError."""
    with locked(root):
        settle(root)
        record = _record(root, new_id(wall_ns, "tag"), "tag", name, wall_ns)
        commit = msgspec.structs.replace(record, tag=name, places=_places(root))
        begin(root, Intent(steps=(), commit=commit))
        finish(root)
    return commit


def undo_edit(root: Path, edit: Commit, wall_ns: int) -> Commit:
    """Bring back what was there before `edit`, the last change. Only under the lock.

    Raises StateError when it is not the last one, another program changed the dataset since, or
    its files were removed to make room; nothing is changed then.
    """
    commits = read_commits(root)
    done = changes(commits)
    if not done or done[-1] != edit or not untouched(root):
        raise StateError(
            f"The {edit.verb} of {root} cannot be undone.",
            "The dataset was changed after it, by robotd or another program.",
            "Undo the later change first; what another program changed stays as it is.",
        )
    undo_id, away = new_id(wall_ns, "undo"), f"{REMOVED}/{edit.journal_id}"
    parts = _parts(root, edit)
    back = Result(folder=root / away, parts=parts, files={}, places={}, episodes={})
    there = root / away if "meta" in parts else root
    record = _record(there, undo_id, "undo", f"{edit.verb}: {edit.about}", wall_ns)
    before = commits[commits.index(edit) - 1] if commits[0] != edit else None
    same = before is not None and before.info_sha256 == record.info_sha256
    intent = Intent(
        aside=tuple(
            (part, f"{REMOVED}/{undo_id}/{part}") for part in parts if (root / part).exists()
        ),
        steps=_incoming(root / away, away, back),
        commit=msgspec.structs.replace(
            record,
            undoes=edit.journal_id,
            places=before.places if before is not None and same else {},
        ),
        staging=away,
    )
    begin(root, intent)
    finish(root)
    return intent.commit


def untouched(root: Path) -> bool:
    """Whether the dataset is as robotd's last commit left it."""
    info, last = load_info(root), last_commit(root)
    if info is None:
        return last is None or not last.info_sha256
    return is_ours(root, info)


def _parts(root: Path, edit: Commit) -> tuple[str, ...]:
    """What is to be exchanged to undo it: nothing for a tag, and before a merge nothing was."""
    if edit.tag:
        return ()
    return PARTS if edit.verb == "merge" else _kept(root / REMOVED / edit.journal_id, edit)


def _files(root: Path, result: Result) -> dict[str, str]:
    if result.label_of:
        return {}  # it leaves them as they are, and says nothing of them
    whole = "meta" in result.parts
    return dict(result.files) if whole else dict(present_files(read_commits(root)))


def _single(root: Path, parts: Sequence[str]) -> list[str]:
    """Those that are single files."""
    return [part for part in parts if (root / part).is_file()]


def _places(root: Path) -> dict[str, tuple[int, int]]:
    last = last_commit(root)
    return last.places if last is not None and untouched(root) else {}


def _record(there: Path, change_id: str, verb: str, about: str, wall_ns: int) -> Commit:
    """An edit's record, of the dataset whose info.json is, or will be, the one under `there`."""
    info = load_info(there)
    return Commit(
        kind="edit",
        journal_id=change_id,
        episode_index=-1,
        rows=0,
        total_frames=0 if info is None else int(info["total_frames"]),
        wall_ns=wall_ns,
        info_sha256="" if info is None else sha256_of(there / INFO),
        verb=verb,
        about=about,
    )


def _incoming(folder: Path, name: str, result: Result) -> tuple[tuple[str, str], ...]:
    """Meta comes last: from then on LeRobot sees the dataset again."""
    order = sorted(result.parts, key=lambda part: part == "meta")
    return tuple((f"{name}/{part}", part) for part in order if (folder / part).exists())


class _Before(msgspec.Struct, frozen=True):
    """What made way: the parts, and (name, size, time) of every file."""

    parts: tuple[str, ...]
    files: tuple[tuple[str, int, int], ...]


def note_before(root: Path, folder: Path, parts: Sequence[str]) -> None:
    """Write down under `folder` which files will make way, so that an undo knows if all are left;
    single files have their second name there from now on."""
    for part in _single(root, parts):
        make_folder((folder / _WAS / part).parent)
        link_or_copy(root / part, folder / _WAS / part)
    note = _Before(tuple(parts), tuple(files_seen(root, parts)))
    (folder / _BEFORE).write_bytes(msgspec.json.encode(note))


def _kept(away: Path, edit: Commit) -> tuple[str, ...]:
    """The parts that made way for `edit`, all of them still there and unchanged."""
    path = away / _BEFORE
    if not path.exists():
        raise StateError(
            f"The {edit.verb} cannot be undone: what it replaced is gone.",
            "It was removed to make room for recordings, or by hand.",
            "Nothing was changed.",
        )
    note = msgspec.json.decode(path.read_bytes(), type=_Before)
    changed = sorted(set(note.files) - set(files_seen(away, note.parts)))
    if changed:
        raise DatasetError(
            f"The {edit.verb} cannot be undone: {away / changed[0][0]} is not what it was.",
            "It was removed to make room, or another program changed it in place.",
            "Nothing was changed.",
        )
    return note.parts
