"""The shelf of journals: what waits for its dataset, what waits for a person, and what became of it.

Publishing runs where the caller wants it: in a thread of the recorder process, or inline in
lock-step. The journals folder belongs to one process at a time.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon.recorder import dataset
from daemon.recorder.durable import append_line, disk_error, make_folder, sync_folder
from daemon.recorder.failure import explained
from daemon.recorder.gathered import Gathered, gathered
from daemon.recorder.quality.finding import Verdict
from daemon.recorder.quality.gate import HeldBackError
from daemon.recorder.relabel import relabel_journal
from daemon.recorder.schema import (
    EpisodeSpec,
    Label,
    Manifest,
    Stamp,
    check_spec,
)
from daemon.recorder.soundness import check_sound
from daemon.recorder.stored import (
    MANIFEST,
    in_order,
    read_manifest,
    recover_journal,
    save_manifest,
    verify,
)
from daemon.recorder.transaction import Commit, remove_tree
from robotd.errors import DatasetError, RobotdError, StateError

_DATASETS = "datasets.txt"


class Published(msgspec.Struct, frozen=True):
    """What became of a kept episode: a commit, or an error (its journal stays, to be retried; after
    a HeldBackError it waits for a person). `verdict` is the quality gate's, where it came so far,
    `gathered` says of its dataset how many files could be fewer."""

    journal_id: str
    commit: Commit | None
    error: RobotdError | None = None
    verdict: Verdict | None = None
    gathered: Gathered | None = None


class Recovered(msgspec.Struct, frozen=True):
    """What the start of a session found: to be published, to be decided on, and unreadable."""

    pending: tuple[str, ...]
    offered: tuple[Manifest, ...]
    unreadable: tuple[str, ...]


class Shelf:
    """The episodes under `journals` that have ended.

    `publish_pending`, `undo` and `decide` may run in another thread than the rest.
    """

    def __init__(self, journals: Path, stamp: Callable[[], Stamp]) -> None:
        self._journals = journals
        self._stamp = stamp
        self._pending: list[Path] = []
        self._publishing = threading.Lock()
        self._unfinished: dict[Path, str] = {}  # ended, but the disk did not take the end: why
        make_folder(journals)
        sync_folder(journals.parent)  # who made it may have been killed before that
        self._lock_descriptor = _lock(journals)

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._lock_descriptor)

    @property
    def pending(self) -> tuple[str, ...]:
        """Kept episodes that are not in their dataset yet, oldest first."""
        return tuple(path.name for path in self._pending)

    def recover(self) -> Recovered:
        """Bring order into what an earlier process left. Call once, before the first episode."""
        pending: list[Manifest] = []
        offered: list[Manifest] = []
        unreadable: list[str] = []
        for folder in self._folders():
            if not (folder / MANIFEST).exists():
                remove_tree(folder)  # killed while it was being made: it never had a row
                continue
            try:
                manifest = read_manifest(folder)
                if manifest.state == "recording":
                    with explained(f"Episode {folder.name} cannot be made whole", folder):
                        manifest = recover_journal(folder, "robotd was stopped while it recorded")
                if manifest.kept and manifest.state in ("closed", "published"):
                    pending.append(manifest)
                elif manifest.state in ("closed", "interrupted"):
                    offered.append(manifest)
                elif manifest.state == "committed":
                    remove_tree(folder)
            except DatasetError as error:
                unreadable.append(error.what)
        self._pending += [self._journals / each.journal_id for each in in_order(pending)]
        # An undo leaves no journal that names its dataset, and may be half done all the same.
        waiting = [manifest for manifest in self._manifests() if manifest.kept]
        for root in {manifest.spec.dataset_root for manifest in waiting} | self._noted():
            try:
                self._settle(Path(root))
            except RobotdError as error:  # publishing will meet it again, and report it
                unreadable.append(error.what)
        return Recovered(self.pending, tuple(in_order(offered)), tuple(unreadable))

    def check(self, spec: EpisodeSpec) -> None:
        """Raise DatasetError when episodes of `spec` could not be published: before recording them.

        While something is being published nothing but the schema is looked at.
        """
        check_spec(spec)
        root = Path(spec.dataset_root)
        with explained(f"{root} cannot be checked", root):
            dataset.check_dataset(root, spec)
            if self._publishing.acquire(blocking=False):
                try:
                    self._settle(root)
                    check_sound(root, spec)
                finally:
                    self._publishing.release()

    def _note(self, root: Path) -> None:
        """Remember, across a crash, that episodes go into the dataset `root`."""
        path = self._journals / _DATASETS
        if str(root) in self._noted():
            return
        try:
            append_line(path, str(root).encode())
        except OSError as error:
            raise disk_error(error, path) from error

    def _noted(self) -> set[str]:
        """Every dataset that episodes of this shelf went into; of a torn line nothing is known."""
        path = self._journals / _DATASETS
        lines = path.read_bytes().splitlines() if path.exists() else []
        return {line.decode(errors="replace") for line in lines if line.startswith(b"/")}

    def _settle(self, root: Path) -> None:
        with explained(f"What was being saved into {root} cannot be finished", root):
            dataset.recover(root, self._journals)

    def publish_pending(self) -> list[Published]:
        """Put every queued episode into its dataset, in order; one that fails stays queued."""
        results = []
        with self._publishing:
            for folder in list(self._pending):
                try:
                    with explained(f"Episode {folder.name} cannot be saved", folder):
                        commit = dataset.publish(folder, wall_ns=lambda: self._stamp().wall_ns)
                        spec = read_manifest(folder).spec
                        verdict = dataset.verdict_of(Path(spec.dataset_root), commit)
                except HeldBackError as error:
                    self._pending.remove(folder)
                    results.append(Published(folder.name, None, error, error.verdict))
                    continue
                except RobotdError as error:
                    results.append(Published(folder.name, None, error))
                    continue
                self._pending.remove(folder)
                remove_tree(folder)
                results.append(Published(folder.name, commit, None, verdict, _gathered(spec)))
        return results

    def undo(self, root: Path, journal_id: str) -> None:
        """Take back the keep of `journal_id`, the last one into the dataset `root`.

        One that still waits is discarded; one that is in the dataset is removed from it. Raises
        StateError, nothing changed, when another episode is the last one there, and DatasetError.
        """
        with self._publishing, explained(f"Episode {journal_id} cannot be taken out", root):
            for folder in list(self._pending):
                if folder.name != journal_id:
                    continue
                manifest = read_manifest(folder)
                there = manifest.state != "closed" or dataset.holds(root, journal_id)
                save_manifest(folder, _decided(manifest, keep=False, reason="undone"))
                self._pending.remove(folder)  # or the next one saved would bring it back
                if not there:
                    return
            wall_ns = self._stamp().wall_ns
            dataset.remove_last(root, journal_id=journal_id, wall_ns=lambda: wall_ns)

    def relabel(
        self, root: Path, journal_id: str, change: Callable[[Manifest], Manifest]
    ) -> Manifest:
        """Change what is said of a kept episode, in its journal or in the dataset `root`.

        Raises StateError when it is in neither, and DatasetError; nothing is changed then.
        """
        with self._publishing, explained(f"Episode {journal_id} cannot be labelled", root):
            folder = self._journals / journal_id
            if not dataset.holds(root, journal_id) and (folder / MANIFEST).exists():
                after = change(read_manifest(folder))
                save_manifest(folder, after)
                return after
            return relabel_journal(root, journal_id, change, lambda: self._stamp().wall_ns)

    def offered(self) -> list[Manifest]:
        """Episodes that nobody decided on: interrupted, or ended without keep or discard."""
        self._finish_off()
        return [
            manifest
            for manifest in self._manifests()
            if manifest.state in ("interrupted", "closed") and not manifest.kept
        ]

    def kept(self) -> list[Manifest]:
        """Episodes that were kept and are not in their dataset yet."""
        return [
            manifest
            for manifest in self._manifests()
            if manifest.kept and manifest.state == "closed"
        ]

    def decide(
        self,
        journal_id: str,
        *,
        keep: bool,
        into: tuple[Path, str] | None = None,
        label: Label | None = None,
    ) -> Manifest:
        """Keep or discard an offered episode, or a kept one that its dataset did not take; or keep
        one that was set aside (discarded), while its files are there.

        `into` is the root and name of another dataset to keep it in. Files that are not whole are
        cut to what all of them have. Raises StateError when there is none of that id, and
        DatasetError, nothing changed, when the other dataset could not take it.
        """
        folder = self._journals / journal_id
        with self._publishing, explained(f"Episode {journal_id} cannot be decided on", folder):
            manifest = self._undecided(journal_id, aside=keep)
            reason = manifest.reason
            if into is not None:
                manifest = _moved(manifest, *into)
                dataset.check_dataset(into[0], manifest.spec)
                check_sound(into[0], manifest.spec)
            if keep and manifest.state == "closed":
                manifest = _whole(folder, manifest)
            if manifest.state == "discarded":
                manifest = _cut(folder, manifest, reason)
                if not manifest.rows:
                    raise DatasetError(
                        f"Nothing of episode {journal_id} is on the disk.",
                        "It was set aside before its first rows were written.",
                        "Record it again.",
                    )
            manifest = _decided(manifest, keep=keep, reason=reason or manifest.reason, label=label)
            save_manifest(folder, manifest)
            if folder in self._pending:
                self._pending.remove(folder)
            if keep:
                self._pending.append(folder)
        return manifest

    def _undecided(self, journal_id: str, *, aside: bool) -> Manifest:
        waiting = [
            manifest
            for manifest in self.kept()
            if not dataset.holds(Path(manifest.spec.dataset_root), manifest.journal_id)
        ]
        discarded = [
            each for each in self._manifests() if aside and each.state == "discarded" and each.rows
        ]
        for manifest in (*self.offered(), *waiting, *discarded):
            if manifest.journal_id == journal_id:
                return manifest
        raise StateError(
            f"There is no interrupted episode {journal_id}.",
            "It was decided on already, or the name is misspelt.",
            "List them: robotd dataset recover.",
        )

    def _finish_off(self) -> None:
        """End what the disk did not let end, if it works by now; else the next start does."""
        for folder, reason in list(self._unfinished.items()):
            with contextlib.suppress(OSError, DatasetError):
                manifest = read_manifest(folder)
                kept = manifest.kept and folder not in self._pending
                if manifest.state == "recording" or kept:
                    recover_journal(folder, reason)
                del self._unfinished[folder]

    def _folders(self) -> list[Path]:
        return sorted(path for path in self._journals.iterdir() if path.is_dir())

    def _manifests(self) -> list[Manifest]:
        """Of every journal that has a readable one; publishing may remove some meanwhile."""
        manifests = []
        for folder in self._folders():
            with contextlib.suppress(DatasetError):  # `recover` named it
                manifests.append(read_manifest(folder))
        return manifests


def _gathered(spec: EpisodeSpec) -> Gathered | None:
    root = Path(spec.dataset_root)
    with contextlib.suppress(OSError, DatasetError):  # what is offered, no more, hangs on it
        return Gathered(root, spec.repo_id, gathered(root))
    return None


def _decided(
    manifest: Manifest, *, keep: bool, reason: str, label: Label | None = None
) -> Manifest:
    return msgspec.structs.replace(
        manifest,
        state="closed" if keep else "discarded",
        kept=keep,
        reason=reason,
        label=label or manifest.label,
    )


def _moved(manifest: Manifest, root: Path, repo_id: str) -> Manifest:
    """The episode on its way to another dataset, of whose units nobody said anything yet."""
    spec = msgspec.structs.replace(
        manifest.spec, dataset_root=str(root), repo_id=repo_id, units_confirmed=False
    )
    return msgspec.structs.replace(manifest, spec=spec)


def _whole(folder: Path, manifest: Manifest) -> Manifest:
    """`manifest`, of a journal cut to what all its files have if they differ.

    Raises DatasetError when no row is left.
    """
    try:
        verify(folder, manifest)
        return manifest
    except DatasetError as error:
        cut = _cut(folder, manifest, error.what)
        if not cut.rows:
            raise
        return cut


def _cut(folder: Path, manifest: Manifest, reason: str) -> Manifest:
    """`manifest` of a journal cut to what all its files have."""
    return msgspec.structs.replace(recover_journal(folder, reason), spec=manifest.spec)


def _lock(journals: Path) -> int:
    descriptor = os.open(journals / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StateError(
            f"Another recorder uses {journals}.",
            "A daemon of this robot is running, or has not ended yet.",
            "`robotd stop`, or give this one another name.",
        ) from error
    return descriptor
