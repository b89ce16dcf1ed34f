"""Names in any language and with slashes, and a wall clock that steps: nothing is lost by either."""

from itertools import count
from pathlib import Path

import pytest

from daemon.recorder import catalog, dataset
from daemon.recorder.labels import said
from daemon.recorder.schema import Label, Mark, Stamp
from daemon.recorder.session import Session
from robotd.errors import DatasetError

from .episodes import make_frames, make_row, make_spec

TASK = "Würfel/Block in die 碗 🥣 (½ voll)"
NOTE = "zu schnell / 太快了\nnochmal …"


def record(session: Session, root: Path, rows: int, task: str = TASK) -> str:
    spec = make_spec(root, task=task, cameras=())
    journal_id = session.start(spec).journal_id
    for number in range(rows):
        session.append(make_row(spec, number), make_frames(spec, number))
    return journal_id


class SteppingClock:
    """A wall clock that is set back an hour after each stamp, beside a monotonic one that is not."""

    def __init__(self, boot: str = "boot") -> None:
        self.boot = boot
        self._steps = count()

    def __call__(self) -> Stamp:
        step = next(self._steps)
        wall_ns = 1_700_000_000_000_000_000 - step * 3_600_000_000_000
        return Stamp(boot_id=self.boot, wall_ns=wall_ns, monotonic_ns=1000 + step)


def test_episodes_join_their_dataset_in_the_order_of_recording_though_the_clock_was_set_back(
    tmp_path: Path,
) -> None:
    root = tmp_path / "dataset"
    session = Session(tmp_path / "journals", stamp=SteppingClock())
    for rows in (3, 4, 5):
        record(session, root, rows)
        session.keep()
    offered = [record(session, root, 2)]
    session.interrupt("a test")
    offered.append(record(session, root, 2))
    session.interrupt("a test")
    session.close()  # a crash before anything was published
    after = Session(tmp_path / "journals")
    found = after.recover()
    assert [each.journal_id for each in found.offered] == offered
    after.publish_pending()
    after.close()
    assert catalog.read_info(root).lengths == (3, 4, 5)


def test_the_episodes_of_an_earlier_boot_come_first(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    first = Session(tmp_path / "journals", stamp=lambda: Stamp("one", 2_000, 9_000_000))
    record(first, root, 3)
    first.keep()
    first.close()
    second = Session(tmp_path / "journals", stamp=lambda: Stamp("two", 5_000, 10))
    record(second, root, 4)
    second.keep()
    second.close()
    after = Session(tmp_path / "journals")
    after.recover()
    after.publish_pending()
    after.close()
    assert catalog.read_info(root).lengths == (3, 4)


def test_tasks_notes_and_marks_of_any_script_come_back_as_they_were_written(tmp_path: Path) -> None:
    root = catalog.dataset_root(tmp_path, "würfel/碗-1")
    assert root == tmp_path / "würfel" / "碗-1"
    session = Session(tmp_path / "journals")
    record(session, root, 4)
    session.annotate(lambda page: said(page, True, NOTE))
    session.keep()
    (published,) = session.publish_pending()
    assert published.error is None
    other = record(session, root, 4, task="plain")
    session.keep(Label(note="first"))
    session.relabel(root, other, lambda page: said(page, False, NOTE))  # while it waits
    session.publish_pending()
    session.relabel(root, other, lambda page: said(page, None, "last"))  # in the dataset
    session.close()
    assert catalog.read_info(root).tasks == (TASK, "plain")
    about = catalog.read_episode_about(root, 0)
    assert about is not None and about.label == Label(success=True, note=NOTE)
    assert about.marks == () and Mark(0) not in about.marks
    again = catalog.read_episode_about(root, 1)
    assert again is not None and again.label == Label(success=False, note="last")
    assert not dataset.recover(root, tmp_path / "journals")


def test_an_episode_that_was_undone_cannot_be_labelled_any_more(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    session = Session(tmp_path / "journals")
    journal_id = record(session, root, 3)
    session.keep()
    session.publish_pending()
    session.undo(root, journal_id)
    with pytest.raises(Exception, match="not in"):
        session.relabel(root, journal_id, lambda page: said(page, True, None))
    session.close()


@pytest.mark.parametrize(
    "name",
    ["a/b/c", "../x", "/abs", "a//b", "", ".hidden", "x" * 300, "ü" * 130, "a\x1b[2J", "a\ud800"],
)
def test_a_name_that_is_none_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    session = Session(tmp_path / "journals")
    try:
        with pytest.raises(DatasetError):
            record(session, catalog.dataset_root(tmp_path / "home", name), 2)
    finally:
        session.close()
    assert not (tmp_path / "home").exists()
