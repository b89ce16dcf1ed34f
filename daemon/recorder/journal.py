"""The journal of one episode: a folder that is whole up to its last flush, whatever happens.

    rows.arrow       what the dataset gets: state, action, environment_state, task
    evidence.arrow   what is known beside it (schema.Evidence), never a column of the dataset
    <camera>.mp4     one fragmented video per camera, frame k belongs to row k
    manifest.json    specification, state, labels, hashes; replaced atomically

States: recording → closed → published → committed, or discarded, or interrupted (found after a
crash, or ended by a full disk). Everything written is synced at least every 0.5 s.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder import tables
from daemon.recorder.durable import (
    AppendFile,
    disk_error,
    make_folder,
    sync_folder,
)
from daemon.recorder.encoders import ENCODERS, X264
from daemon.recorder.labels import fitted
from daemon.recorder.lane import InlineLane, OpenLane
from daemon.recorder.schema import (
    EpisodeSpec,
    Label,
    Manifest,
    Row,
    Stamp,
    check_spec,
    check_task,
)
from daemon.recorder.stored import EVIDENCE, RESERVE, ROWS, recover_journal, save_manifest
from daemon.recorder.syncing import InlineSyncer, Syncer
from daemon.recorder.transaction import remove_tree
from daemon.recorder.video import VideoWriter
from robotd.errors import DatasetError, EncoderError, RobotdError, StateError

SYNC_PERIOD_NS = 200_000_000  # with video fragments of 0.2 s, under the promised 0.5 s
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"  # Arrow's IPC format: a message of no bytes
_RESERVE_BYTES = 1 << 20  # given back when the disk is full, so that the episode can be closed
_DROP_S = 1.0  # that an encoder may take to let go of its file after a failure

type OpenFile = Callable[[Path], AppendFile]
type Frames = Mapping[str, npt.NDArray[np.uint8]]


class EpisodeJournal:
    """Writes one episode. Made by `create`; `append` row by row; then `close` or `discard`."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        now_ns: Callable[[], int],
        open_file: OpenFile,
        syncer: Syncer,
        open_lane: OpenLane,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.rows = 0
        self.lagged = 0  # pictures for which an encoder was too late: the one before is there again
        self._encoded_ns: dict[str, int] = {}  # capture time of each camera's newest picture
        self._now_ns = now_ns
        self._syncer = syncer
        self._last_sync_ns = now_ns()
        self._pending: list[Row] = []
        spec = manifest.spec
        self._streams = [
            _ArrowStream(open_file(folder / ROWS), tables.row_schema(spec)),
            _ArrowStream(open_file(folder / EVIDENCE), tables.evidence_schema(spec)),
        ]
        self._videos = {
            camera.name: VideoWriter(
                open_file(folder / f"{camera.name}.mp4"),
                camera.width,
                camera.height,
                spec.fps,
                spec.video_crf,
                ENCODERS.get(spec.encoder, X264),
            )
            for camera in spec.cameras
        }
        self._lanes = {name: open_lane(writer) for name, writer in self._videos.items()}

    @classmethod
    def create(
        cls,
        folder: Path,
        spec: EpisodeSpec,
        *,
        started: Stamp,
        now_ns: Callable[[], int] = time.monotonic_ns,
        open_file: OpenFile = AppendFile,
        syncer: Syncer | None = None,
        open_lane: OpenLane = InlineLane,
    ) -> "EpisodeJournal":
        """Start a journal in the new folder `folder`, whose name becomes the journal's id.

        Without a `syncer` the rows' own thread syncs; without `open_lane` it encodes too.

        Raises DatasetError for a specification that cannot be recorded and DiskFullError when
        there is no room; the folder then says `interrupted`, or is not there.
        """
        check_spec(spec)
        manifest = Manifest(journal_id=folder.name, spec=spec, started=started)
        try:
            make_folder(folder.parent)
            folder.mkdir()
        except OSError as error:
            raise disk_error(error, folder) from error
        try:
            with AppendFile(folder / RESERVE) as reserve:
                reserve.write(bytes(_RESERVE_BYTES))
            save_manifest(folder, manifest)
            journal = cls(folder, manifest, now_ns, open_file, syncer or InlineSyncer(), open_lane)
            sync_folder(folder)  # the names of rows, evidence and videos
            sync_folder(folder.parent)
        except (OSError, DatasetError) as error:
            with contextlib.suppress(OSError):  # else the next start finds an episode of no rows
                remove_tree(folder)
            if isinstance(error, OSError):
                raise disk_error(error, folder) from error
            raise
        return journal

    @property
    def bytes_written(self) -> int:
        """Bytes of rows, evidence and video written so far."""
        return sum(sink.size_bytes for sink in self._sinks())

    def append(self, row: Row, frames: Frames) -> None:
        """Add one row and its frame of every camera, uint8 [H, W, 3], not to be changed any more.

        Where an encoder is too far behind, the row gets the frame before it again, and its evidence
        says `repeated` and when that one was taken.

        Raises DatasetError, with nothing written, when a value is not finite or has another shape
        than the specification says; DiskFullError when the disk failed: the journal is then
        closed as far as it was whole and its state is `interrupted`.
        """
        if self.manifest.state != "recording":
            raise StateError(
                f"Episode {self.folder.name} takes no more rows: it is {self.manifest.state}.",
                "It was closed, discarded, or ended by a full disk.",
                "Start another episode.",
            )
        _check_row(self.manifest.spec, row)
        for name, writer in self._videos.items():
            _check_frame(name, frames.get(name), writer)
        try:
            self._pending.append(self._offered(row, frames))
            self.rows += 1
            if self._now_ns() - self._last_sync_ns >= SYNC_PERIOD_NS:
                self._flush()
        except (OSError, EncoderError) as error:
            raise self._interrupt(error) from error

    def _offered(self, row: Row, frames: Frames) -> Row:
        """Give every lane its frame; the row as it then is."""
        evidence = row.evidence
        captured, repeated = dict(evidence.capture_ns), dict(evidence.repeated)
        late = [name for name, lane in self._lanes.items() if not lane.offer(frames[name])]
        for name in late:
            repeated[name] = True
            captured[name] = self._encoded_ns.get(name, captured.get(name, 0))
        self._encoded_ns = captured
        if not late:
            return row
        self.lagged += len(late)
        evidence = dataclasses.replace(evidence, capture_ns=captured, repeated=repeated)
        return dataclasses.replace(row, evidence=evidence)

    @property
    def behind_s(self) -> float:
        """How far the slowest encoder is behind the rows."""
        waiting = max((lane.waiting for lane in self._lanes.values()), default=0)
        return waiting / self.manifest.spec.fps

    @property
    def crowded(self) -> bool:
        """Whether an encoder is so far behind that it would not take the next row's picture."""
        return any(lane.full for lane in self._lanes.values())

    def flush(self) -> None:
        """Write the pending rows and have every file synced. Raises as `append` does."""
        try:
            self._flush()
        except OSError as error:
            raise self._interrupt(error) from error

    def _flush(self) -> None:
        self._write_pending()
        self._syncer.request(self._sinks())
        self._last_sync_ns = self._now_ns()

    def annotate(self, change: Callable[[Manifest], Manifest]) -> Manifest:
        """Replace what is said of the running episode (label, marks) by `change` of it, durably.

        Raises DatasetError, nothing changed, when the disk does not take it.
        """
        after = change(self.manifest)
        try:
            save_manifest(self.folder, after)
        except OSError as error:
            raise disk_error(error, self.folder) from error
        self.manifest = after
        return after

    def close(
        self, label: Label | None = None, kept: bool = False, patience_s: float | None = None
    ) -> Manifest:
        """End the episode: every file complete and synced. An episode of no rows is discarded.

        `kept` says that a person (or the caller) wants it published: recovery then publishes it
        by itself. Costs the same for a long episode as for a short one; `verify` reads the files
        back when they are published. Raises DiskFullError when the end could not be written, and
        EncoderError when an encoder takes no frame for `patience_s` (as `Lane.finish`): the journal
        is then `interrupted` and nothing flushed is lost.
        """
        try:
            for lane in self._lanes.values():
                lane.finish(patience_s)
            self._write_pending()
            for stream in self._streams:
                stream.end()
            self._syncer.wait(self._sinks())
            for sink in self._sinks():
                sink.sync()
                sink.close()
        except (OSError, EncoderError) as error:
            raise self._interrupt(error) from error
        self._release_reserve()
        self.manifest = msgspec.structs.replace(
            self.manifest,
            rows=self.rows,
            state="closed" if self.rows else "discarded",
            reason="" if self.rows else "no rows",
            kept=kept and self.rows > 0,
            label=label or self.manifest.label,
            marks=fitted(self.manifest.marks, self.rows),
        )
        save_manifest(self.folder, self.manifest)
        return self.manifest

    def discard(self, reason: str = "discarded") -> None:
        """Mark the episode as unwanted. Its files stay until space is needed."""
        self._take_down(0.0)
        self.manifest = msgspec.structs.replace(
            self.manifest, state="discarded", kept=False, reason=reason, rows=self.rows
        )
        save_manifest(self.folder, self.manifest)

    def _write_pending(self) -> None:
        first = self.rows - len(self._pending)
        for stream, batch_of in zip(
            self._streams, (tables.row_batch, tables.evidence_batch), strict=True
        ):
            rows = self._pending[stream.rows - first :]  # after an error one may be ahead
            if rows:
                stream.write(batch_of(self.manifest.spec, rows))
        self._pending.clear()

    def _sinks(self) -> list[AppendFile]:
        videos = [writer.sink for writer in self._videos.values()]
        return [*videos, *(stream.sink for stream in self._streams)]

    def _take_down(self, wait_s: float) -> None:
        """Close all files as they are on the disk; encoders and streams write nothing more.

        The disk's first error may come out of the syncer once more; it is reported already. Videos
        are closed by their lanes, within `wait_s` unless an encoder stands still.
        """
        for sink in self._sinks():
            sink.abandon()
        with contextlib.suppress(OSError):
            self._syncer.wait(self._sinks())
        for lane in self._lanes.values():
            lane.drop(wait_s)
        for stream in self._streams:
            stream.sink.close()
        self._release_reserve()

    def _release_reserve(self) -> None:
        with contextlib.suppress(OSError):  # it then goes with the folder
            (self.folder / RESERVE).unlink(missing_ok=True)

    def _interrupt(self, error: OSError | EncoderError) -> DatasetError:
        """The disk or an encoder failed: keep what is whole, say so in the manifest, return the error.

        The reserve gives a full disk the room for the rows whose frames are written already.
        """
        failure = error if isinstance(error, EncoderError) else disk_error(error, self.folder)
        self._release_reserve()
        with contextlib.suppress(OSError):  # then these rows are lost, and `rows` says so
            self._write_pending()
        self._take_down(_DROP_S)
        try:
            self.manifest = recover_journal(self.folder, reason=failure.what)
        except (OSError, DatasetError):  # not even that; whoever looks for it later does it
            self.manifest = msgspec.structs.replace(
                self.manifest, state="interrupted", reason=failure.what
            )
        return failure


