"""A person's recording session: start, keep, discard, undo, and what a crash left to decide.

Keeping an episode closes its journal and queues it; publishing runs where the caller wants it (a
thread of the recorder process, or inline in lock-step), so the next episode starts at once. The
journals folder belongs to one session at a time.
"""

import contextlib
import fcntl
import os
import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from daemon.recorder import dataset
from daemon.recorder.disk import DiskLimits, FreeBytes, free_bytes_of, make_room
from daemon.recorder.durable import AppendFile, make_folder
from daemon.recorder.journal import EpisodeJournal, Frames, OpenFile
from daemon.recorder.schema import EpisodeSpec, Label, Manifest, Row, Stamp, machine_stamp
from daemon.recorder.stored import MANIFEST, read_manifest, recover_journal, save_manifest
from daemon.recorder.syncing import ThreadSyncer
from daemon.recorder.transaction import Commit, remove_tree
from robotd.errors import DatasetError, DiskFullError, RobotdError, StateError


class Published(msgspec.Struct, frozen=True):
    """What became of a kept episode: a commit, or an error (its journal stays, to be retried)."""

    journal_id: str
    commit: Commit | None
    error: RobotdError | None = None


class Recovered(msgspec.Struct, frozen=True):
    """What the start of a session found: to be published, to be decided on, and unreadable."""

    pending: tuple[str, ...]
    offered: tuple[Manifest, ...]
    unreadable: tuple[str, ...]


