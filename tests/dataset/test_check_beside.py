"""What robotd records is clean; its sidecar, a download's revisions and the command's exit codes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.cli.main import main
from daemon.recorder import dataset as publishing
from daemon.recorder import transaction
from daemon.recorder.catalog import read_episode_about
from daemon.recorder.journal import EpisodeJournal
from daemon.recorder.schema import Row
from dataset.check import examine
from dataset.checking.contents import Contents, DataFile
from dataset.checking.gripper import check_gripper
from dataset.checking.rows import stretches
from dataset.repair import mend

from ..recording.episodes import STARTED, make_frames, make_row, make_spec


def pose(number: int) -> np.ndarray[Any, Any]:
    """Where the arm is at row `number`: degrees, gripper 0..100."""
    swing = np.sin(number / 9 * np.array([1.0, 0.5, 0.3, 1.0, 0.25, 0.5]))
    middle = np.array([0, -60, 20, 0, 0, 50])
    return np.asarray(middle + swing * np.array([40, 30, 60, 20, 110, 40]), np.float32)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of four episodes that robotd recorded."""
    folder = tmp_path_factory.mktemp("recorded")
    spec = make_spec(folder / "set")
    for episode, rows in enumerate((18, 21, 24, 20)):
        journal = EpisodeJournal.create(folder / f"j/e{episode}", spec, started=STARTED)
        for number in range(100 * episode, 100 * episode + rows):
            evidence = make_row(spec, number).evidence
            row = Row(pose(number), pose(number + 2), spec.task, evidence)
            journal.append(row, make_frames(spec, number))
        journal.close(kept=True)
        publishing.publish(journal.folder)
    return folder / "set"


@pytest.fixture
def ours(recorded: Path, tmp_path: Path) -> Path:
    shutil.copytree(recorded, tmp_path / "set")
    return tmp_path / "set"


def codes(root: Path, **options: Any) -> set[str]:
    return {each.code for each in examine(root, **options).findings}


def test_what_robotd_records_is_clean_decoded_and_hashed_too(recorded: Path) -> None:
    report = examine(recorded, deep=True)
    assert report.findings == ()
    assert (report.episodes, report.frames, report.facts["units"]) == (4, 83, "degrees")


def test_bytes_that_changed_since_they_were_saved_are_found_by_deep(ours: Path) -> None:
    path = ours / "data/chunk-000/file-002.parquet"
    data = path.read_bytes()
    assert data.count(b"parquet-cpp-arrow") == 1
    path.write_bytes(data.replace(b"parquet-cpp-arrow", b"parquet-cpp-Arrow"))  # a bit rots
    (found,) = examine(ours, deep=True).findings
    assert (found.code, found.episodes) == ("hash", (2,))


def test_an_episode_taken_out_by_another_program_takes_its_evidence_with_it(
    ours: Path, tmp_path: Path
) -> None:
    """The data of episode 1 goes, robotd's folder stays: evidence of 2 and 3 is beside 1 and 2."""
    episodes = [
        pq.read_table(path).to_pylist()[0]
        for path in sorted((ours / "meta/episodes").rglob("*.parquet"))
    ]
    for path in (ours / "meta/episodes").rglob("*.parquet"):
        path.unlink()
    (ours / "data/chunk-000/file-001.parquet").unlink()
    for index, row in enumerate(episodes[:1] + episodes[2:]):
        row["episode_index"] = index
        path = ours / f"meta/episodes/chunk-000/file-{index:03d}.parquet"
        pq.write_table(pa.Table.from_pylist([row]), path)
        data = ours / f"data/chunk-000/file-{row['data/file_index']:03d}.parquet"
        table = pq.read_table(data)
        numbers = pa.array([index] * table.num_rows)
        place = table.column_names.index("episode_index")
        pq.write_table(table.set_column(place, table.schema.field(place), numbers), data)
    found = {each.code: each for each in examine(ours).findings}
    assert found["evidence"].episodes == (1, 2, 3)
    result = mend(ours, tmp_path / "mended", examine)
    assert (result.saved, result.report.findings) == (3, ())
    first = read_episode_about(tmp_path / "mended", 0)
    assert first is not None and first.rows == 18
    assert read_episode_about(tmp_path / "mended", 1) is None


def test_evidence_keeps_to_its_episode_when_one_before_it_is_lost(
    ours: Path, tmp_path: Path
) -> None:
    (ours / "data/chunk-000/file-001.parquet").write_bytes(b"PAR1 torn")
    result = mend(ours, tmp_path / "mended", examine)
    assert (result.saved, result.renumbered, result.report.findings) == (3, {2: 1, 3: 2}, ())
    about = [read_episode_about(tmp_path / "mended", index) for index in range(3)]
    assert [each.rows for each in about if each] == [18, 24, 20]
    assert [each.episode_index for each in about if each] == [0, 1, 2]


