"""Delete, relabel, merge and compact: as LeRobot does it, whole at any instant, and undone."""

import itertools
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from daemon.cli.main import main
from daemon.recorder import catalog, dataset, edits, layout, swap, transaction
from daemon.recorder.history import changes
from daemon.recorder.info import INFO, STATS, TASKS, load_info
from daemon.recorder.labels import said
from daemon.recorder.relabel import relabel_journal
from daemon.recorder.schema import CameraSpec, EpisodeSpec, Label
from daemon.recorder.sidecar import Relabel
from daemon.recorder.soundness import check_sound
from daemon.recorder.source import read_source
from daemon.recorder.transaction import last_commit, locked, read_commits, standing
from dataset.merge import check_alike, merge
from robotd.errors import DatasetError, DiskFullError, StateError

from ..recording.conftest import lerobot_datasets, open_dataset, tmp_path  # noqa: F401
from ..recording.episodes import HEIGHT, WIDTH, check_frames, make_spec, write_episode
from ..recording.test_dataset import KilledError, content, kill_at
from ..recording.test_lerobot import add_theirs, create_theirs

ONE_CAMERA = (CameraSpec("overhead", WIDTH, HEIGHT),)
COUNTING = ("index", "episode_index", "task_index")
type Open = Callable[[Path], Any]


def record(root: Path, episodes: list[range], **changes: Any) -> EpisodeSpec:
    """Episodes of these row numbers; their journals are called by their first row."""
    spec = make_spec(root, cameras=ONE_CAMERA, units_confirmed=True, **changes)
    for numbers in episodes:
        journal = write_episode(
            root.parent / "journals" / f"{root.name}-{numbers.start}",
            spec,
            len(numbers),
            first=numbers.start,
        )
        dataset.publish(journal)
        shutil.rmtree(journal)
    return spec


seconds = itertools.count()


def now() -> int:
    """A clock that goes on by a second whenever it is asked."""
    return 1_800_000_000_000_000_000 + next(seconds) * 10**9


def delete(root: Path, *numbers: int) -> transaction.Commit:
    return edits.delete(root, lambda _: set(numbers), str(numbers), now)


def undo(root: Path) -> None:
    last = changes(read_commits(root))[-1]
    if last.kind == "keep":
        dataset.remove_last(root, journal_id=last.journal_id)
    else:
        edits.undo(root, last, now)


def journals_of(root: Path) -> list[str]:
    """Whose evidence lies beside each episode, which must be what the records say."""
    found = [catalog.read_episode_about(root, n) for n in range(load_info(root)["total_episodes"])]
    kept = standing(read_commits(root))
    for index, about in enumerate(found):
        assert about is not None and about.episode_index == index
        assert kept[about.journal_id].episode_index == index
        assert kept[about.journal_id].rows == about.rows
        evidence = pq.read_table(root / f"robotd/episodes/episode-{index:06d}/evidence.parquet")
        assert evidence.num_rows == about.rows
    assert len(kept) == len(found)
    return [about.journal_id for about in found if about is not None]


def check_stats(ours: Path, theirs: Path, names: set[str] | None = None) -> None:
    """stats.json and every episode's statistics are LeRobot's within 1e-6."""
    one, two = (json.loads((root / STATS).read_text()) for root in (ours, theirs))
    assert set(one) == set(two)
    for name in names or set(one):
        assert set(one[name]) == set(two[name])
        for statistic, value in two[name].items():
            np.testing.assert_allclose(one[name][statistic], value, rtol=1e-6, atol=1e-6)
    for first, second in zip(
        layout.read_episode_stats(ours), layout.read_episode_stats(theirs), strict=True
    ):
        for name in names or set(first):
            for statistic, values in second[name].items():
                np.testing.assert_allclose(
                    first[name][statistic].ravel(), values.ravel(), rtol=1e-6, atol=1e-6
                )