class Session:
    """Records episodes into journals under `journals` and publishes the kept ones.

    `append`, `keep` and `discard` belong to one thread; `publish_pending` may run in another.
    """

    def __init__(
        self,
        journals: Path,
        *,
        limits: DiskLimits | None = None,
        stamp: Callable[[], Stamp] = machine_stamp,
        now_ns: Callable[[], int] = time.monotonic_ns,
        free_bytes: FreeBytes = free_bytes_of,
        open_file: OpenFile = AppendFile,
    ) -> None:
        self._journals = journals
        self._limits = limits or DiskLimits()
        self._stamp = stamp
        self._now_ns = now_ns
        self._free_bytes = free_bytes
        self._open_file = open_file
        self._open: EpisodeJournal | None = None
        self._pending: list[Path] = []
        self._publishing = threading.Lock()
        make_folder(journals)
        self._lock_descriptor = _lock(journals)
        self._syncer = ThreadSyncer()

    def close(self) -> None:
        """End the session: a running episode is closed and offered at the next start."""
        if self._open is not None:
            self._open.close()
            self._open = None
        self._syncer.close()
        os.close(self._lock_descriptor)

    @property
    def recording(self) -> Manifest | None:
        """The manifest of the running episode."""
        return None if self._open is None else self._open.manifest

    @property
    def rows(self) -> int:
        """Rows of the running episode."""
        return 0 if self._open is None else self._open.rows

    @property
    def pending(self) -> tuple[str, ...]:
        """Kept episodes that are not in their dataset yet, oldest first."""
        return tuple(path.name for path in self._pending)

    def recover(self) -> Recovered:
        """Bring order into what an earlier process left. Call once, before the first episode."""
        offered, unreadable = [], []
        for folder in self._folders():
            if not (folder / MANIFEST).exists():
                remove_tree(folder)  # killed while it was being made: it never had a row
                continue
            try:
                manifest = read_manifest(folder)
                if manifest.state == "recording":
                    manifest = recover_journal(folder, "robotd was stopped while it recorded")
                if manifest.kept and manifest.state in ("closed", "published"):
                    self._pending.append(folder)
                elif manifest.state in ("closed", "interrupted"):
                    offered.append(manifest)
                elif manifest.state == "committed":
                    remove_tree(folder)
            except DatasetError as error:
                unreadable.append(error.what)
        waiting = [manifest for manifest in self._manifests() if manifest.kept]
        for root in {manifest.spec.dataset_root for manifest in waiting}:
            try:
                dataset.recover(Path(root), self._journals)
            except RobotdError as error:  # publishing will meet it again, and report it
                unreadable.append(error.what)
        return Recovered(pending=self.pending, offered=tuple(offered), unreadable=tuple(unreadable))

    def start(self, spec: EpisodeSpec) -> Manifest:
        """Begin an episode. Raises StateError, DatasetError or DiskFullError, nothing changed."""
        if self._open is not None:
            raise StateError(
                "An episode is already being recorded.",
                "It was neither kept nor discarded.",
                "Keep (→) or discard (←) it first.",
            )
        root = Path(spec.dataset_root)
        dataset.check_dataset(root, spec)
        if self._publishing.acquire(blocking=False):  # else the publisher sees to it
            try:
                dataset.recover(root, self._journals)
            finally:
                self._publishing.release()
        make_room(self._journals, self._spare(spec), self._limits, self._free_bytes)
        make_room(root, [], self._limits, self._free_bytes)  # it may be another disk
        started = self._stamp()
        moment = datetime.fromtimestamp(started.wall_ns // 10**9, UTC).strftime("%Y%m%d-%H%M%S")
        journal_id = f"{moment}-{started.wall_ns % 10**9:09d}-{secrets.token_hex(3)}"
        self._open = EpisodeJournal.create(
            self._journals / journal_id,
            spec,
            started=started,
            now_ns=self._now_ns,
            open_file=self._open_file,
            syncer=self._syncer,
        )
        return self._open.manifest

    def append(self, row: Row, frames: Frames) -> None:
        """Add a row and its frames to the running episode.

        Raises DatasetError with nothing written when the row cannot be stored, and DiskFullError
        when the disk is, or is about to be, full: the episode is then closed, whole as far as it
        was flushed, and offered like one that a crash interrupted.
        """
        journal = self._running()
        try:
            journal.append(row, frames)
        except DatasetError:
            if journal.manifest.state != "recording":
                self._open = None
            raise
        # Publishing copies the episode once more before the journal goes.
        needed = self._limits.stop_below_bytes + journal.bytes_written
        if self._free_bytes(self._journals) < needed:
            journal.close()
            self._open = None
            raise DiskFullError(
                f"Recording was ended after {journal.rows} rows: the disk is almost full.",
                "Recordings, or something else on this disk, used up its space.",
                "Free space (`df -h`), then keep or discard the episode: it is whole.",
            )

    def flush(self) -> None:
        """Write and sync what is pending; for the caller's idle time. Raises as `append` does."""
        if self._open is not None:
            try:
                self._open.flush()
            except DatasetError:
                self._open = None
                raise

    def keep(self, label: Label | None = None) -> Manifest:
        """End the running episode and queue it for its dataset."""
        journal = self._running()
        self._open = None
        manifest = journal.close(label, kept=True)
        if manifest.kept:
            self._pending.append(journal.folder)
        return manifest

    def discard(self, reason: str = "discarded") -> Manifest:
        """End the running episode as unwanted. Its files stay until space is needed."""
        journal = self._running()
        self._open = None
        journal.discard(reason)
        return journal.manifest

    def publish_pending(self) -> list[Published]:
        """Put every queued episode into its dataset, in order; one that fails stays queued."""
        results = []
        with self._publishing:
            for folder in list(self._pending):
                try:
                    commit = dataset.publish(folder, wall_ns=lambda: self._stamp().wall_ns)
                except RobotdError as error:
                    results.append(Published(folder.name, None, error))
                    continue
                self._pending.remove(folder)
                remove_tree(folder)
                results.append(Published(folder.name, commit))
        return results

    def undo(self, root: Path) -> str:
        """Take back the last keep into the dataset `root`; returns its journal id.

        One that still waits is discarded; one that is in the dataset is removed from it. Raises
        StateError when there is nothing of ours to undo.
        """
        with self._publishing:
            for folder in reversed(self._pending):
                manifest = read_manifest(folder)
                if Path(manifest.spec.dataset_root) == root and manifest.state == "closed":
                    self._pending.remove(folder)
                    save_manifest(folder, _decided(manifest, keep=False, reason="undone"))
                    return folder.name
            return dataset.remove_last(root, wall_ns=lambda: self._stamp().wall_ns).journal_id

    def offered(self) -> list[Manifest]:
        """Episodes that nobody decided on: interrupted, or ended without keep or discard."""
        return [
            manifest
            for manifest in self._manifests()
            if manifest.state in ("interrupted", "closed") and not manifest.kept
        ]

    def decide(self, journal_id: str, *, keep: bool, label: Label | None = None) -> Manifest:
        """Keep or discard an offered episode. Raises StateError when there is none of that id."""
        match = [manifest for manifest in self.offered() if manifest.journal_id == journal_id]
        if not match:
            raise StateError(
                f"There is no interrupted episode {journal_id}.",
                "It was decided on already, or the name is misspelt.",
                "List them with `robotd dataset recover`.",
            )
        manifest = _decided(match[0], keep=keep, reason=match[0].reason, label=label)
        save_manifest(self._journals / journal_id, manifest)
        if keep:
            self._pending.append(self._journals / journal_id)
        return manifest

    def minutes_left(self, bytes_per_s: float) -> float:
        """How long can be recorded at that rate before an episode would be ended."""
        room = self._free_bytes(self._journals) - self._limits.stop_below_bytes
        return max(0.0, room / max(bytes_per_s, 1.0) / 60.0)

    def _running(self) -> EpisodeJournal:
        if self._open is None:
            raise StateError(
                "No episode is being recorded.",
                "It was kept, discarded, or ended by a full disk.",
                "Start one.",
            )
        return self._open

    def _folders(self) -> list[Path]:
        return sorted(path for path in self._journals.iterdir() if path.is_dir())

    def _manifests(self) -> list[Manifest]:
        """Of every journal that has a readable one; publishing may remove some meanwhile."""
        manifests = []
        for folder in self._folders():
            with contextlib.suppress(DatasetError):  # `recover` named it
                manifests.append(read_manifest(folder))
        return manifests

    def _spare(self, spec: EpisodeSpec) -> list[Path]:
        """What may go when space is needed: episodes undone and discarded, oldest first."""
        removed = Path(spec.dataset_root) / dataset.REMOVED
        undone = sorted(removed.iterdir()) if removed.exists() else []
        return undone + [
            self._journals / manifest.journal_id
            for manifest in self._manifests()
            if manifest.state == "discarded"
        ]


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
