"""A dataset that could not take an episode is refused before one is recorded, not after."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.recorder import dataset
from daemon.recorder.info import INFO, STATS, TASKS
from daemon.recorder.schema import EpisodeSpec, check_units_word
from daemon.recorder.session import Session
from daemon.recorder.soundness import check_sound, check_units
from daemon.recorder.transaction import SIDECAR, remove_tree
from robotd.errors import DatasetError

from .episodes import make_spec, write_episode


def theirs(tmp_path: Path, extreme: float = 0.0) -> tuple[Path, EpisodeSpec]:
    """A dataset that another program recorded: two episodes and no word of robotd's."""
    root = tmp_path / "dataset"
    spec = make_spec(root)
    for index in range(2):
        dataset.publish(write_episode(tmp_path / "j" / str(index), spec, 5))
    remove_tree(root / SIDECAR)
    stats = json.loads((root / STATS).read_text())
    stats["action"]["max"][0] = extreme
    (root / STATS).write_text(json.dumps(stats))
    return root, spec


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def removed(path: Path) -> None:
    path.unlink()


def no_meta(root: Path) -> None:
    remove_tree(root / "meta/episodes")


def rows_twice(root: Path) -> None:
    path = root / "data/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path)


def left_over(root: Path) -> None:
    (root / "data/chunk-000/file-002.parquet").write_bytes(b"PAR1")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "meta/episodes is missing": no_meta,
    "a torn meta file": lambda root: torn(root / "meta/episodes/chunk-000/file-001.parquet"),
    "a torn data file": lambda root: torn(root / "data/chunk-000/file-001.parquet"),
    "a missing data file": lambda root: removed(root / "data/chunk-000/file-000.parquet"),
    "a missing video": lambda root: removed(
        root / "videos/observation.images.wrist/chunk-000/file-001.mp4"
    ),
    "a torn video": lambda root: torn(
        root / "videos/observation.images.wrist/chunk-000/file-001.mp4"
    ),
    "torn tasks": lambda root: torn(root / TASKS),
    "no tasks": lambda root: removed(root / TASKS),
    "torn statistics": lambda root: torn(root / STATS),
    "rows stored twice": rows_twice,
    "a file that no episode refers to": left_over,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_killed_recording_leaves_is_refused_at_open_in_three_parts(
    tmp_path: Path, damage: str
) -> None:
    root, spec = theirs(tmp_path, extreme=120.0)
    check_sound(root, spec)
    DAMAGES[damage](root)
    session = Session(tmp_path / "journals")
    try:
        with pytest.raises(DatasetError) as raised:
            session.check(spec)
    finally:
        session.close()
    assert raised.value.likely and raised.value.do


def test_a_dataset_of_ours_with_a_file_gone_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    dataset.publish(write_episode(tmp_path / "a", make_spec(root), 5))
    check_sound(root, make_spec(root))
    (root / "data/chunk-000/file-000.parquet").unlink()
    with pytest.raises(DatasetError, match=r"file-000\.parquet is gone"):
        check_sound(root, make_spec(root))


def test_what_is_not_there_yet_or_empty_is_sound(tmp_path: Path) -> None:
    check_sound(tmp_path / "new", make_spec(tmp_path / "new"))
    root = tmp_path / "dataset"
    dataset.publish(write_episode(tmp_path / "a", make_spec(root), 5))
    dataset.remove_last(root)
    check_sound(root, make_spec(root))


def test_units_that_nothing_tells_are_asked_for_never_guessed(tmp_path: Path) -> None:
    root, spec = theirs(tmp_path, extreme=99.0)
    with pytest.raises(DatasetError, match="in which units") as raised:
        dataset.check_dataset(root, spec)
    assert "--units degrees" in raised.value.do
    confirmed = make_spec(root, units_confirmed=True)
    dataset.check_dataset(root, confirmed)
    # Once robotd recorded into it the note beside that episode says so, to the next session too.
    dataset.publish(write_episode(tmp_path / "j" / "ours", confirmed, 5))
    dataset.check_dataset(root, spec)


def test_values_beyond_a_hundred_prove_degrees(tmp_path: Path) -> None:
    root, spec = theirs(tmp_path, extreme=120.0)
    check_units(root, spec)
    stats = json.loads((root / STATS).read_text())
    stats["action"]["max"][0], stats["action"]["max"][5] = 0.0, 101.0  # the gripper proves nothing
    (root / STATS).write_text(json.dumps(stats))
    with pytest.raises(DatasetError, match="in which units"):
        check_units(root, spec)


def test_a_dataset_that_says_it_is_in_other_units_is_refused_whatever_a_person_says(
    tmp_path: Path,
) -> None:
    root, _ = theirs(tmp_path)
    spec = make_spec(root, units="range_m100_100", units_confirmed=True)
    dataset.publish(write_episode(tmp_path / "j" / "x", spec, 5))
    with pytest.raises(DatasetError, match="range_m100_100"):
        check_units(root, make_spec(root, units_confirmed=True))
    with pytest.raises(DatasetError, match="range_m100_100"):
        check_units_word("range_m100_100")


def test_an_empty_info_is_not_taken_for_units(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    dataset.publish(write_episode(tmp_path / "a", make_spec(root), 5))
    dataset.remove_last(root)
    assert not (root / INFO).exists()
    check_units(root, make_spec(root))
