"""A dataset is whole at every instant of an edit, whatever ends it or runs beside it."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.recorder import dataset, edits, transaction
from daemon.recorder.info import INFO, load_info
from daemon.recorder.sidecar import Relabel
from daemon.recorder.soundness import check_sound
from daemon.recorder.transaction import locked
from robotd.errors import DiskFullError

from ..recording.conftest import lerobot_datasets, open_dataset, tmp_path  # noqa: F401
from ..recording.episodes import check_frames, write_episode
from ..recording.test_dataset import KilledError, content, kill_at
from .editing import Open, delete, journals_of, label_by_key, now, record, undo, whole


@pytest.mark.parametrize("verb", ["delete", "compact", "relabel", "label", "undo"])
def test_an_edit_killed_between_any_two_steps_is_finished(
    tmp_path: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    root = tmp_path / "ours"
    record(root, [range(4), range(20, 25), range(40, 44)])
    change: dict[str, Callable[[Path], object]] = {
        "delete": lambda at: delete(at, 1),
        "compact": lambda at: edits.compact(at, now),
        "relabel": lambda at: edits.relabel(at, {1}, "x", Relabel(success=True), "", now),
        "label": lambda at: label_by_key(at, "ours-40", True, "good"),
        "undo": undo,
    }
    if verb == "undo":
        delete(root, 0)
    before = whole(root)
    done = tmp_path / "done"
    shutil.copytree(root, done)
    change[verb](done)
    after = whole(done)
    outcomes = []
    for step in range(1, 40):
        at = tmp_path / f"at-{step}"
        shutil.copytree(root, at)
        with monkeypatch.context() as patch:
            kill_at(patch, step)
            try:
                change[verb](at)
            except KilledError:
                outcomes.append("killed")
            else:
                break
        # Whoever opens it now finds the one, the other, or no dataset: never a mixture.
        if (at / INFO).exists():
            assert whole(at) in (before, after)
        dataset.recover(at, tmp_path / "journals")
        assert whole(at) == after
        assert not (at / transaction.INTENT).exists()
        assert len(journals_of(at)) == load_info(at)["total_episodes"]
        undo(at) if verb != "undo" else None
        assert whole(at) == (before if verb != "undo" else after)
        shutil.rmtree(at)
    assert len(outcomes) >= (4 if verb == "label" else 7)


def test_an_edit_killed_while_it_builds_leaves_everything_as_it_was(
    tmp_path: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "ours"
    spec = record(root, [range(4), range(20, 25)])
    before = content(root)

    def killed(*_: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(edits, "_sync", killed)
        patch.setattr(edits, "remove_tree", lambda _: None)
        with pytest.raises(KilledError):
            edits.compact(root, now)
    assert content(root) == before
    assert any((root / edits.REBUILD).iterdir())
    assert edits.left_by_kill(root) == [root / edits.REBUILD]  # room for a recording, if need be
    with edits.editing(root):
        assert edits.left_by_kill(root) == []
    record(root, [range(40, 44)])
    check_sound(root, spec)
    assert edits.compact(root, now) is not None
    assert not (root / edits.REBUILD).exists()


def test_an_episode_saved_while_a_dataset_is_compacted_is_in_it(
    tmp_path: Path,  # noqa: F811
    open_dataset: Open,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "ours"
    spec = record(root, [range(6), range(20, 27)])
    journal = write_episode(tmp_path / "j", spec, 8, first=60)
    staged = edits._staged

    def slow(at: Path, build: Any, attempt: int) -> Any:
        result = staged(at, build, attempt)
        if attempt == 0:
            dataset.publish(journal)  # takes the lock: nobody holds it while it is built
            dataset.remove_last(at)
            dataset.publish(write_episode(tmp_path / "k", spec, 9, first=80))
        return result

    monkeypatch.setattr(edits, "_staged", slow)
    assert edits.compact(root, now) is not None
    check_frames(open_dataset(root), [*range(6), *range(20, 27), *range(80, 89)], spec)
    assert journals_of(root) == ["ours-0", "ours-20", "k"]


def test_a_save_waits_for_an_edits_lock(tmp_path: Path) -> None:  # noqa: F811
    root = tmp_path / "ours"
    spec = record(root, [range(4)])
    journal = write_episode(tmp_path / "j", spec, 5)
    held = threading.Event()

    def hold() -> None:
        with locked(root):
            held.set()
            threading.Event().wait(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert dataset.publish(journal).episode_index == 1
    holder.join()


def test_an_edit_for_which_there_is_no_room_is_refused(
    tmp_path: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "ours"
    record(root, [range(4), range(20, 25)])
    before = content(root)
    monkeypatch.setattr(edits, "free_bytes_of", lambda _: 514 << 20)
    monkeypatch.setattr(edits, "folder_bytes", lambda _: 1 << 20)
    with pytest.raises(DiskFullError, match="MB are to be written"):
        edits.compact(root, now)
    assert content(root) == before and not (root / edits.REBUILD).exists()
    assert delete(root, 0).verb == "delete-episode"
