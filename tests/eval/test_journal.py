"""A killed evaluation goes on where it was: one line an episode, whatever the last bytes are."""

from pathlib import Path

import pytest

from learning.evaluation.records import PART, WHOLE, EpisodeRecord, Header, Journal
from learning.evaluation.variants import Case, Cell
from robotd.errors import StateError

HEADER = Header(digest="d", about="a task, 1 variants, 3 episodes")


def record(seed: int, outcome: str = "success") -> EpisodeRecord:
    return EpisodeRecord(variant=0, seed=seed, outcome=outcome, steps=7, cell=Cell(1, 2, 0.1, 0.2))


def fill(folder: Path, *seeds: int) -> None:
    with Journal(folder, HEADER) as journal:
        for seed in seeds:
            journal.add(record(seed))


def test_what_was_played_is_there_after_a_kill_and_half_a_line_is_not(tmp_path: Path) -> None:
    fill(tmp_path, 0, 1)
    whole = (tmp_path / PART).read_bytes()
    torn = whole + b'{"variant":0,"seed":2,"outco'
    (tmp_path / PART).write_bytes(torn)
    with Journal(tmp_path, HEADER) as journal:
        assert sorted(key[1] for key in journal.records) == [0, 1]
        journal.add(record(2))
        cases = [Case(0, seed, Cell(1, 2, 0.1, 0.2)) for seed in (0, 1, 2)]
        assert [each.seed for each in journal.in_order(cases)] == [0, 1, 2]
        journal.complete()
    assert (tmp_path / WHOLE).read_bytes().count(b"\n") == 4
    assert not (tmp_path / PART).exists()


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_file_cut_anywhere_is_continued_and_never_read_wrong(tmp_path: Path, cut: int) -> None:
    fill(tmp_path, 0, 1)
    data = (tmp_path / PART).read_bytes()
    (tmp_path / PART).write_bytes(data[:-cut])
    with Journal(tmp_path, HEADER) as journal:
        assert set(journal.records.values()) <= {record(0), record(1)}
        for seed in (0, 1):
            journal.add(record(seed))
    with Journal(tmp_path, HEADER) as journal:
        assert sorted(key[1] for key in journal.records) == [0, 1]


def test_another_evaluations_file_is_never_continued(tmp_path: Path) -> None:
    fill(tmp_path, 0)
    other = Header(digest="e", about="b")
    with pytest.raises(StateError, match="something else: a task") as caught:
        Journal(tmp_path, other)
    assert "--fresh" in caught.value.do
    assert (tmp_path / PART).read_bytes().count(b"\n") == 2
    with Journal(tmp_path, other, fresh=True) as journal:
        assert journal.records == {}


def test_a_complete_evaluation_is_begun_anew(tmp_path: Path) -> None:
    with Journal(tmp_path, HEADER) as journal:
        journal.add(record(0))
        journal.complete()
    with Journal(tmp_path, HEADER) as journal:
        assert journal.records == {}


def test_a_folder_that_cannot_be_written_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be written") as caught:
        Journal(tmp_path / "file" / "inside", HEADER)
    assert "--out" in caught.value.do