def check_counting(root: Path) -> None:
    """Statistics of the counting columns are those LeRobot computes from the rows."""
    from lerobot.datasets.compute_stats import compute_episode_stats

    features = load_info(root)["features"]
    source = read_source(root)
    stats = layout.read_episode_stats(root)
    rows = [pq.read_table(path) for path in sorted((root / "data").glob("*/*.parquet"))]
    for index in range(len(source.episodes)):
        table = next(
            part
            for each in rows
            if (part := each.filter(np.asarray(each["episode_index"]) == index)).num_rows
        )
        wanted = compute_episode_stats(
            {name: table[name].to_numpy() for name in COUNTING},
            {name: features[name] for name in COUNTING},
        )
        for name in COUNTING:
            for statistic, values in wanted[name].items():
                np.testing.assert_allclose(stats[index][name][statistic], values, atol=1e-6)


def test_deleting_is_what_lerobots_delete_episodes_makes(
    tmp_path: Path,  # noqa: F811
    open_dataset: Open,  # noqa: F811
) -> None:
    from lerobot.datasets.dataset_tools import delete_episodes

    root, theirs = tmp_path / "ours", tmp_path / "theirs"
    spec = record(root, [range(12), range(100, 115)])
    record(root, [range(200, 209)], task="only once")
    record(root, [range(300, 320)])
    delete_episodes(open_dataset(root), [0, 2], output_dir=theirs, repo_id="me/theirs")
    delete(root, 0, 2)
    loaded = open_dataset(root)
    check_frames(loaded, [*range(100, 115), *range(300, 320)], spec)
    check_stats(root, theirs, {"action", "observation.state", "timestamp", spec.cameras[0].key})
    check_counting(root)
    expected = load_info(theirs)
    found = load_info(root)
    for key in ("total_episodes", "total_frames", "total_tasks", "splits", "features"):
        assert found[key] == expected[key], key
    assert layout.read_tasks(root) == layout.read_tasks(theirs) == [spec.task]
    assert loaded.meta.episodes["dataset_from_index"] == [0, 15]
    assert journals_of(root) == ["ours-100", "ours-300"]
    check_sound(root, spec)
    record(root, [range(400, 406)])
    check_frames(open_dataset(root), [*range(100, 115), *range(300, 320), *range(400, 406)], spec)
    assert journals_of(root) == ["ours-100", "ours-300", "ours-400"]


def test_merging_is_what_lerobots_merge_datasets_makes(
    tmp_path: Path,  # noqa: F811
    open_dataset: Open,  # noqa: F811
    lerobot_datasets: ModuleType,  # noqa: F811
) -> None:
    from lerobot.datasets.dataset_tools import merge_datasets

    a, b, c, theirs = (tmp_path / name for name in ("a", "b", "c", "theirs"))
    spec = record(a, [range(11), range(50, 60)])
    record(b, [range(100, 113)], task="another task")
    record(b, [range(200, 210)])
    third = create_theirs(lerobot_datasets, make_spec(c, cameras=ONE_CAMERA), "h264")
    for numbers in (range(300, 308), range(320, 332)):
        add_theirs(third, spec, numbers)
    third.finalize()
    roots = [a, b, c]
    merge_datasets([open_dataset(root) for root in roots], "me/theirs", output_dir=theirs)
    target = tmp_path / "merged"
    sources = [read_source(root) for root in roots]
    for source in sources:
        check_alike(sources[0], source)
    assert merge(sources, target, 5) == (6, 64)
    loaded = open_dataset(target)
    ranges = (range(11), range(50, 60), range(100, 113), range(200, 210))
    numbers = [n for each in (*ranges, range(300, 308), range(320, 332)) for n in each]
    check_frames(loaded, numbers, spec)
    assert [loaded[n]["task"] for n in (0, 21, 34)] == [spec.task, "another task", spec.task]
    check_stats(target, theirs, set(loaded.meta.features) - set(COUNTING))
    check_counting(target)
    ours, expected = load_info(target), load_info(theirs)
    for key in ("total_episodes", "total_frames", "total_tasks", "splits", "features", "fps"):
        assert ours[key] == expected[key], key
    assert layout.read_tasks(target) == layout.read_tasks(theirs)
    kept = standing(read_commits(target))
    assert [commit.episode_index for commit in kept.values()] == [0, 1, 2, 3]
    # Ours are encoded one way and LeRobot's another, so there are two files where it has one.
    assert len(list(target.glob("videos/*/*/*.mp4"))) == 2
    assert len(list(target.glob("data/*/*.parquet"))) == 1
    with pytest.raises(DatasetError, match=r"so_follower.*koch"):
        record(tmp_path / "d", [range(5)], robot_type="koch_follower")
        check_alike(sources[0], read_source(tmp_path / "d"))