def test_a_change_that_was_begun_is_ended_in_the_copy_alone(ours: Path, tmp_path: Path) -> None:
    staged = ours / transaction.STAGING / "x"
    staged.mkdir(parents=True)
    info = json.loads((ours / "meta/info.json").read_bytes())
    (staged / "info.json").write_text(json.dumps(info | {"robot_type": "so_follower "}))
    commit = transaction.read_commits(ours)[-1]
    steps = ((f"{transaction.STAGING}/x/info.json", "meta/info.json"),)
    transaction.begin(ours, transaction.Intent(steps=steps, commit=commit))
    assert "unfinished" in codes(ours)
    result = mend(ours, tmp_path / "mended", examine)
    assert result.report.clean
    assert json.loads((tmp_path / "mended/meta/info.json").read_bytes())["robot_type"][-1] == " "
    assert "unfinished" in codes(ours)


def test_a_dataset_that_is_being_recorded_into_is_called_busy_not_broken(ours: Path) -> None:
    (ours / transaction.STAGING / "x").mkdir(parents=True)
    with transaction.locked(ours):
        report = examine(ours)
    assert [each.code for each in report.findings] == ["busy"]
    assert report.clean


def test_a_tag_that_is_not_where_the_branch_is_is_told(
    ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    cache = tmp_path / "home/hub/datasets--me--set"
    (cache / "refs").mkdir(parents=True)
    shutil.copytree(ours, cache / "snapshots/aaa1")
    (cache / "refs/v3.0").write_text("aaa1")
    (cache / "refs/main").write_text("aaa1")
    root = cache / "snapshots/aaa1"
    assert codes(root) == set()
    (cache / "refs/main").write_text("bbb2")
    assert codes(root) == {"tag"}
    (root / "videos/observation.images.wrist/chunk-000/file-001.mp4").unlink()
    (root / "videos/observation.images.wrist/chunk-000/file-001.mp4").symlink_to("../gone")
    assert {"download", "missing"} <= codes(root)


def test_the_exit_status_says_how_it_went(
    ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def checked(*arguments: str) -> int:
        return main(["dataset", "check", *arguments])

    assert checked(str(ours)) == 0
    assert "Clean." in capsys.readouterr().out
    assert checked(str(ours), "--fix") == 0
    assert "no copy was made" in capsys.readouterr().out
    (ours / "meta/stats.json").unlink()
    assert checked(str(ours), "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["clean"], said["findings"][0]["code"]) == (False, "stats-file")
    assert checked(str(ours), "--fix") == 0
    assert (tmp_path / "set-fixed/meta/stats.json").exists()
    capsys.readouterr()
    for arguments in (
        ["./nothing-here"],
        [str(ours), "--episodes", "3-1"],
        [str(ours), "--out", "x"],
        [str(ours), "--fix", "--out", str(ours)],
    ):
        assert checked(*arguments) == 2
        assert "do:" in capsys.readouterr().err


def test_a_dataset_of_the_old_format_is_told_how_to_become_one_of_the_new(
    ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = json.loads((ours / "meta/info.json").read_bytes())
    (ours / "meta/info.json").write_text(json.dumps(info | {"codebase_version": "v2.1"}))
    assert main(["dataset", "check", str(ours)]) == 1
    said = capsys.readouterr().out
    assert "v2.1" in said
    assert f"robotd dataset convert {ours} --out" in said


def grasps(change: Callable[[Any], Any], held: float) -> tuple[set[str], str]:
    """Twelve episodes that close on a thing 30 wide, commanded `held` further; codes and words."""
    goal = np.concatenate([np.linspace(90, 30 - held, 20), np.full(30, 30 - held), np.full(10, 90)])
    state = np.concatenate([np.linspace(90, 30, 20), np.full(30, 30), np.full(10, 88)])
    columns = [np.tile(np.outer(each, [0.1] * 5 + [1.0]), (12, 1)) for each in (state, goal)]
    for values in columns:
        values[:, 5] = change(values[:, 5])
    names = [
        f"{j}.pos"
        for j in (
            "shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper",
        )
    ]  # fmt: skip
    feature = {"dtype": "float32", "shape": [6], "names": names}
    table = pa.table(
        {
            "episode_index": np.repeat(np.arange(12), 60),
            "frame_index": np.tile(np.arange(60), 12),
            "observation.state": columns[0].tolist(),
            "action": columns[1].tolist(),
        }
    )
    features = {"observation.state": feature, "action": feature}
    found = Contents(Path("x"), info={"fps": 30, "features": features})
    found.data.append(DataFile("d", table))
    findings, facts = check_gripper(found, table, stretches(table))
    return {each.code for each in findings}, facts.get("gripper", "")


def test_which_way_a_gripper_closes_is_told_by_what_it_held_and_else_not_at_all() -> None:
    codes, words = grasps(lambda x: x, held=12)
    assert codes == set()
    assert words.startswith("gripper.pos closes towards 0")
    assert grasps(lambda x: 100 - x, held=12)[0] == {"gripper-inverted"}
    assert "do not tell" in grasps(lambda x: 100 - x, held=0)[1]
