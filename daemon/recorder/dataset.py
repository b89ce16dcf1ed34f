"""From a kept journal to an episode of a LeRobotDataset v3.0, and back out again.

One data, one meta and one video file per episode, always new files; `info.json` is the last to
change, so that at any instant LeRobot loads either the dataset before or the one after. Evidence
and labels go to `robotd/episodes/`, beside what LeRobot reads.
"""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon.recorder import removal, swap
from daemon.recorder.durable import disk_error
from daemon.recorder.info import INFO, check_fits, load_info
from daemon.recorder.quality.files import read_verdict
from daemon.recorder.quality.finding import Verdict
from daemon.recorder.quality.gate import hold_back
from daemon.recorder.schema import EpisodeSpec, Manifest
from daemon.recorder.soundness import check_units
from daemon.recorder.staging import episode_folder, stage_episode
from daemon.recorder.stored import read_manifest, save_manifest, verify
from daemon.recorder.transaction import (
    PATIENCE_S,
    SIDECAR,
    Commit,
    Intent,
    begin,
    finish,
    locked,
    read_commits,
    read_intent,
    roll_back,
    standing,
    standing_commit,
    unsettled,
)
from robotd.errors import DatasetError, StateError

REMOVED = swap.REMOVED
remove_last = removal.remove_last
_START_PATIENCE_S = 1.0  # of a recorder that is about to start an episode

type WallClock = Callable[[], int]


def check_dataset(root: Path, spec: EpisodeSpec) -> None:
    """Raise DatasetError when episodes of `spec` could not join `root`. Changes nothing.

    Reads no more than the first file; whether all others are whole is `soundness.check_sound`.
    """
    info = load_info(root)
    if info is not None:
        check_fits(info, spec, root)
        check_units(root, spec)
    elif (
        any((root / name).exists() for name in ("data", "videos", "meta"))
        and not (root / SIDECAR).exists()
    ):
        raise DatasetError(
            f"{root} holds files but no {INFO}.",
            "It is no LeRobot dataset, or its recording was killed before the first episode.",
            "Choose another dataset name, or move the folder away.",
        )


def publish(journal: Path, *, wall_ns: WallClock = time.time_ns) -> Commit:
    """Put a kept, closed journal into its dataset, making the dataset if there is none.

    Doing it again changes nothing. Raises DatasetError (nothing changed) when the journal is not
    whole or does not fit the dataset, and DiskFullError.
    """
    manifest = read_manifest(journal)
    root = Path(manifest.spec.dataset_root)
    if not manifest.kept or manifest.state not in ("closed", "published", "committed"):
        raise StateError(
            f"Episode {manifest.journal_id} is {manifest.state} and not kept.",
            "Only an episode that was ended and kept goes into the dataset.",
            "Keep it first.",
        )
    check_dataset(root, manifest.spec)
    try:
        with locked(root, PATIENCE_S):
            if swap.settle(root) is not None:
                check_dataset(root, manifest.spec)  # it may not have been there a moment ago
            commit = standing_commit(root, manifest.journal_id)
            if commit is None:
                manifest = verify(journal, manifest)
                try:
                    intent = stage_episode(root, journal, manifest, wall_ns())
                    hold_back(journal, manifest, staged_verdict(root, intent))
                    begin(root, intent)
                except BaseException:
                    roll_back(root)  # what was staged may be what fills the disk
                    raise
                commit = finish(root) or intent.commit
                manifest = msgspec.structs.replace(manifest, state="published")
                save_manifest(journal, manifest)
    except OSError as error:
        raise disk_error(error, root) from error
    _mark_committed(journal, manifest, commit)
    return commit


def staged_verdict(root: Path, intent: Intent) -> Verdict | None:
    """What the quality gate said of the episode that `intent` will bring."""
    return read_verdict(root / intent.staging / episode_folder(intent.commit.episode_index))


def verdict_of(root: Path, commit: Commit) -> Verdict | None:
    """What the quality gate said of an episode that is in the dataset."""
    return read_verdict(root / episode_folder(commit.episode_index))


def recover(root: Path, journals: Path) -> list[Commit]:
    """Finish or roll back whatever a crash left of a change to `root`; returns what was finished.

    Journals of this dataset that turn out to be in it are marked committed.
    """
    if not unsettled(root):
        return []
    with locked(root, _START_PATIENCE_S):
        finished = swap.settle(root)
        kept = standing(read_commits(root))
    for journal in sorted(journals.iterdir()) if journals.exists() else []:
        commit = kept.get(journal.name)
        if commit is not None:
            _mark_committed(journal, read_manifest(journal), commit)
    return [finished] if finished is not None else []


def holds(root: Path, journal_id: str) -> bool:
    """Whether the episode of that journal is in the dataset, or on its way beyond return."""
    intent = read_intent(root)
    commits = read_commits(root)
    if intent is not None and intent.commit not in commits:
        commits.append(intent.commit)
    return journal_id in standing(commits)


def _mark_committed(journal: Path, manifest: Manifest, commit: Commit) -> None:
    if manifest.state != "committed":
        index = commit.episode_index
        done = msgspec.structs.replace(manifest, state="committed", episode_index=index)
        save_manifest(journal, done)
