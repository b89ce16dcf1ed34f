"""Publishing: all of an episode or none of it, once, whatever crashes in between."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from daemon.recorder import catalog, dataset, transaction
from daemon.recorder.info import INFO, STATS, following_place, load_info
from daemon.recorder.schema import CameraSpec, Label, joint_feature_names
from daemon.recorder.stored import read_manifest
from daemon.recorder.transaction import read_commits
from robotd.errors import DatasetError, StateError

from .episodes import HEIGHT, WIDTH, make_row, make_spec, write_episode


def content(root: Path) -> dict[str, bytes]:
    """Every file that LeRobot sees in a dataset."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] != "robotd"
    }


def test_publishing_twice_changes_nothing(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    journal = write_episode(tmp_path / "j" / "a", spec, 12)
    first = dataset.publish(journal)
    before = content(tmp_path / "dataset")
    assert dataset.publish(journal) == first
    assert content(tmp_path / "dataset") == before
    assert len(read_commits(tmp_path / "dataset")) == 1
    assert read_manifest(journal).state == "committed"
    assert read_manifest(journal).episode_index == 0


def test_only_a_kept_episode_is_published(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    journal = write_episode(tmp_path / "a", spec, 3, kept=False)
    with pytest.raises(StateError, match="not kept"):
        dataset.publish(journal)
    assert not (tmp_path / "dataset").exists()


class KilledError(Exception):
    """Stands for SIGKILL at an instant of a publish."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Raise before the `step`-th rename or log line."""
    calls = [0]
    rename, append = transaction._step, transaction.append_line

    def counted(action: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            calls[0] += 1
            if calls[0] == step:
                raise KilledError
            action(*arguments)

        return run

    monkeypatch.setattr(transaction, "_step", counted(rename))
    monkeypatch.setattr(transaction, "append_line", counted(append))


@pytest.mark.parametrize("verb", ["publish", "remove"])
def test_a_crash_between_any_two_steps_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    camera = (CameraSpec("overhead", WIDTH, HEIGHT),)
    spec = make_spec(tmp_path / "dataset", cameras=camera)
    root, journals = tmp_path / "dataset", tmp_path / "j"
    dataset.publish(write_episode(journals / "a", spec, 10))
    without = content(root)
    other = make_spec(root, task="another task", cameras=camera)
    journal = write_episode(journals / "b", other, 3, first=50)
    dataset.publish(journal, wall_ns=lambda: 1)
    published = content(root)
    dataset.remove_last(root)
    crashes = 0
    for step in range(1, 30):
        for path in journals.glob("b*"):
            transaction.remove_tree(path)
        journal = write_episode(journals / f"b{step}", other, 3, first=50)
        if verb == "remove":
            dataset.publish(journal)
        with monkeypatch.context() as patch:
            kill_at(patch, step)
            try:
                if verb == "publish":
                    dataset.publish(journal)
                else:
                    dataset.remove_last(root)
            except KilledError:
                crashes += 1
        info = load_info(root)
        assert info is not None
        assert info["total_episodes"] in (1, 2)
        dataset.recover(root, journals)
        assert content(root) == (published if verb == "publish" else without)
        assert not (root / transaction.INTENT).exists()
        if verb == "publish":
            assert read_manifest(journal).state == "committed"
            dataset.remove_last(root)
        assert content(root) == without
    assert crashes >= 8


def test_a_crash_while_staging_leaves_the_dataset_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(tmp_path / "dataset")
    root = tmp_path / "dataset"
    dataset.publish(write_episode(tmp_path / "j" / "a", spec, 10))
    before = content(root)
    journal = write_episode(tmp_path / "j" / "b", spec, 10)

    def killed(*_: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "begin", killed)
        patch.setattr(dataset, "roll_back", lambda _: None)
        with pytest.raises(KilledError):
            dataset.publish(journal)
    assert content(root) == before
    assert dataset.recover(root, tmp_path / "j") == []
    assert not list((root / transaction.STAGING).iterdir())
    assert dataset.publish(journal).episode_index == 1


def test_a_crash_after_the_commit_record_does_not_record_it_twice(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    commit = dataset.publish(write_episode(tmp_path / "a", make_spec(root), 5))
    transaction.begin(root, transaction.Intent(steps=(), commit=commit))
    assert dataset.recover(root, tmp_path) == [commit]
    assert read_commits(root) == [commit]


def test_undo_gives_back_the_dataset_to_the_byte(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    states = []
    for index, task in enumerate(["one", "two", "one"]):
        states.append(content(root) if root.exists() else {})
        spec = make_spec(root, task=task)
        dataset.publish(write_episode(tmp_path / "j" / str(index), spec, 5 + index))
    for state in reversed(states):
        dataset.remove_last(root)
        assert content(root) == state
    with pytest.raises(StateError, match="cannot be undone"):
        dataset.remove_last(root)
    again = write_episode(tmp_path / "j" / "again", make_spec(root), 4)
    assert dataset.publish(again).episode_index == 0


def test_an_episode_that_others_built_upon_is_not_undone(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    dataset.publish(write_episode(tmp_path / "a", make_spec(root), 5))
    info = json.loads((root / INFO).read_text())
    (root / INFO).write_text(json.dumps(info | {"tools": []}))
    with pytest.raises(StateError, match="another program"):
        dataset.remove_last(root)
    assert dataset.publish(write_episode(tmp_path / "b", make_spec(root), 5)).episode_index == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fps": 30}, "15 frames per second"),
        ({"robot_type": "koch_follower"}, "so_follower"),
        ({"cameras": (CameraSpec("front", WIDTH, HEIGHT),)}, "lacks observation.images.front"),
        (
            {"cameras": (CameraSpec("overhead", WIDTH, HEIGHT), CameraSpec("wrist", 64, 64))},
            r"observation.images.wrist has shape \[96, 128, 3\] instead of \[64, 64, 3\]",
        ),
        ({"environment_names": ("block_x_m",)}, "lacks observation.environment_state"),
        (
            {
                "state_names": joint_feature_names(("left", "right")),
                "action_names": joint_feature_names(("left", "right")),
            },
            "observation.state has shape",
        ),
    ],
)
def test_a_dataset_of_another_schema_is_refused_and_unchanged(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    root = tmp_path / "dataset"
    dataset.publish(write_episode(tmp_path / "a", make_spec(root), 5))
    before = content(root)
    with pytest.raises(DatasetError, match=says) as raised:
        dataset.check_dataset(root, make_spec(root, **changes))
    assert raised.value.likely and raised.value.do
    assert content(root) == before


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    (root / "data").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no meta/info"):
        dataset.check_dataset(root, make_spec(root))
    (root / "meta").mkdir()
    (root / INFO).write_text('{"codebase_version": "v2.1", "fps": 15, "features": {}, ')
    with pytest.raises(DatasetError, match="not the info"):
        dataset.check_dataset(root, make_spec(root))
    old = {"codebase_version": "v2.1", "fps": 15, "features": {}}
    (root / INFO).write_text(json.dumps(old | {"total_episodes": 0, "total_frames": 0}))
    with pytest.raises(DatasetError, match="robotd dataset convert"):
        dataset.check_dataset(root, make_spec(root))


def test_two_processes_do_not_write_one_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "dataset"
    journal = write_episode(tmp_path / "a", make_spec(root), 5)
    monkeypatch.setattr(dataset, "PATIENCE_S", 0.05)
    with transaction.locked(root), pytest.raises(DatasetError, match="Another robotd"):
        dataset.publish(journal)
    dataset.publish(journal)


def test_files_go_on_in_the_next_chunk(tmp_path: Path) -> None:
    assert following_place((0, 998), 1000) == (0, 999)
    assert following_place((0, 999), 1000) == (1, 0)
    root = tmp_path / "dataset"
    dataset.publish(write_episode(tmp_path / "0", make_spec(root), 3))
    info = json.loads((root / INFO).read_text())
    (root / INFO).write_text(json.dumps(info | {"chunks_size": 2}))
    places = [
        dataset.publish(write_episode(tmp_path / str(index), make_spec(root), 3)).places["data"]
        for index in (1, 2, 3)
    ]
    assert places == [(0, 1), (1, 0), (1, 1)]


def test_labels_and_evidence_stand_beside_the_dataset_never_in_it(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    spec = make_spec(root, calibration_sha256="c" * 64)
    from daemon.recorder.journal import EpisodeJournal

    from .episodes import STARTED, make_frames

    journal = EpisodeJournal.create(tmp_path / "a", spec, started=STARTED)
    for number in range(6):
        journal.append(make_row(spec, number), make_frames(spec, number))
    label = Label(success=False, note="dropped it", source="judge")
    journal.close(label, kept=True)
    dataset.publish(journal.folder)
    about = catalog.read_episode_about(root, 0)
    assert about is not None
    assert (about.label, about.spec.calibration_sha256) == (label, "c" * 64)
    assert about.started == STARTED
    evidence = pq.read_table(root / "robotd/episodes/episode-000000/evidence.parquet")
    assert evidence.num_rows == 6
    assert evidence["tick_index"].to_pylist() == [number * 8 for number in range(6)]
    columns = pq.read_schema(next(root.glob("data/*/*.parquet"))).names
    assert set(columns) & set(evidence.column_names) == set()


def test_the_catalog_shows_what_is_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    root = catalog.dataset_root(home, "me/pick")
    spec = make_spec(root)
    for index in range(2):
        dataset.publish(write_episode(tmp_path / str(index), spec, 5 + index, first=index * 10))
    (home / "broken" / "meta").mkdir(parents=True)
    (home / "broken" / INFO).write_text("{")
    found = {each.repo_id: each for each in catalog.list_datasets(home)}
    assert set(found) == {"broken", "me/pick"}
    assert found["broken"].problem
    pick = found["me/pick"]
    assert (pick.episodes, pick.frames, pick.fps) == (2, 11, 15)
    assert pick.cameras == ("overhead", "wrist")
    info = catalog.read_info(root)
    assert (info.lengths, info.recorded_by_robotd) == ((5, 6), 2)
    assert info.tasks == (spec.task,)
    assert info.size_bytes > 10_000


def test_an_episode_is_read_back_for_replay_as_it_was_recorded(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    spec = make_spec(root)
    for index in range(2):
        dataset.publish(write_episode(tmp_path / str(index), spec, 7, first=index * 10))
    fps, action, state, names, units = catalog.read_actions(root, 1)
    assert (fps, names, units) == (15, spec.action_names, "degrees")
    for index in range(7):
        row = make_row(spec, 10 + index)
        assert (action[index] == row.action).all() and (state[index] == row.state).all()
    with pytest.raises(DatasetError, match="no episode 2"):
        catalog.read_actions(root, 2)
    with pytest.raises(DatasetError, match="no dataset"):
        catalog.read_actions(tmp_path / "nowhere", 0)


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/etc", "a/b/c", ".hidden", "a/"])
def test_a_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="not the name"):
        catalog.dataset_root(tmp_path, name)


def test_a_name_in_any_script_is_a_name(tmp_path: Path) -> None:
    root = catalog.dataset_root(tmp_path / "home", "mé/ブロック")
    dataset.publish(write_episode(tmp_path / "a", make_spec(root, task="置く ✓"), 3))
    assert catalog.read_info(root).tasks == ("置く ✓",)
    assert json.loads((root / STATS).read_text())["action"]["count"] == [3]
