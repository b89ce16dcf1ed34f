"""A person's recording session: start, keep, discard, undo, and what a crash left to decide.

Keeping an episode closes its journal and queues it; publishing runs where the caller wants it (a
thread of the recorder process, or inline in lock-step), so the next episode starts at once. The
journals folder belongs to one session at a time.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from daemon.recorder import dataset, edits
from daemon.recorder.disk import (
    Budget,
    DiskLimits,
    FreeBytes,
    free_bytes_of,
    guessed_bytes_per_s,
    make_room,
)
from daemon.recorder.durable import AppendFile
from daemon.recorder.failure import explained
from daemon.recorder.journal import EpisodeJournal, Frames, OpenFile
from daemon.recorder.lane import InlineLane, OpenLane
from daemon.recorder.schema import (
    EpisodeSpec,
    Label,
    Manifest,
    Row,
    Stamp,
    machine_stamp,
)
from daemon.recorder.shelf import Shelf
from daemon.recorder.standby import STANDBY, Standby
from daemon.recorder.stored import save_manifest
from daemon.recorder.syncing import Syncer, ThreadSyncer
from daemon.recorder.transaction import remove_tree
from robotd.errors import DatasetError, DiskFullError, RobotdError, StateError

_INTERRUPT_PATIENCE_S = 2.0
"""An encoder may stand still for a second and nothing is lost; this is twice that."""


class Session(Shelf):
    """Records episodes into journals under `journals` and publishes the kept ones.

    `append`, `keep` and `discard` belong to one thread; `publish_pending` may run in another.
    Without a `syncer` a thread of the session's own syncs; `open_lane` says who encodes.
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
        syncer: Syncer | None = None,
        open_lane: OpenLane = InlineLane,
    ) -> None:
        super().__init__(journals, stamp)
        remove_tree(journals.parent / STANDBY)  # of a recorder that was killed: nobody kept it
        self._limits = limits or DiskLimits()
        self._now_ns = now_ns
        self._free_bytes = free_bytes
        self._open_file = open_file
        self._open_lane = open_lane
        self._budget = Budget()
        self._queued_bytes: dict[Path, int] = {}  # of journals that wait for their dataset
        self._open: EpisodeJournal | None = None
        self._newest: EpisodeJournal | None = None  # open or ended
        self._syncer = syncer or ThreadSyncer()

    def close(self) -> None:
        """End the session: a running episode is closed and offered at the next start."""
        try:
            if self._open is not None:
                self.interrupt("the recorder was stopped while it recorded")
        finally:
            self._syncer.close()
            super().close()

    @property
    def recording(self) -> Manifest | None:
        """The manifest of the running episode."""
        return None if self._open is None else self._open.manifest

    @property
    def rows(self) -> int:
        """Rows of the running episode."""
        return 0 if self._open is None else self._open.rows

    @property
    def lagged(self) -> int:
        """Pictures of the newest episode for which an encoder was too late."""
        return 0 if self._newest is None else self._newest.lagged

    @property
    def crowded(self) -> bool:
        """Whether an encoder would not take the next picture of the running episode."""
        return self._open is not None and self._open.crowded

    @property
    def behind_s(self) -> float:
        """How far the encoders are behind the newest episode."""
        return 0.0 if self._newest is None else self._newest.behind_s

    def start(self, spec: EpisodeSpec, length_s: float | None = None) -> Manifest:
        """Begin an episode, of `length_s` at most; None: as long as others.

        Raises StateError, DatasetError or DiskFullError, nothing changed.
        """
        if self._open is not None:
            raise StateError(
                "An episode is already being recorded.",
                "It was neither kept nor discarded.",
                "Keep (→) or discard (←) it first.",
            )
        root = Path(spec.dataset_root)
        with explained(f"{root} cannot be checked", root):
            dataset.check_dataset(root, spec)
        if self._publishing.acquire(blocking=False):  # else the publisher sees to it
            try:
                self._settle(root)
            finally:
                self._publishing.release()
        limits = self._limits_for(spec, length_s)
        make_room(self._journals, self._spare(spec), limits, self._free_bytes)
        make_room(root, [], limits, self._free_bytes)  # it may be another disk
        self._note(root)
        started = self._stamp()
        self._open = EpisodeJournal.create(
            self._new_folder(started),
            spec,
            started=started,
            now_ns=self._now_ns,
            open_file=self._open_file,
            syncer=self._syncer,
            open_lane=self._open_lane,
        )
        self._newest = self._open
        return self._open.manifest

    def _new_folder(self, started: Stamp) -> Path:
        moment = datetime.fromtimestamp(started.wall_ns // 10**9, UTC).strftime("%Y%m%d-%H%M%S")
        token = secrets.token_hex(3)
        return self._journals / f"{moment}-{started.wall_ns % 10**9:09d}-{token}"

    def standby(self, keep_s: float) -> Standby:
        """Something that holds the last `keep_s` seconds while no episode is recorded."""
        return Standby(
            self._journals.parent / STANDBY,
            keep_s,
            open_lane=self._open_lane,
            stamp=self._stamp,
            limits=self._limits,
        )

    def keep_last(
        self,
        standby: Standby,
        rows: int,
        label: Label,
        task: str,
        kept: Callable[[Manifest], None],
        failed: Callable[[RobotdError], None],
    ) -> None:
        """Queue the newest `rows` rows that `standby` holds as a kept episode."""

        def queued(manifest: Manifest) -> None:
            self._pending.append(self._journals / manifest.journal_id)
            kept(manifest)

        folder = self._new_folder(self._stamp())
        standby.keep(folder, rows, label, task, queued, failed)

    def append(self, row: Row, frames: Frames) -> None:
        """Add a row and its frames to the running episode.

        Raises DatasetError with nothing written when the row cannot be stored, and DiskFullError
        when the disk is, or is about to be, full: the episode is then closed, whole as far as it
        was flushed, and offered like one that a crash interrupted.
        """
        journal = self._running()
        try:
            journal.append(row, frames)
        except DatasetError as error:
            if journal.manifest.state != "recording":
                self._open = None
                self._unfinished[journal.folder] = error.what
            raise
        # Publishing copies the episode once more before the journal goes.
        needed = self._limits.stop_below_bytes + journal.bytes_written + self._waiting_bytes()
        if self._free_bytes(self._journals) < needed:
            self.interrupt("the disk was almost full")
            raise DiskFullError(
                f"Recording was ended after {journal.rows} rows: the disk is almost full.",
                "Recordings, or something else on this disk, used up its space.",
                "Free space (`df -h`), then keep or discard the episode, which is whole: "
                "robotd dataset recover.",
            )

    def flush(self) -> None:
        """Write and sync what is pending; for the caller's idle time. Raises as `append` does."""
        if self._open is not None:
            journal = self._open
            try:
                journal.flush()
            except DatasetError as error:
                self._open = None
                self._unfinished[journal.folder] = error.what
                raise

    def annotate(self, change: Callable[[Manifest], Manifest]) -> Manifest:
        """Change what is said of the running episode (label, marks). Raises as `start` does."""
        return self._running().annotate(change)

    def keep(self, label: Label | None = None) -> Manifest:
        """End the running episode and queue it for its dataset."""
        return self.end(label)()

    def end(self, label: Label | None = None) -> Callable[[], Manifest]:
        """End the running episode: what is returned closes it and queues it for its dataset, in any
        thread, and raises as `EpisodeJournal.close`. The next one may start before."""
        journal = self._running()
        self._open = None

        def finish() -> Manifest:
            with self._ending(journal):
                manifest = journal.close(label, kept=True)
            self._ended(journal)  # only now is everything written
            if manifest.kept:
                self._queued_bytes[journal.folder] = journal.bytes_written
                self._pending.append(journal.folder)
            return manifest

        return finish

    def discard(self, reason: str = "discarded") -> Manifest:
        """End the running episode as unwanted. Its files stay until space is needed."""
        journal = self._running()
        self._open = None
        self._ended(journal)
        with self._ending(journal):
            journal.discard(reason)
        return journal.manifest

    def interrupt(self, reason: str) -> Manifest:
        """End the running episode undecided: whole as far as it went, and offered.

        Nobody asked to keep it, and whoever ends it may be waited for (by a stop, by the rows' own
        thread): an encoder that hangs is given up sooner than at a keep. It costs the pictures that
        wait for it; what it encoded is on the disk.
        """
        journal = self._running()
        self._open = None
        with self._ending(journal):
            manifest = journal.close(patience_s=_INTERRUPT_PATIENCE_S)
            if manifest.state == "closed":
                manifest = msgspec.structs.replace(manifest, state="interrupted", reason=reason)
                save_manifest(journal.folder, manifest)
        return manifest

    def left_s(self, root: Path, guess_bytes_per_s: float) -> float | None:
        """How long can be recorded, by what recording took so far (`guess_bytes_per_s` before it
        took anything), on the journals' disk and on that of the dataset `root`; None where a disk
        does not answer. What is recorded and what waits is still to be copied into the dataset."""
        journal = self._open
        running = (0, 0.0)
        if journal is not None:
            running = (journal.bytes_written, journal.rows / journal.manifest.spec.fps)
        try:
            free = min(self._free_bytes(self._journals), self._free_bytes(root))
        except OSError:
            return None
        room = free - self._limits.stop_below_bytes - running[0] - self._waiting_bytes()
        return max(0.0, room / max(self._budget.bytes_per_s(guess_bytes_per_s, running), 1.0))

    def _limits_for(self, spec: EpisodeSpec, length_s: float | None) -> DiskLimits:
        wanted = self._budget.wanted_bytes(_guess(spec), length_s) + self._waiting_bytes()
        least = max(self._limits.refuse_below_bytes, wanted + self._limits.stop_below_bytes)
        return msgspec.structs.replace(self._limits, refuse_below_bytes=least)

    def _waiting_bytes(self) -> int:
        """Of journals that are still to be copied into their dataset."""
        for folder in [each for each in list(self._queued_bytes) if not each.exists()]:
            del self._queued_bytes[folder]
        return sum(self._queued_bytes.values())

    def _ended(self, journal: EpisodeJournal) -> None:
        self._budget.ended(journal.bytes_written, journal.rows / journal.manifest.spec.fps)

    @contextmanager
    def _ending(self, journal: EpisodeJournal) -> Iterator[None]:
        """An episode whose end the disk did not take is ended when the disk works again."""
        try:
            yield
        except DatasetError as error:
            self._unfinished[journal.folder] = error.what
            raise

    def _running(self) -> EpisodeJournal:
        if self._open is None:
            raise StateError(
                "No episode is being recorded.",
                "It was kept, discarded, or ended by a full disk.",
                "Start one.",
            )
        return self._open

    def _spare(self, spec: EpisodeSpec) -> list[Path]:
        """What may go when space is needed: what a killed edit built, episodes undone and what
        edits replaced, and episodes discarded, each oldest first."""
        root = Path(spec.dataset_root)
        removed = root / dataset.REMOVED
        undone = sorted(removed.iterdir()) if removed.exists() else []
        discarded = [
            self._journals / manifest.journal_id
            for manifest in self._manifests()
            if manifest.state == "discarded"
        ]
        return [*edits.left_by_kill(root), *undone, *discarded]


def _guess(spec: EpisodeSpec) -> float:
    return guessed_bytes_per_s(sum(each.width * each.height for each in spec.cameras), spec.fps)
