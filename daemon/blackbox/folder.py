"""A black box on disk: what is in the folder, writing one whole or not at all, reading one back.

    <state dir>/<robot>/blackbox/20261121-173502-stalled/
        box.json      why, when, versions, layouts of the rings, arming list
        ticks.gz      the ticks of the last minute, packed records one after the other
        bus.gz        the last seconds of every servo line, likewise
        config.json   the configuration that ran
        logs.txt      the last lines that every process wrote

It is read with nothing but what lies in it, so it can be sent to somebody else.
"""

import gzip
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from daemon.blackbox.onset import Cause
from robotd.errors import DaemonError
from robotd.messages import Check
from robotd.shm import Field, Layout

KEPT = 20
BOX_VERSION = 1
_BOX = "box.json"
_FASTEST = 1  # gzip level: a minute of ticks in a fifth of its size and 0.1 s


class RingNote(msgspec.Struct, frozen=True):
    """How to read a ring's records: name, format and count of each field, and the first index."""

    fields: tuple[tuple[str, str, int], ...]
    version: int
    first_index: int = 0


class BoxNote(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of box.json. `wall_s` and `monotonic_ns` are one instant on both clocks."""

    version: int = BOX_VERSION
    id: str
    robot: str
    simulated: bool
    cause: Cause
    what: str
    do: str
    wall_s: float
    utc_offset_s: int
    monotonic_ns: int
    boot_id: str
    tick_hz: int
    joints: tuple[str, ...]
    lines: tuple[str, ...]
    versions: Mapping[str, str]
    arming: tuple[Check, ...]
    ticks: RingNote | None
    bus: RingNote | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a box besides its note: file name to bytes; rings are packed here."""

    rings: Mapping[str, bytes]
    files: Mapping[str, bytes]


def note_of(layout: Layout, first_index: int) -> RingNote:
    """How to read the records of a layout later."""
    fields = tuple((field.name, field.format, field.count) for field in layout.fields)
    return RingNote(fields, layout.version, first_index)


def write_box(parent: Path, note: BoxNote, contents: Contents) -> Path:
    """Write a box under `parent` by temporary name and rename, and drop the oldest beyond `KEPT`.

    Returns its folder. Raises OSError when the disk does not take it; then nothing is left.
    """
    parent.mkdir(parents=True, exist_ok=True)
    partial = parent / f".{note.id}.{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for name, data in contents.rings.items():
            (partial / f"{name}.gz").write_bytes(gzip.compress(data, _FASTEST))
        for name, data in contents.files.items():
            (partial / name).write_bytes(data)
        (partial / _BOX).write_bytes(msgspec.json.encode(note))
        for path in partial.iterdir():
            _sync(path)
        final = parent / note.id
        partial.rename(final)
        _sync(parent)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for old in boxes(parent)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def boxes(parent: Path) -> list[Path]:
    """The boxes of one robot, the newest first."""
    found = [path for path in parent.glob("[0-9]*") if (path / _BOX).is_file()]
    return sorted(found, key=lambda path: path.name, reverse=True)


@dataclass(frozen=True, slots=True)
class Box:
    """A box that was read. Records are those of `robotd.layouts`, as they were when it was
    written, the oldest first."""

    folder: Path
    note: BoxNote
    ticks: Sequence[Mapping[str, Any]]
    bus: Sequence[Mapping[str, Any]]


def read_note(folder: Path) -> BoxNote:
    """The note of a box. Raises DaemonError for a folder that is none."""
    try:
        return msgspec.json.decode((folder / _BOX).read_bytes(), type=BoxNote)
    except (OSError, msgspec.DecodeError) as error:
        raise DaemonError(
            f"{folder} is not a black box that can be read: {error}.",
            "Another folder, a copy that is not whole, or one of a newer robotd.",
            "Give the folder that holds box.json, or see robotd blackbox list.",
        ) from error


def read_box(folder: Path) -> Box:
    """A whole box. Raises DaemonError when it cannot be read."""
    note = read_note(folder)
    try:
        ticks = _records(folder / "ticks.gz", "tick", note.ticks)
        bus = _records(folder / "bus.gz", "bus", note.bus)
    except (OSError, EOFError) as error:
        raise DaemonError(
            f"The records in {folder} cannot be read: {error}.",
            "The copy is not whole.",
            "Copy the folder again, all of its files.",
        ) from error
    return Box(folder, note, ticks, bus)


def _records(path: Path, name: str, note: RingNote | None) -> list[dict[str, Any]]:
    if note is None:
        return []
    layout = Layout(name, note.version, [Field(*each) for each in note.fields])
    data = memoryview(gzip.decompress(path.read_bytes()))
    whole = len(data) - len(data) % layout.size
    return [layout.unpack(data[at : at + layout.size]) for at in range(0, whole, layout.size)]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
