"""A recording session: one key per episode, and nothing a crash leaves is forgotten."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from daemon.recorder import catalog, dataset
from daemon.recorder.schema import EpisodeSpec, Label
from daemon.recorder.session import Session
from daemon.recorder.stored import read_manifest, save_manifest
from robotd.errors import DatasetError, StateError

from .episodes import make_frames, make_row, make_spec


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path / "journals")
    yield session
    session.close()


def record(session: Session, spec: EpisodeSpec, rows: int = 6) -> str:
    journal_id = session.start(spec).journal_id
    for number in range(rows):
        session.append(make_row(spec, number), make_frames(spec, number))
    return journal_id


def test_the_next_episode_starts_before_the_last_is_published(
    session: Session, tmp_path: Path
) -> None:
    spec = make_spec(tmp_path / "dataset")
    record(session, spec)
    session.keep(Label(success=True))
    record(session, spec, rows=3)
    assert len(session.pending) == 1
    worker = threading.Thread(target=session.publish_pending)
    worker.start()
    session.append(make_row(spec, 3), make_frames(spec, 3))
    worker.join()
    session.keep()
    session.publish_pending()
    assert session.pending == ()
    assert catalog.read_info(tmp_path / "dataset").lengths == (6, 4)
    assert not [path for path in (tmp_path / "journals").iterdir() if path.is_dir()]


def test_a_discarded_episode_never_reaches_the_dataset(session: Session, tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    record(session, spec)
    assert session.discard().state == "discarded"
    assert session.publish_pending() == []
    assert not (tmp_path / "dataset").exists()


def test_what_was_set_aside_can_be_kept_after_all_while_its_files_are_there(
    session: Session, tmp_path: Path
) -> None:
    """A policy that dies ends its episode, and nobody was asked about it."""
    spec = make_spec(tmp_path / "dataset")
    journal_id = record(session, spec, rows=40)
    session.interrupt("its arm was lost")
    session.decide(journal_id, keep=False)
    assert not session.offered()  # nobody is asked about what was thrown away
    session.decide(journal_id, keep=True)
    assert [each.error for each in session.publish_pending()] == [None]
    assert catalog.read_info(tmp_path / "dataset").lengths == (40,)
    with pytest.raises(StateError, match="no interrupted episode"):
        session.decide(journal_id, keep=False)


def test_undo_takes_back_the_last_keep_published_or_not(session: Session, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    spec = make_spec(root)
    kept = []
    for rows in (4, 5):
        kept.append(record(session, spec, rows))
        session.keep()
    session.publish_pending()
    waiting = record(session, spec, 6)
    session.keep()
    with pytest.raises(StateError, match="not the last one"):
        session.undo(root, kept[0])
    session.undo(root, waiting)
    assert session.pending == ()
    session.undo(root, kept[1])
    session.publish_pending()
    assert catalog.read_info(root).lengths == (4,)
    with pytest.raises(StateError, match="not the last one"):
        session.undo(root, kept[1])  # twice: the episode before it stays
    assert catalog.read_info(root).lengths == (4,)
    session.undo(root, kept[0])
    with pytest.raises(StateError):
        session.undo(root, kept[0])


def test_an_episode_of_no_rows_is_not_kept(session: Session, tmp_path: Path) -> None:
    session.start(make_spec(tmp_path / "dataset"))
    assert session.keep().state == "discarded"
    assert session.pending == ()


def test_one_episode_at_a_time(session: Session, tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    session.start(spec)
    with pytest.raises(StateError, match="already"):
        session.start(spec)
    session.discard()
    with pytest.raises(StateError, match="No episode"):
        session.keep()


def test_a_dataset_that_does_not_fit_is_refused_before_the_first_row(
    session: Session, tmp_path: Path
) -> None:
    root = tmp_path / "dataset"
    record(session, make_spec(root))
    session.keep()
    session.publish_pending()
    with pytest.raises(DatasetError, match="frames per second"):
        session.start(make_spec(root, fps=30))
    assert session.recording is None


def test_an_episode_that_cannot_be_published_stays_and_others_go_on(
    session: Session, tmp_path: Path
) -> None:
    root = tmp_path / "dataset"
    for task in ("one", "two"):
        record(session, make_spec(root, task=task))
        session.keep()
    first = session.pending[0]
    video = tmp_path / "journals" / first / "wrist.mp4"
    video.write_bytes(video.read_bytes()[:-1500])
    results = session.publish_pending()
    assert [each.error is None for each in results] == [False, True]
    assert session.pending == (first,)
    assert catalog.read_info(root).tasks == ("two",)


def test_what_was_open_at_a_crash_is_offered_and_what_was_kept_is_published(
    tmp_path: Path,
) -> None:
    root, journals = tmp_path / "dataset", tmp_path / "journals"
    spec = make_spec(root)
    session = Session(journals)
    kept = record(session, spec)
    session.keep()
    unfinished = record(session, spec, rows=9)
    session.close()  # as a crash would leave it, once its state says so
    running = msgspec.structs.replace(read_manifest(journals / unfinished), state="recording")
    save_manifest(journals / unfinished, running)

    session = Session(journals)
    recovered = session.recover()
    assert recovered.pending == (kept,)
    assert [(each.journal_id, each.rows) for each in recovered.offered] == [(unfinished, 9)]
    assert "stopped while it recorded" in recovered.offered[0].reason
    session.publish_pending()
    session.decide(unfinished, keep=True, label=Label(note="rescued"))
    session.publish_pending()
    with pytest.raises(StateError, match="no interrupted episode"):
        session.decide(unfinished, keep=False)
    session.close()
    assert catalog.read_info(root).lengths == (6, 9)
    about = catalog.read_episode_about(root, 1)
    assert about is not None
    assert about.label.note == "rescued"
    assert "stopped" in about.reason


def test_what_cannot_be_read_is_named_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "journals" / "strange"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    session = Session(tmp_path / "journals")
    recovered = session.recover()
    session.close()
    assert len(recovered.unreadable) == 1
    assert folder.exists()


def test_a_journals_folder_has_one_recorder(session: Session, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="Another recorder"):
        Session(tmp_path / "journals")


def test_an_episode_ended_from_outside_is_offered_with_the_reason(
    session: Session, tmp_path: Path
) -> None:
    spec = make_spec(tmp_path / "dataset")
    record(session, spec, rows=7)
    session.interrupt("control was started again")
    (offered,) = session.offered()
    assert (offered.state, offered.rows, offered.reason) == (
        "interrupted",
        7,
        "control was started again",
    )
    session.decide(offered.journal_id, keep=True)
    session.publish_pending()
    assert catalog.read_info(tmp_path / "dataset").lengths == (7,)


def test_a_kept_episode_that_its_dataset_cannot_take_is_saved_into_another(
    session: Session, tmp_path: Path
) -> None:
    broken, other = tmp_path / "broken", tmp_path / "other"
    kept = record(session, make_spec(broken))
    session.keep()
    (broken / "meta").mkdir(parents=True)
    (broken / "meta/info.json").write_text("{")
    (result,) = session.publish_pending()
    assert result.error is not None
    assert [each.journal_id for each in session.kept()] == [kept]
    session.decide(kept, keep=True, into=(other, "me/other"))
    (result,) = session.publish_pending()
    assert result.error is None
    assert catalog.read_info(other).lengths == (6,)
    about = catalog.read_episode_about(other, 0)
    assert about is not None
    assert about.spec.repo_id == "me/other"
    assert session.kept() == []


def test_an_episode_that_does_not_fit_the_other_dataset_stays_where_it_was(
    session: Session, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    record(session, make_spec(other, cameras=()))
    session.keep()
    session.publish_pending()
    left = record(session, make_spec(tmp_path / "dataset"))
    session.interrupt("for the test")
    with pytest.raises(DatasetError, match="other features"):
        session.decide(left, keep=True, into=(other, "me/other"))
    assert [each.spec.repo_id for each in session.offered()] == ["me/pick"]


def test_a_kept_episode_with_a_damaged_video_is_cut_to_what_is_whole(
    session: Session, tmp_path: Path
) -> None:
    root = tmp_path / "dataset"
    kept = record(session, make_spec(root), rows=30)
    session.keep()
    video = tmp_path / "journals" / kept / "wrist.mp4"
    video.write_bytes(video.read_bytes()[:-1500])
    (result,) = session.publish_pending()
    assert result.error is not None
    assert f"recover --keep {kept}" in result.error.do
    rows = session.decide(kept, keep=True).rows
    assert 0 < rows < 30
    assert session.publish_pending()[0].error is None
    assert catalog.read_info(root).lengths == (rows,)


def test_what_is_in_its_dataset_is_not_saved_twice_by_moving_it(
    session: Session, tmp_path: Path
) -> None:
    root = tmp_path / "dataset"
    kept = record(session, make_spec(root))
    session.keep()
    journal = tmp_path / "journals" / kept
    dataset.publish(journal)
    save_manifest(journal, msgspec.structs.replace(read_manifest(journal), state="closed"))
    with pytest.raises(StateError, match="no interrupted episode"):
        session.decide(kept, keep=True, into=(tmp_path / "other", "me/other"))


def test_any_error_of_one_episode_is_told_and_the_others_go_on(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    for root in (bad, good):
        record(session, make_spec(root))
        session.keep()
    stage = dataset.stage_episode

    def failing(root: Path, *arguments: Any) -> Any:
        if root == bad:
            raise pa.ArrowInvalid("not a parquet file")
        return stage(root, *arguments)

    monkeypatch.setattr(dataset, "stage_episode", failing)
    first, second = session.publish_pending()
    assert isinstance(first.error, DatasetError)
    assert "not a parquet file" in first.error.what
    assert first.error.likely and first.error.do
    assert second.error is None
    assert [each.journal_id for each in session.kept()] == [first.journal_id]
    monkeypatch.undo()
    assert session.publish_pending()[0].error is None
