"""Shared memory between processes: what a reader gets is whole, or it is nothing."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robotd.frames import FrameRingReader, FrameRingWriter
from robotd.layouts import tick_layout
from robotd.shm import Field, Layout, LayoutError, RingReader, RingWriter, SlotReader, SlotWriter

PAIR = Layout("pair", 1, [Field("a", "Q"), Field("b", "d", 3)])

_WRITER = """
import sys
from pathlib import Path
from robotd.shm import Field, Layout, RingWriter, SlotWriter
layout = Layout("pair", 1, [Field("a", "Q"), Field("b", "d", 3)])
folder = Path(sys.argv[1])
slot = SlotWriter(folder / "slot", layout)
ring = RingWriter(folder / "ring", layout, 8)
print("ready", flush=True)
n = 0
while True:
    n += 1
    values = {"a": n, "b": (float(n),) * 3}
    slot.write(values)
    ring.append(values)
"""


@given(st.integers(0, 2**64 - 1), st.tuples(*[st.floats(allow_nan=False)] * 3))
def test_a_record_comes_back_as_it_was_packed(a: int, b: tuple[float, float, float]) -> None:
    assert PAIR.unpack(PAIR.pack({"a": a, "b": b})) == {"a": a, "b": b}


def test_struct_and_numpy_readers_see_the_same_record() -> None:
    layout = tick_layout(6)
    assert np.dtype(layout.descr).itemsize == layout.size


def test_a_reader_beside_a_busy_writer_never_sees_a_torn_record(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == "ready\n"
        slot = SlotReader(tmp_path / "slot", PAIR)
        ring = RingReader(tmp_path / "ring", PAIR)
        seen = 0
        for _ in range(20_000):
            for record in (slot.read(), ring.read(ring.count - 2)):
                if record is not None:
                    seen += 1
                    assert record["b"] == (float(record["a"]),) * 3
        assert seen > 1_000
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


def test_a_reader_that_exits_takes_nothing_with_it(tmp_path: Path) -> None:
    writer = SlotWriter(tmp_path / "slot", PAIR)
    writer.write({"a": 1, "b": (1.0, 2.0, 3.0)})
    code = (
        "import sys; from pathlib import Path; from robotd.shm import *;"
        "layout = Layout('pair', 1, [Field('a', 'Q'), Field('b', 'd', 3)]);"
        "print(SlotReader(Path(sys.argv[1]), layout).read()['a'])"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "slot")], capture_output=True, text=True
        )
        assert done.stdout == "1\n"
    assert (tmp_path / "slot").exists()


def test_an_overwritten_record_is_none_not_another_one(tmp_path: Path) -> None:
    ring = RingWriter(tmp_path / "ring", PAIR, 4)
    reader = RingReader(tmp_path / "ring", PAIR)
    for n in range(10):
        ring.append({"a": n, "b": (0.0, 0.0, 0.0)})
    assert reader.read(2) is None
    assert reader.read(10) is None
    assert [record["a"] for n in (7, 8, 9) if (record := reader.read(n))] == [7, 8, 9]


def test_another_version_of_a_layout_is_refused(tmp_path: Path) -> None:
    SlotWriter(tmp_path / "slot", PAIR)
    with pytest.raises(LayoutError):
        SlotReader(tmp_path / "slot", Layout("pair", 2, PAIR.fields))
    (tmp_path / "junk").write_bytes(struct.pack("<Q", 7) * 20)
    with pytest.raises(LayoutError):
        SlotReader(tmp_path / "junk", PAIR)


def test_the_newest_frame_at_a_moment_is_found_by_its_capture_time(tmp_path: Path) -> None:
    ring = FrameRingWriter(tmp_path / "frames", 4, 2, 5)
    with pytest.raises(FileNotFoundError):
        FrameRingReader(tmp_path / "frames")  # no picture yet
    for n in range(8):
        ring.append(n * 100, n, bytes([n]) * 24)
    reader = FrameRingReader(tmp_path / "frames")
    found = reader.newest_at(650)
    assert found is not None
    assert (found.sequence, found.rgb) == (6, bytes([6]) * 24)
    assert reader.newest_at(100) is None  # overwritten
