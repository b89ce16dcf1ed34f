"""The last half minute, kept although nobody pressed record: journals that are written to be dropped.

Between two episodes rows go into one journal after the other, each as long as what can be kept; the
one before the last is removed. So there is always that much of the past, and never more than twice
that on the disk. What a person keeps is put together from both as one closed journal, cut at the
first key frame before the wished beginning; nothing is encoded again.

These journals lie in a folder of their own, where no start of the recorder takes them for episodes:
what nobody asked for before a crash is gone after it.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from daemon.recorder import joining, tables
from daemon.recorder.disk import DiskLimits, free_bytes_of
from daemon.recorder.durable import AppendFile, disk_error, make_folder, sync_file, sync_folder
from daemon.recorder.journal import EpisodeJournal, Frames, write_stream
from daemon.recorder.lane import OpenLane
from daemon.recorder.schema import EpisodeSpec, Label, Manifest, Row, Stamp
from daemon.recorder.stored import EVIDENCE, ROWS, save_manifest
from daemon.recorder.transaction import remove_tree
from daemon.recorder.worker import Worker
from robotd.errors import DatasetError, DiskFullError, RobotdError, StateError

STANDBY = "standby"
"""Its folder, beside that of the journals."""

type Kept = Callable[[Manifest], None]
type Failed = Callable[[RobotdError], None]


@dataclass(frozen=True, slots=True)
class _Part:
    """A journal of the past and how many rows it has."""

    journal: EpisodeJournal
    rows: int


class Standby:
    """Holds the newest `keep_s` seconds of rows under `folder`. Everything public is for the rows'
    thread; closing, joining and removing happen in a thread of its own."""

    def __init__(
        self,
        folder: Path,
        keep_s: float,
        *,
        open_lane: OpenLane,
        stamp: Callable[[], Stamp],
        limits: DiskLimits,
    ) -> None:
        self.keep_s = keep_s
        self._folder = folder
        self._open_lane = open_lane
        self._stamp = stamp
        self._limits = limits
        self._worker = Worker("standby")
        self._before: _Part | None = None
        self._now: EpisodeJournal | None = None
        self._made = 0

    @property
    def rows(self) -> int:
        """Rows of the past that could be kept now."""
        before = 0 if self._before is None else self._before.rows
        return before + (0 if self._now is None else self._now.rows)

    @property
    def crowded(self) -> bool:
        """Whether an encoder would not take the next row's picture."""
        return self._now is not None and self._now.crowded

    @property
    def idle(self) -> bool:
        """Whether nothing is being put together or removed."""
        return self._worker.idle

    def append(self, spec: EpisodeSpec, row: Row, frames: Frames) -> None:
        """Add a row. Raises DatasetError when it cannot be written; the past is then given up."""
        try:
            if self._now is not None and self._now.rows >= self.keep_s * spec.fps:
                self._rotate()
            if self._now is None:
                self._now = self._begin(spec)
            self._now.append(row, frames)
        except DatasetError:
            self.drop()
            raise

    def drop(self) -> None:
        """Forget the past: an episode begins, or nobody has the arm."""
        parts, self._before, self._now = (self._before, self._now), None, None
        for part in parts:
            journal = part.journal if isinstance(part, _Part) else part
            if journal is not None:
                self._worker.post(partial(_remove, journal), _never_mind)

    def keep(
        self, journal: Path, rows: int, label: Label, task: str, kept: Kept, failed: Failed
    ) -> None:
        """Make the newest `rows` rows (as many as there are) the closed and kept journal `journal`.

        `kept` or `failed` is called from `collect`. Raises StateError when there are none.
        """
        now, before = self._now, self._before
        if now is None or not self.rows:
            raise StateError(
                "There is nothing to keep of the last seconds.",
                "They begin anew after each episode, and while nobody holds the arm.",
                "Wait a moment, then press it again.",
            )
        self._before, self._now = None, None
        parts = [part for part in (before, _Part(now, now.rows)) if part is not None]

        def work() -> Manifest:
            try:
                now.close()
                return _assembled(journal, parts, rows, label, task)
            except OSError as error:
                remove_tree(journal)
                raise disk_error(error, journal) from error
            except RobotdError:
                remove_tree(journal)
                raise
            finally:
                for part in parts:
                    _remove(part.journal)

        def finished(manifest: Manifest | None, error: RobotdError | None) -> None:
            if error is not None:
                failed(error)
            elif manifest is not None:
                kept(manifest)

        self._worker.post(work, finished)

    def collect(self) -> None:
        """Take what ended meanwhile. Never waits."""
        self._worker.collect()

    def close(self) -> None:
        """Finish what was asked for, forget the rest, end the thread."""
        self.drop()
        self._worker.close()
        self._worker.collect()

    def _begin(self, spec: EpisodeSpec) -> EpisodeJournal:
        make_folder(self._folder)
        if free_bytes_of(self._folder) < self._limits.refuse_below_bytes:
            raise DiskFullError(
                "The last seconds are not held any more: the disk is almost full.",
                "Recordings, or something else on this disk, used up its space.",
                "Free space (`df -h`), then open the session again.",
            )
        self._made += 1
        return EpisodeJournal.create(
            self._folder / f"{self._made:06d}",
            spec,
            started=self._stamp(),
            syncer=_Unsynced(),
            open_lane=self._open_lane,
        )

    def _rotate(self) -> None:
        """The journal is long enough: it is the past now, and the one before it goes."""
        old, self._before = self._before, None
        now, self._now = self._now, None
        if old is not None:
            self._worker.post(partial(_remove, old.journal), _never_mind)
        if now is not None:
            self._before = _Part(now, now.rows)
            self._worker.post(now.close, _never_mind)