def test_compacting_changes_no_frame_and_no_statistic(
    tmp_path: Path,  # noqa: F811
    open_dataset: Open,  # noqa: F811
) -> None:
    root = tmp_path / "ours"
    ranges = [range(start, start + 6 + start // 20) for start in range(0, 100, 20)]
    spec = record(root, ranges)
    shutil.copytree(root, tmp_path / "before")
    assert edits.compact(root, now) is not None
    assert len(list(root.glob("videos/*/*/*.mp4"))) == 1
    assert len(list(root.glob("data/*/*.parquet"))) == 1
    numbers = [number for each in ranges for number in each]
    loaded = open_dataset(root)
    check_frames(loaded, numbers, spec)
    check_stats(root, tmp_path / "before")
    assert edits.compact(root, now) is None
    check_sound(root, spec)
    # The next episodes are files of their own again, and are joined in their turn.
    record(root, [range(200, 207)])
    check_frames(open_dataset(root), [*numbers, *range(200, 207)], spec)
    assert edits.compact(root, now) is not None
    check_frames(open_dataset(root), [*numbers, *range(200, 207)], spec)
    # One cut out of the middle of a joined video leaves none of its pictures behind.
    size_bytes = next(root.glob("videos/*/*/*.mp4")).stat().st_size
    delete(root, 2)
    left = [n for place, each in enumerate([*ranges, range(200, 207)]) if place != 2 for n in each]
    check_frames(open_dataset(root), left, spec)
    assert next(root.glob("videos/*/*/*.mp4")).stat().st_size < size_bytes
    assert journals_of(root) == [f"ours-{n}" for n in (0, 20, 60, 80, 200)]


def test_relabelling_reaches_lerobot_and_the_sidecar(
    tmp_path: Path,  # noqa: F811
    open_dataset: Open,  # noqa: F811
) -> None:
    root = tmp_path / "ours"
    spec = record(root, [range(8), range(20, 29), range(40, 47)])
    edits.relabel(root, {1, 2}, "another task", Relabel(success=False), "", now)
    loaded = open_dataset(root)
    assert [loaded[n]["task"] for n in (0, 8, 17)] == [spec.task, "another task", "another task"]
    assert loaded.meta.episodes["tasks"] == [[spec.task], ["another task"], ["another task"]]
    check_counting(root)
    edits.relabel(root, {0, 1, 2}, "another task", Relabel(), "", now)
    assert layout.read_tasks(root) == ["another task"]
    edits.relabel(root, {1}, "", Relabel(note="dropped it"), "", now)
    about = catalog.read_episode_about(root, 1)
    assert about is not None
    assert (about.label.success, about.label.note) == (False, "dropped it")
    assert about.spec.task == "another task"
    check_frames(open_dataset(root), [*range(8), *range(20, 29), *range(40, 47)], spec)
    undo(root)
    about = catalog.read_episode_about(root, 1)
    assert about is not None and about.label == Label(success=False)
    with pytest.raises(StateError, match="no episode 3"):
        edits.relabel(root, {3}, "x", Relabel(), "", now)


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


def whole(root: Path) -> dict[str, bytes]:
    """Every file that LeRobot sees, and what was said of each episode."""
    pages = sorted((root / "robotd/episodes").glob("*/episode.json"))
    return content(root) | {page.relative_to(root).as_posix(): page.read_bytes() for page in pages}


def label_by_key(root: Path, journal_id: str, success: bool | None, note: str | None) -> None:
    relabel_journal(root, journal_id, lambda page: said(page, success, note), now)


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
