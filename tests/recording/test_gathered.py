"""Files of single episodes gather; joining them is offered while nothing is recorded."""

import json
import time
from itertools import count
from pathlib import Path

import pytest

from daemon.cli.main import main
from daemon.recorder import catalog, edits
from daemon.recorder import gathered as gathered_module
from daemon.recorder.gathered import Gathered, Offer, gathered, offer
from daemon.recorder.labels import said
from daemon.recorder.session import Session
from robotd.messages import RecordingStatus
from tui.look import choose_look
from tui.verdict_lines import warnings

from .episodes import make_frames, make_row, make_spec

_EPISODES = 4


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Session, Path]:
    """A session that has saved four short episodes of two cameras."""
    root = tmp_path / "home" / "me" / "pick"
    session = Session(tmp_path / "journals")
    spec = make_spec(root, units_confirmed=True)
    for _ in range(_EPISODES):
        session.start(spec)
        for number in range(3):
            session.append(make_row(spec, number), make_frames(spec, number))
        session.keep()
    return session, root


def test_what_saving_says_of_gathered_files_is_what_compact_joins(
    saved: tuple[Session, Path],
) -> None:
    session, root = saved
    results = session.publish_pending()
    assert [each.gathered.files for each in results if each.gathered] == [0, 1, 2, 3]
    files = gathered(root)
    before = edits.file_count(root)
    edits.compact(root, time.time_ns)
    # Rows, two cameras, and meta/episodes: of each kind there were as many too many.
    assert before - edits.file_count(root) == 4 * files
    assert gathered(root) == 0
    session.close()


def test_full_files_are_nothing_to_join_however_many_they_are(tmp_path: Path) -> None:
    (tmp_path / "meta").mkdir()
    info = {"codebase_version": "v3.0", "fps": 30, "features": {}}
    info |= {"total_episodes": 9, "total_frames": 9, "data_files_size_in_mb": 1e-3}
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    folder = tmp_path / "data/chunk-000"
    folder.mkdir(parents=True)
    for number, size in zip(count(), (900, 1000, 800, 300, 20, 30, 40), strict=False):
        (folder / f"file-{number:03d}.parquet").write_bytes(bytes(size))
    assert gathered(tmp_path) == 3  # four small ones fit into one
    assert gathered(tmp_path / "nothing") == 0


def test_it_is_offered_until_somebody_compacts_and_a_label_changes_nothing(
    saved: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathered_module, "OFFERED_FROM", 3)
    session, root = saved
    shown = Offer()
    assert shown.sentence() == ""
    sentences = []
    for result in session.publish_pending():
        assert result.gathered is not None
        shown.saved(result.gathered)
        sentences.append(shown.sentence())
    assert sentences[:3] == ["", "", ""]
    assert "robotd dataset compact me/pick" in sentences[3]
    session.relabel(root, result.journal_id, lambda page: said(page, True, None))
    assert shown.sentence() == sentences[3]
    edits.compact(root, time.time_ns)
    assert shown.sentence() == ""
    shown.saved(Gathered(root / "away", "me/away", 500))
    assert "500 files" in shown.sentence()  # its disk may come back
    session.close()


def test_the_list_of_datasets_says_so_too(
    saved: tuple[Session, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    session, _ = saved
    session.publish_pending()
    session.close()
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    assert main(["dataset", "list"]) == 0
    assert "compact" not in capsys.readouterr().out  # three are no trouble to anybody
    monkeypatch.setattr(gathered_module, "OFFERED_FROM", 3)
    assert main(["dataset", "list"]) == 0
    assert "3 files of single episodes have gathered in me/pick" in capsys.readouterr().out
    (summary,) = catalog.list_datasets(tmp_path / "home")
    assert summary.joinable_files == 3
    assert offer("x", 2) == ""


def test_the_tui_says_it_in_full() -> None:
    recording = RecordingStatus(offer=offer("me/pick", 120))
    lines = warnings(choose_look(plain=True), recording, 60)
    assert offer("me/pick", 120) in " ".join(" ".join(line.plain for line in lines).split())