class _ArrowStream:
    """An Arrow IPC stream on an AppendFile, one write a batch; a torn batch is cut off again.

    pyarrow's own stream writer cannot be used on after a write that failed.
    """

    def __init__(self, sink: AppendFile, schema: pa.Schema) -> None:
        self.sink = sink
        self.rows = 0
        sink.write(schema.serialize())

    def write(self, batch: pa.RecordBatch) -> None:
        whole_bytes = self.sink.size_bytes
        try:
            self.sink.write(batch.serialize())
        except OSError:
            self.sink.truncate(whole_bytes)
            raise
        self.rows += batch.num_rows

    def end(self) -> None:
        self.sink.write(_END_OF_STREAM)


def write_stream(sink: AppendFile, parts: Sequence[pa.Table]) -> None:
    """Write tables of one schema one after the other as rows.arrow or evidence.arrow, synced."""
    stream = _ArrowStream(sink, parts[0].schema)
    for part in parts:
        for batch in part.to_batches():
            stream.write(batch)
    stream.end()
    sink.sync()


def _check_row(spec: EpisodeSpec, row: Row) -> None:
    check_task(row.task)
    environment_size = len(spec.environment_names)
    parts: dict[str, tuple[npt.NDArray[np.float32] | None, int]] = {
        "state": (row.state, len(spec.state_names)),
        "action": (row.action, len(spec.action_names)),
    }
    if environment_size or row.environment_state is not None:
        parts["environment_state"] = (row.environment_state, environment_size)
    for name, (values, size) in parts.items():
        shape = None if values is None else values.shape
        if values is None or shape != (size,):
            raise _refused(f"{name} has shape {shape} where the dataset has ({size},)")
        if not np.isfinite(values).all():
            raise _refused(f"{name} is not finite: {values.tolist()}")


def _check_frame(name: str, frame: npt.NDArray[np.uint8] | None, writer: VideoWriter) -> None:
    width, height = writer.size
    if frame is None:
        raise _refused(f"camera {name} gave no frame")
    if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
        raise _refused(
            f"camera {name} gave {frame.dtype} {frame.shape}, not uint8 {(height, width, 3)}"
        )


def _refused(what: str) -> RobotdError:
    return DatasetError(
        f"A row was refused: {what}.",
        "A sensor or camera changed its format, or a computation went wrong.",
        "The episode so far is whole: keep or discard it, then look at `robotd status`.",
    )
