"""A file that comes late, goes, or is made anew by another process."""

from pathlib import Path

from robotd.late import LateFile
from robotd.shm import Field, Layout, SlotReader, SlotWriter

LAYOUT = Layout("late", 1, [Field("value", "q")])


def late(path: Path) -> LateFile[SlotReader]:
    return LateFile(path, lambda path: SlotReader(path, LAYOUT))


def test_a_file_is_opened_when_it_appears_and_once(tmp_path: Path) -> None:
    file = late(tmp_path / "slot")
    assert not file.look()
    assert file.reader is None
    writer = SlotWriter(tmp_path / "slot", LAYOUT)
    writer.write({"value": 1})
    assert file.look()
    assert not file.look()
    assert file.reader is not None and file.reader.read() == {"value": 1}
    writer.close()


def test_what_another_writer_made_anew_is_read_and_not_the_dead_ones_file(tmp_path: Path) -> None:
    file = late(tmp_path / "slot")
    for value in (1, 2):
        writer = SlotWriter(tmp_path / "slot", LAYOUT)
        writer.write({"value": value})
        reader = file.get()
        assert reader is not None and reader.read() == {"value": value}


def test_the_last_reader_stays_while_the_file_is_away(tmp_path: Path) -> None:
    SlotWriter(tmp_path / "slot", LAYOUT).write({"value": 3})
    file = late(tmp_path / "slot")
    assert file.look()
    (tmp_path / "slot").unlink()
    assert not file.look()
    assert file.reader is not None and file.reader.read() == {"value": 3}