class _Unsynced:
    """Nobody relies on a journal that is written to be dropped: it is synced when it is kept."""

    def request(self, files: object) -> None:
        """Nothing."""

    def wait(self, files: object) -> None:
        """Nothing is ever left."""

    def close(self) -> None:
        """Nothing runs."""


def _assembled(target: Path, parts: list[_Part], rows: int, label: Label, task: str) -> Manifest:
    """One closed journal of the newest `rows` rows of `parts`, a few more where a video begins."""
    for part in parts:
        if part.journal.manifest.state != "closed":
            raise DatasetError(
                f"The last seconds could not be kept: {part.journal.manifest.reason}.",
                "The disk or an encoder failed while they were written.",
                "Look: robotd logs recorder.",
            )
    spec = parts[-1].journal.manifest.spec
    missing = max(0, sum(part.rows for part in parts) - rows)
    if len(parts) > 1 and missing >= parts[0].rows:
        missing -= parts[0].rows
        parts = parts[1:]
    videos = {camera.name: f"{camera.name}.mp4" for camera in spec.cameras}
    first = _cut([parts[0].journal.folder / name for name in videos.values()], missing, spec.fps)
    ranges = [(part.journal.folder, 0 if at else first, part.rows) for at, part in enumerate(parts)]
    make_folder(target)
    for name in (ROWS, EVIDENCE):
        tables_of = [tables.read_stream(path / name).slice(a, b - a) for path, a, b in ranges]
        with AppendFile(target / name) as sink:
            write_stream(sink, tables_of)
    for name in videos.values():
        pieces = [
            joining.Piece(path / name, ((a, b),), (path / name).stat().st_size)
            for path, a, b in ranges
        ]
        if len({joining.look_at(piece.path, spec.fps).signature for piece in pieces}) > 1:
            raise DatasetError(
                "The last seconds cannot be put together: their videos differ.",
                "The encoder was changed in the middle of them.",
                "Press it again later: from now on they are of one kind.",
            )
        joining.join(pieces, target / name, spec.fps)
        sync_file(target / name)
    manifest = Manifest(
        journal_id=target.name,
        spec=msgspec.structs.replace(spec, task=task),
        started=parts[0].journal.manifest.started,
        state="closed",
        kept=True,
        label=label,
        rows=sum(b - a for _, a, b in ranges),
    )
    sync_folder(target)
    save_manifest(target, manifest)
    sync_folder(target.parent)
    return manifest


def _cut(videos: list[Path], row: int, fps: int) -> int:
    """The last row at or before `row` at which every video has a key frame."""
    common = set(range(row + 1))
    for video in videos:
        common &= joining.look_at(video, fps).key_frames
    return max(common, default=0)


def _remove(journal: EpisodeJournal) -> None:
    if journal.manifest.state == "recording":
        with contextlib.suppress(DatasetError, OSError):  # it goes in any case
            journal.discard()
    with contextlib.suppress(OSError):  # the next start of the recorder removes it
        remove_tree(journal.folder)


def _never_mind(_: object, __: object) -> None:
    """What was dropped has no outcome; what could not be closed shows when it is kept."""
