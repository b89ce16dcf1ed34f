"""Shared memory between robotd's processes: slots and rings in mmapped runtime files.

One writer each, no locks, no pickle. A *slot* holds the newest value of something (a command, a
plan); a *ring* holds the last `capacity` records (ticks). The files live in the runtime directory
(tmpfs); `multiprocessing.SharedMemory` is avoided because on Python 3.12 a reader that exits
unlinks the segment.

Torn reads: 8-byte aligned stores through a shared mapping were never torn on x86-64, so an 8-byte
counter published after the payload orders everything. A slot writes its payload into the buffer
that readers are not looking at and then advances the counter; a reader copies and checks that the
counter did not advance by two meanwhile. A ring reader checks after copying that the record was
not overwritten.
"""

import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HEADER = struct.Struct("<8sIIQQQ")  # magic, version, record size, capacity, count, writer's pid
_HEADER_SIZE = 64
_COUNT_OFFSET = 8 + 4 + 4 + 8
_COUNT = struct.Struct("<Q")
_SLOT_MAGIC = b"RBDSLOT1"
_RING_MAGIC = b"RBDRING1"
_SLOT_BUFFERS = 4

Value = int | float | Sequence[int] | Sequence[float]


class LayoutError(ValueError):
    """A file that was written with another layout or version."""


@dataclass(frozen=True, slots=True)
class Field:
    """`count` values of one struct format character (`d f q Q i I H h B`)."""

    name: str
    format: str
    count: int = 1


class Layout:
    """A fixed-size little-endian record; the same bytes serve struct and numpy readers."""

    def __init__(self, name: str, version: int, fields: Sequence[Field]) -> None:
        self.name = name
        self.version = version
        self.fields = tuple(fields)
        self._struct = struct.Struct("<" + "".join(f"{f.count}{f.format}" for f in self.fields))
        self.size = self._struct.size

    @property
    def descr(self) -> list[tuple[str, str] | tuple[str, str, tuple[int]]]:
        """The packed record as `numpy.dtype(layout.descr)` reads it."""
        codes = {"d": "f8", "f": "f4", "q": "i8", "Q": "u8", "i": "i4", "I": "u4", "H": "u2"}
        codes |= {"h": "i2", "B": "u1"}
        return [
            (f.name, "<" + codes[f.format])
            if f.count == 1
            else (f.name, "<" + codes[f.format], (f.count,))
            for f in self.fields
        ]

    def offset(self, name: str) -> int:
        """Where a field begins in the record, in bytes. Raises KeyError."""
        at = 0
        for field in self.fields:
            if field.name == name:
                return at
            at += struct.calcsize(f"<{field.count}{field.format}")
        raise KeyError(name)

    def pack(self, values: Mapping[str, Any]) -> bytes:
        """Pack a mapping that has every field. Raises KeyError or struct.error."""
        flat: list[Any] = []
        for field in self.fields:
            value = values[field.name]
            if field.count == 1:
                flat.append(value)
            else:
                flat.extend(value)
        return self._struct.pack(*flat)

    def unpack(self, buffer: bytes | memoryview) -> dict[str, Any]:
        """Unpack one record: scalars for single fields, tuples for repeated ones."""
        flat = self._struct.unpack_from(buffer)
        record: dict[str, Any] = {}
        at = 0
        for field in self.fields:
            if field.count == 1:
                record[field.name] = flat[at]
                at += 1
            else:
                record[field.name] = flat[at : at + field.count]
                at += field.count
        return record


def _create(path: Path, magic: bytes, version: int, record_size: int, capacity: int) -> mmap.mmap:
    """Create the file under a temporary name and rename it: readers see it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    size = _HEADER_SIZE + record_size * capacity
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        memory = mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
    _HEADER.pack_into(memory, 0, magic, version, record_size, capacity, 0, os.getpid())
    partial.replace(path)
    return memory


def _open(path: Path, magic: bytes) -> tuple[mmap.mmap, int, int, int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
    found, version, record_size, capacity, _, _ = _HEADER.unpack_from(memory, 0)
    if found != magic:
        memory.close()
        raise LayoutError(f"{path.name} is not a {magic!r} file")
    return memory, version, record_size, capacity


def _reopen(path: Path, layout: Layout) -> mmap.mmap | None:
    """Map an existing slot for writing; None when there is none of this layout."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        whole = os.fstat(descriptor).st_size == _HEADER_SIZE + layout.size * _SLOT_BUFFERS
        memory = mmap.mmap(descriptor, 0) if whole else None
    finally:
        os.close(descriptor)
    if memory is None:
        return None
    expected = (_SLOT_MAGIC, layout.version, layout.size, _SLOT_BUFFERS)
    if _HEADER.unpack_from(memory, 0)[:4] == expected:
        return memory
    memory.close()
    return None


def _check(path: Path, layout: Layout, version: int, record_size: int) -> None:
    if version != layout.version or record_size != layout.size:
        raise LayoutError(
            f"{path.name}: version {version}, {record_size} B; "
            f"{layout.name} wants version {layout.version}, {layout.size} B"
        )


