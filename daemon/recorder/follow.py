"""Following what other processes publish: the tick ring row by row, pictures and world by time.

A recorder may start before control or a camera, and either may be restarted: files are opened when
they appear and opened again when they were replaced. Nothing here waits.
"""

import struct
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robotd.frames import Frame, FrameRingReader
from robotd.late import LateFile
from robotd.latency import CHUNK, stages_us
from robotd.layouts import ENVIRONMENT_STATE, tick_layout
from robotd.shm import RingReader, SlotReader

_INDEX = struct.Struct("<Q")  # the first field of a tick record
_HISTORY = 128  # world states kept: two seconds at the plant's 60 Hz
_CHUNKS = 128  # chunks kept: four seconds where every row has a new one


@dataclass(frozen=True, slots=True)
class RowTick:
    """The tick that a row is made from, and how many rows before it could not be made."""

    tick: dict[str, Any]
    rows_lost: int


class TickFollower:
    """Finds the tick of each row: the first at or after every `ticks_per_row`-th tick index.

    A skipped tick shifts a row by the ticks that were skipped; when a whole row's worth is missing,
    or was overwritten before it was read, the rows are counted as lost. Once a new control process
    has `replaced` the ring there are no rows until `begin`: nobody knows what happened in between.
    """

    def __init__(self, path: Path, joints: int, ticks_per_row: int) -> None:
        layout = tick_layout(joints)
        self._file = LateFile(path, lambda path: RingReader(path, layout))
        self._ticks_per_row = ticks_per_row
        self._next_record = 0
        self._next_row: int | None = None
        self.replaced = False

    def begin(self) -> None:
        """Start with the next row that is not yet due: what was before is not wanted."""
        reader = self._open()
        self._next_record = 0 if reader is None else reader.count
        self._next_row = None
        self.replaced = False

    def latest(self) -> dict[str, Any] | None:
        """The newest tick, or None before the first."""
        reader = self._open()
        return None if reader is None else reader.latest()

    def rows(self) -> list[RowTick]:
        """The rows whose ticks were published since the last call, oldest first."""
        reader = self._open()
        if reader is None or self.replaced:
            return []
        found: list[RowTick] = []
        count = reader.count
        oldest = count - reader.capacity + 1
        # Lost records show as a jump of the tick index below.
        self._next_record = max(self._next_record, oldest)
        while self._next_record < count:
            head = reader.read_packed(self._next_record, 0, _INDEX.size)
            if head is not None:
                row = self._row(reader, self._next_record, _INDEX.unpack(head)[0])
                if row is not None:
                    found.append(row)
            self._next_record += 1
        return found

    def _row(self, reader: RingReader, record: int, index: int) -> RowTick | None:
        number, remainder = divmod(index, self._ticks_per_row)
        if self._next_row is None:
            # The grid starts at an exact deadline.
            self._next_row = number if remainder == 0 else number + 1
        if number < self._next_row:
            return None
        tick = reader.read(record)
        if tick is None:
            return None
        lost = number - self._next_row
        self._next_row = number + 1
        return RowTick(tick, lost)

    def _open(self) -> RingReader | None:
        before = self._file.reader
        if self._file.look():
            # A new control process counts its ticks from zero again.
            self.replaced = self.replaced or before is not None
            self._next_record, self._next_row = 0, None
        return self._file.reader


class FrameFollower:
    """One camera's pictures by time."""

    def __init__(self, path: Path) -> None:
        self._file = LateFile(path, FrameRingReader)

    def newest_at(self, stamp_ns: int) -> Frame | None:
        """The newest picture taken at or before `stamp_ns`."""
        reader = self._file.get()
        return None if reader is None else reader.newest_at(stamp_ns)

    def passed(self, stamp_ns: int) -> bool:
        """Whether a picture later than `stamp_ns` is there, so that `newest_at` is final."""
        reader = self._file.get()
        latest = None if reader is None else reader.latest_stamp_ns()
        return latest is not None and latest > stamp_ns

    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels; None before the first picture."""
        reader = self._file.get()
        return None if reader is None else (reader.width, reader.height)


class ChunkFollower:
    """Where the time of the policy's chunks went, for as long as a row may still speak of them."""

    def __init__(self, path: Path) -> None:
        self._file = LateFile(path, lambda path: RingReader(path, CHUNK))
        self._next = 0
        self._stages_us: OrderedDict[int, tuple[int, ...]] = OrderedDict()

    def stages_us(self, chunk_id: int) -> tuple[int, ...]:
        """The stages (`robotd.latency.STAGES`) of a chunk; empty where they are not known (yet)."""
        if chunk_id < 0:
            return ()
        if chunk_id not in self._stages_us:
            self._take()
        return self._stages_us.get(chunk_id, ())

    def _take(self) -> None:
        if self._file.look():
            self._next = 0
        ring = self._file.reader
        if ring is None:
            return
        for index in range(max(self._next, ring.count - _CHUNKS), ring.count):
            record = ring.read(index)
            stages = None if record is None else stages_us(record)
            if record is not None and stages is not None:
                self._stages_us[record["id"]] = tuple(stages.values())
        self._next = ring.count
        while len(self._stages_us) > _CHUNKS:
            self._stages_us.popitem(last=False)


class WorldFollower:
    """What the plant says of the objects, kept for as long as a row may wait for its pictures."""

    def __init__(self, path: Path) -> None:
        self._file = LateFile(path, lambda path: SlotReader(path, ENVIRONMENT_STATE))
        self._sequence = 0
        self._history: deque[tuple[int, tuple[float, ...]]] = deque(maxlen=_HISTORY)

    def sample(self) -> None:
        """Take the newest state, if it is new."""
        if self._file.look():
            self._sequence = 0
        reader = self._file.reader
        if reader is None or reader.sequence == self._sequence:
            return
        self._sequence = reader.sequence
        record = reader.read()
        if record is not None:
            self._history.append((record["stamp_ns"], record["values"]))

    def newest_at(self, stamp_ns: int) -> tuple[float, ...] | None:
        """The newest state at or before `stamp_ns`, else the oldest there is."""
        for when, values in reversed(self._history):
            if when <= stamp_ns:
                return values
        return self._history[0][1] if self._history else None
