"""Every change of a dataset can be taken back, in the order in which they were made."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.cli.main import main
from daemon.recorder import catalog, dataset, edits, swap
from daemon.recorder.history import changes
from daemon.recorder.info import INFO, TASKS, load_info
from daemon.recorder.schema import Label
from daemon.recorder.sidecar import Relabel
from daemon.recorder.soundness import check_sound
from daemon.recorder.transaction import last_commit, read_commits
from robotd.errors import DatasetError, StateError

from ..recording.conftest import lerobot_datasets, open_dataset, tmp_path  # noqa: F401
from ..recording.episodes import make_spec
from ..recording.test_dataset import content
from .editing import ONE_CAMERA, delete, journals_of, label_by_key, now, record, undo, whole


def test_undo_takes_back_change_after_change_to_the_byte(tmp_path: Path) -> None:  # noqa: F811
    root = tmp_path / "ours"
    record(root, [range(6), range(20, 27), range(40, 48)])
    states = [content(root)]
    steps: list[Callable[[], object]] = [
        lambda: delete(root, 1),
        lambda: record(root, [range(60, 66)]),
        lambda: edits.compact(root, now),
        lambda: edits.relabel(root, {0}, "another", Relabel(success=True), "", now),
        lambda: swap.put_tag(root, "good", now()),
        lambda: record(root, [range(80, 86)]),
    ]
    for step in steps:
        step()
        states.append(content(root))
    names = journals_of(root)
    assert names == ["ours-0", "ours-40", "ours-60", "ours-80"]
    for state in reversed(states[:-1]):
        undo(root)
        assert content(root) == state
    assert journals_of(root) == ["ours-0", "ours-20", "ours-40"]
    undo(root)  # the recording of the third, byte for byte, as if there had been no edit
    assert load_info(root)["total_episodes"] == 2
    record(root, [range(90, 95)])
    assert journals_of(root) == ["ours-0", "ours-20", "ours-90"]


def test_what_a_sessions_keys_said_and_what_commands_did_is_undone_in_one_order(
    tmp_path: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "ours"
    record(root, [range(6), range(20, 27)])
    states = [whole(root)]
    steps: list[Callable[[], object]] = [
        lambda: label_by_key(root, "ours-20", True, None),
        lambda: edits.relabel(root, {0}, "", Relabel(note="slow"), "", now),
        lambda: label_by_key(root, "ours-20", None, "grasped late"),
        lambda: swap.put_tag(root, "good", now()),
        lambda: delete(root, 0),
        lambda: label_by_key(root, "ours-20", False, None),
    ]
    for step in steps:
        step()
        states.append(whole(root))
    about = catalog.read_episode_about(root, 0)
    assert about is not None and about.label == Label(success=False, note="grasped late")
    assert journals_of(root) == ["ours-20"]
    label_by_key(root, "ours-20", False, None)  # what was said already is no change
    for state in reversed(states[:-1]):
        assert main(["dataset", "undo", str(root), "--yes"]) == 0
        assert whole(root) == state
    assert "relabel (0: success False)" in capsys.readouterr().err
    assert journals_of(root) == ["ours-0", "ours-20"]
    check_sound(root, make_spec(root, cameras=ONE_CAMERA, units_confirmed=True))


def test_with_an_undone_episode_goes_what_was_said_of_it(tmp_path: Path) -> None:  # noqa: F811
    root = tmp_path / "ours"
    record(root, [range(6)])
    before = whole(root)
    record(root, [range(20, 27)])
    label_by_key(root, "ours-20", True, "good")
    dataset.remove_last(root, journal_id="ours-20")
    assert whole(root) == before  # byte for byte: a label is no edit of what LeRobot reads
    assert [each.journal_id for each in changes(read_commits(root))] == ["ours-0"]
    undo(root)
    assert load_info(root) is None


def test_an_open_session_can_undo_its_keep_in_an_edited_dataset(tmp_path: Path) -> None:  # noqa: F811
    root = tmp_path / "ours"
    record(root, [range(6), range(20, 27), range(40, 48)])
    edits.compact(root, now)
    with pytest.raises(StateError, match="not the last one"):
        dataset.remove_last(root, journal_id="ours-20")
    assert dataset.holds(root, "ours-40")
    dataset.remove_last(root, journal_id="ours-40", wall_ns=now)
    assert not dataset.holds(root, "ours-40")
    assert journals_of(root) == ["ours-0", "ours-20"]
    delete(root, 1)
    with pytest.raises(StateError, match="not the last one"):
        dataset.remove_last(root, journal_id="ours-20")
    dataset.remove_last(root, journal_id="ours-0", wall_ns=now)
    assert load_info(root) is None and not (root / "data").exists()
    record(root, [range(60, 66)])
    assert journals_of(root) == ["ours-60"]


def test_a_dataset_that_another_program_changed_is_not_undone(tmp_path: Path) -> None:  # noqa: F811
    root = tmp_path / "ours"
    record(root, [range(4), range(20, 25)])
    commit = delete(root, 0)
    info = json.loads((root / INFO).read_text())
    (root / INFO).write_text(json.dumps(info | {"tools": []}))
    with pytest.raises(StateError, match="cannot be undone"):
        undo(root)
    (root / INFO).write_text(json.dumps(info, indent=4, ensure_ascii=False))
    video = next((root / swap.REMOVED / commit.journal_id).glob("videos/*/*/*.mp4"))
    video.unlink()
    with pytest.raises(DatasetError, match="is not what it was"):
        undo(root)
    assert load_info(root)["total_episodes"] == 1
    assert (root / TASKS).exists() and last_commit(root) == commit