class SlotWriter:
    """Publishes the newest value of something.

    With `take_over`, an existing slot of the same layout is written on instead of replaced, so that
    readers who have it open go on reading: for slots that processes write in turns (policy and
    replay). Only one of them may write at a time.
    """

    def __init__(self, path: Path, layout: Layout, *, take_over: bool = False) -> None:
        self._layout = layout
        memory = _reopen(path, layout) if take_over else None
        self._memory = memory or _create(
            path, _SLOT_MAGIC, layout.version, layout.size, _SLOT_BUFFERS
        )

    def write(self, values: Mapping[str, Any]) -> None:
        """Publish one record."""
        self.write_packed(self._layout.pack(values))

    def write_packed(self, record: bytes) -> None:
        """Publish a record already packed with the slot's layout."""
        sequence = int(_COUNT.unpack_from(self._memory, _COUNT_OFFSET)[0]) + 1
        start = _HEADER_SIZE + self._layout.size * (sequence % _SLOT_BUFFERS)
        self._memory[start : start + self._layout.size] = record
        _COUNT.pack_into(self._memory, _COUNT_OFFSET, sequence)

    def close(self) -> None:
        self._memory.close()


class SlotReader:
    """Reads the newest value of something."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._memory, version, record_size, _ = _open(path, _SLOT_MAGIC)
        _check(path, layout, version, record_size)
        self._layout = layout

    @property
    def sequence(self) -> int:
        """How many values have been published; 0 before the first."""
        return int(_COUNT.unpack_from(self._memory, _COUNT_OFFSET)[0])

    def read(self) -> dict[str, Any] | None:
        """Return the newest record, or None before the first."""
        size = self._layout.size
        while True:
            sequence = self.sequence
            if sequence == 0:
                return None
            start = _HEADER_SIZE + size * (sequence % _SLOT_BUFFERS)
            payload = self._memory[start : start + size]
            if self.sequence - sequence < _SLOT_BUFFERS - 1:
                return self._layout.unpack(payload)

    def close(self) -> None:
        self._memory.close()


class RingWriter:
    """Appends records; the oldest are overwritten."""

    def __init__(self, path: Path, layout: Layout, capacity: int) -> None:
        if capacity < 2:
            raise ValueError("a ring needs at least two records")
        self._layout = layout
        self._capacity = capacity
        self._memory = _create(path, _RING_MAGIC, layout.version, layout.size, capacity)
        self.count = 0

    def append(self, values: Mapping[str, Any]) -> int:
        """Append one record and return its index (0, 1, 2, …)."""
        return self.append_packed(self._layout.pack(values))

    def append_packed(self, record: bytes) -> int:
        """Append a record already packed with the ring's layout."""
        index = self.count
        start = _HEADER_SIZE + self._layout.size * (index % self._capacity)
        self._memory[start : start + self._layout.size] = record
        self.count = index + 1
        _COUNT.pack_into(self._memory, _COUNT_OFFSET, self.count)
        return index

    def close(self) -> None:
        self._memory.close()


class RingReader:
    """Reads records by index while they last."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._memory, version, record_size, self.capacity = _open(path, _RING_MAGIC)
        _check(path, layout, version, record_size)
        self._layout = layout

    @property
    def count(self) -> int:
        """How many records have been appended since the ring was made."""
        return int(_COUNT.unpack_from(self._memory, _COUNT_OFFSET)[0])

    @property
    def writer_pid(self) -> int:
        """The process that made the ring."""
        return int(_HEADER.unpack_from(self._memory, 0)[5])

    def read_packed(self, index: int, skip: int = 0, length: int | None = None) -> bytes | None:
        """Return the record's bytes, or None when not yet written or already overwritten.

        `skip` and `length` take a part of it, so that a large record is copied once.
        """
        if not 0 <= index < self.count:
            return None
        start = _HEADER_SIZE + self._layout.size * (index % self.capacity) + skip
        payload = self._memory[start : start + (length or self._layout.size - skip)]
        # The writer fills the record at `count` before it publishes it, so that one is unsafe too.
        return payload if self.count - index < self.capacity else None

    def read(self, index: int) -> dict[str, Any] | None:
        """Return one record, or None when not yet written or already overwritten."""
        payload = self.read_packed(index)
        return None if payload is None else self._layout.unpack(payload)

    def packed(self) -> tuple[int, bytes]:
        """Return the index of the oldest record that is whole, and it and all after it, packed."""
        before = self.count
        size = self._layout.size
        raw = self._memory[_HEADER_SIZE : _HEADER_SIZE + size * self.capacity]
        # What was written while this copied, and the one being written, replaced the oldest ones.
        first = max(0, self.count - self.capacity + 1)
        start, end = first % self.capacity, before % self.capacity
        if first >= before:
            return before, b""
        if start < end:
            return first, raw[start * size : end * size]
        return first, raw[start * size :] + raw[: end * size]

    def latest(self) -> dict[str, Any] | None:
        """Return the newest record, or None before the first."""
        while (count := self.count) > 0:
            record = self.read(count - 1)
            if record is not None:
                return record
        return None

    def close(self) -> None:
        self._memory.close()
