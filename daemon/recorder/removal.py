"""The last episode is taken out of its dataset again: byte for byte, or, after an edit, by another.

A person's undo of a keep. What it takes out lies under `robotd/removed/` until space is needed.
"""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon.recorder import edits
from daemon.recorder.durable import sha256_of
from daemon.recorder.info import INFO, STATS, TASKS, load_info
from daemon.recorder.quality.files import QUALITY, VIEWS
from daemon.recorder.source import Source
from daemon.recorder.staging import BEFORE, episode_folder, is_ours
from daemon.recorder.swap import REMOVED, settle
from daemon.recorder.transaction import (
    PATIENCE_S,
    SIDECAR,
    Commit,
    Intent,
    begin,
    finish,
    locked,
    read_commits,
    standing,
    standing_commit,
)
from robotd.errors import DatasetError, StateError

type WallClock = Callable[[], int]


def remove_last(root: Path, *, journal_id: str = "", wall_ns: WallClock = time.time_ns) -> Commit:
    """Take the last episode out of the dataset again; returns the record of the removal.

    With `journal_id`, only if the last episode is the one of that journal.

    The dataset is byte for byte what it was before that episode; where it was edited since, the
    episode is taken out by another edit. Its files stay under `robotd/removed/` until space is
    needed. Raises StateError when the last episode was not published by robotd, or the dataset was
    changed by another program since.
    """
    with locked(root, PATIENCE_S):
        settle(root)
        commits = read_commits(root)
        kept = list(standing(commits).values())
        last = kept[-1] if kept else None
        info = load_info(root)
        if (
            last is None
            or info is None
            or info["total_episodes"] != last.episode_index + 1
            or not is_ours(root, info)
        ):
            raise StateError(
                f"The last episode of {root} cannot be undone.",
                "It was not recorded by robotd, or another program changed the dataset since.",
                "Take it out by its number: robotd dataset delete-episode.",
            )
        if journal_id and last.journal_id != journal_id:
            raise StateError(
                f"Episode {journal_id} is not the last one of {root}.",
                "Another was saved after it, or it was taken out already.",
                "Nothing was changed. Take it out by its number: robotd dataset delete-episode.",
            )
        as_published = bool(last.files) and last.info_sha256 == sha256_of(root / INFO)
        if as_published:
            begin(root, _removal(root, last, commits, wall_ns()))
            done = finish(root)
    if not as_published:
        return edits.delete(root, _number_of(last.journal_id), "the last kept episode", wall_ns)
    if done is None:
        raise DatasetError(
            f"The removal from {root} left no record.",
            "Files in its robotd folder were removed while it ran.",
            "Look at robotd/commits.jsonl in the dataset.",
        )
    return done


def _number_of(journal_id: str) -> Callable[[Source], set[int]]:
    """That episode's number, whatever was changed meanwhile."""

    def numbers(source: Source) -> set[int]:
        commit = standing_commit(source.root, journal_id)
        if commit is None:
            raise StateError(
                f"Episode {journal_id} is not in {source.root} any more.",
                "It was taken out already.",
                "Nothing was changed.",
            )
        return {commit.episode_index}

    return numbers


def _removal(root: Path, last: Commit, commits: list[Commit], wall_ns: int) -> Intent:
    """info.json first: from then on nothing refers to the episode's files, which follow."""
    folder = episode_folder(last.episode_index)
    away = f"{REMOVED}/{last.journal_id}"
    steps = []
    for name in (INFO, STATS, TASKS):
        kept = f"{folder}/{BEFORE}/{Path(name).name}"
        if (root / kept).exists():
            steps.append((kept, name))
        elif last.episode_index == 0:
            steps.append((name, f"{away}/{name}"))
    for name in last.files:
        if not name.startswith(SIDECAR) and name not in (INFO, STATS, TASKS):
            steps.append((name, f"{away}/{name}"))
    steps.append((f"{folder}/episode.json", f"{away}/episode.json"))
    steps.append((f"{folder}/evidence.parquet", f"{away}/evidence.parquet"))
    for name in (QUALITY, VIEWS):  # episodes of earlier versions have none
        if (root / folder / name).exists():
            steps.append((f"{folder}/{name}", f"{away}/{name}"))
    before = root / folder / BEFORE / Path(INFO).name
    info = msgspec.json.decode(before.read_bytes()) if before.exists() else {"total_frames": 0}
    digest = sha256_of(before) if before.exists() else ""
    earlier = commits[: commits.index(last)]
    known = bool(earlier) and earlier[-1].info_sha256 == digest
    commit = Commit(
        kind="remove",
        journal_id=last.journal_id,
        episode_index=last.episode_index,
        rows=last.rows,
        total_frames=int(info["total_frames"]),
        wall_ns=wall_ns,
        info_sha256=digest,
        places=earlier[-1].places if known else {},
    )
    return Intent(steps=tuple(steps), commit=commit)
