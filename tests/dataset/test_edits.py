"""Delete, merge, compact and relabel make what LeRobot makes."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from daemon.recorder import catalog, edits, layout
from daemon.recorder.info import STATS, load_info
from daemon.recorder.schema import Label
from daemon.recorder.sidecar import Relabel
from daemon.recorder.soundness import check_sound
from daemon.recorder.source import read_source
from daemon.recorder.transaction import read_commits, standing
from dataset.merge import check_alike, merge
from robotd.errors import DatasetError, StateError

from ..recording.conftest import lerobot_datasets, open_dataset, tmp_path  # noqa: F401
from ..recording.episodes import check_frames, make_spec
from ..recording.test_lerobot import add_theirs, create_theirs
from .editing import COUNTING, ONE_CAMERA, Open, delete, journals_of, now, record, undo


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
