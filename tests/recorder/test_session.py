"""A recording session: one key per episode, and nothing a crash leaves is forgotten."""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from daemon.recorder import catalog
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


def test_undo_takes_back_the_last_keep_published_or_not(session: Session, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    spec = make_spec(root)
    for rows in (4, 5):
        record(session, spec, rows)
        session.keep()
    session.publish_pending()
    waiting = record(session, spec, 6)
    session.keep()
    assert session.undo(root) == waiting
    assert session.pending == ()
    session.undo(root)
    session.publish_pending()
    assert catalog.read_info(root).lengths == (4,)
    session.undo(root)
    with pytest.raises(StateError):
        session.undo(root)


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
    with pytest.raises(StateError):
        session.decide(unfinished, keep=False)
    session.publish_pending()
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
