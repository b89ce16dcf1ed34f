"""Recorded datasets to edit, and what is asked of them after an edit."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from daemon.recorder import catalog, dataset, edits, transaction
from daemon.recorder.history import changes
from daemon.recorder.info import load_info
from daemon.recorder.labels import said
from daemon.recorder.relabel import relabel_journal
from daemon.recorder.schema import CameraSpec, EpisodeSpec
from daemon.recorder.transaction import read_commits, standing

from ..recording.episodes import HEIGHT, WIDTH, make_spec, write_episode
from ..recording.test_dataset import content

ONE_CAMERA = (CameraSpec("overhead", WIDTH, HEIGHT),)
COUNTING = ("index", "episode_index", "task_index")
type Open = Callable[[Path], Any]


def record(root: Path, episodes: list[range], **changes: Any) -> EpisodeSpec:
    """Episodes of these row numbers; their journals are called by their first row."""
    spec = make_spec(root, cameras=ONE_CAMERA, units_confirmed=True, **changes)
    for numbers in episodes:
        journal = write_episode(
            root.parent / "journals" / f"{root.name}-{numbers.start}",
            spec,
            len(numbers),
            first=numbers.start,
        )
        dataset.publish(journal)
        shutil.rmtree(journal)
    return spec


seconds = itertools.count()


def now() -> int:
    """A clock that goes on by a second whenever it is asked."""
    return 1_800_000_000_000_000_000 + next(seconds) * 10**9


def delete(root: Path, *numbers: int) -> transaction.Commit:
    return edits.delete(root, lambda _: set(numbers), str(numbers), now)


def undo(root: Path) -> None:
    last = changes(read_commits(root))[-1]
    if last.kind == "keep":
        dataset.remove_last(root, journal_id=last.journal_id)
    else:
        edits.undo(root, last, now)


def journals_of(root: Path) -> list[str]:
    """Whose evidence lies beside each episode, which must be what the records say."""
    found = [catalog.read_episode_about(root, n) for n in range(load_info(root)["total_episodes"])]
    kept = standing(read_commits(root))
    for index, about in enumerate(found):
        assert about is not None and about.episode_index == index
        assert kept[about.journal_id].episode_index == index
        assert kept[about.journal_id].rows == about.rows
        evidence = pq.read_table(root / f"robotd/episodes/episode-{index:06d}/evidence.parquet")
        assert evidence.num_rows == about.rows
    assert len(kept) == len(found)
    return [about.journal_id for about in found if about is not None]


def whole(root: Path) -> dict[str, bytes]:
    """Every file that LeRobot sees, and what was said of each episode."""
    pages = sorted((root / "robotd/episodes").glob("*/episode.json"))
    return content(root) | {page.relative_to(root).as_posix(): page.read_bytes() for page in pages}


def label_by_key(root: Path, journal_id: str, success: bool | None, note: str | None) -> None:
    relabel_journal(root, journal_id, lambda page: said(page, success, note), now)
