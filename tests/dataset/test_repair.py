"""What LeRobot leaves when it is killed, and what is saved of it: each row with its own pictures."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.cli.main import main
from daemon.recorder import dataset as publishing
from daemon.recorder.soundness import check_sound
from dataset.check import examine
from dataset.findings import CannotCheckError
from dataset.repair import Mended, mend
from dataset.repairing.parquet import with_footer
from dataset.repairing.thrift import Reader, encode
from robotd.errors import DatasetError, DiskFullError

from ..recording.episodes import make_spec, number_in, write_episode

pytestmark = pytest.mark.timeout(600)  # LeRobot alone takes 10 s to be imported, twice

type Open = Callable[[Path], Any]


def rows_of(episode: int) -> int:
    """As in lerobot_writer.py."""
    return 16 + 3 * (episode % 5)


def pose(number: int) -> np.ndarray[Any, Any]:
    """As in lerobot_writer.py."""
    swing = np.sin(number / 9 * np.array([1.0, 0.5, 0.3, 1.0, 0.25, 0.5]))
    middle = np.array([0, -60, 20, 0, 0, 50])
    return (middle + swing * np.array([40, 30, 60, 20, 110, 40])).astype(np.float32)


def numbers_of(episodes: list[int]) -> list[int]:
    result = []
    for episode in episodes:
        start = sum(rows_of(each) for each in range(episode))
        result += range(start, start + rows_of(episode))
    return result


def check_theirs(loaded: Any, episodes: list[int], every: int = 1) -> None:
    """Every row (or every n-th) of a LeRobot dataset is one that was recorded, with its pictures."""
    numbers = numbers_of(episodes)
    assert len(loaded) == len(numbers)
    assert loaded.num_episodes == len(episodes)
    for index in [*range(0, len(numbers), every), len(numbers) - 1]:
        item, number = loaded[index], numbers[index]
        assert item["index"].item() == index
        np.testing.assert_array_equal(item["observation.state"].numpy(), pose(number))
        np.testing.assert_array_equal(item["action"].numpy(), pose(number + 2))
        for camera, shown in (("overhead", number), ("wrist", 4095 - number)):
            image = item[f"observation.images.{camera}"].numpy().transpose(1, 2, 0)
            assert number_in(image) == shown, (index, camera)


def mended(root: Path, target: Path) -> Mended:
    return mend(root, target, examine)


@pytest.mark.parametrize(
    ("moment", "saved"),
    [
        ("torn-after-one-episode", 1),
        ("torn-behind-the-rows", 4),
        ("torn-behind-an-encoding", 4),
        ("torn-behind-the-videos", 4),
        ("torn-after-four-episodes", 4),
        ("torn-in-a-resumed-session", 4),
        ("torn-after-eleven-episodes", 11),
        ("killed", 12),
    ],
)
def test_every_episode_that_lerobot_had_saved_when_it_was_killed_is_saved(
    written: Path, tmp_path: Path, open_dataset: Open, moment: str, saved: int
) -> None:
    assert not examine(written / moment).clean
    result = mended(written / moment, tmp_path / "mended")
    assert result.saved == saved
    assert result.report.findings == ()
    check_theirs(open_dataset(tmp_path / "mended"), list(range(saved)), every=2 if saved < 5 else 7)


def test_what_is_mended_is_what_lerobot_would_have_closed(
    written: Path, tmp_path: Path, open_dataset: Open
) -> None:
    mended(written / "torn-after-four-episodes", tmp_path / "mended")
    for name in ("meta/info.json", "meta/stats.json"):
        ours, theirs = (
            json.loads((root / name).read_bytes())
            for root in (tmp_path / "mended", written / "clean-h264")
        )
        if name == "meta/info.json":
            assert ours == theirs
            continue
        for feature, stats in theirs.items():
            for each, value in stats.items():
                # Of pictures LeRobot took them before encoding.
                room = 0.02 if "images" in feature else 1e-6
                np.testing.assert_allclose(ours[feature][each], value, atol=room, rtol=1e-6)


def test_a_mended_dataset_takes_episodes_of_lerobot_and_of_robotd(
    written: Path, tmp_path: Path, open_dataset: Open
) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    root = tmp_path / "mended"
    mended(written / "killed", root)
    theirs = LeRobotDataset.resume("me/theirs", root=root)
    picture = np.zeros((96, 128, 3), np.uint8)
    for _ in range(3):
        frame: dict[str, Any] = {"action": pose(0), "observation.state": pose(0), "task": "more"}
        for camera in ("overhead", "wrist"):
            frame[f"observation.images.{camera}"] = picture
        theirs.add_frame(frame)
    theirs.save_episode(parallel_encoding=False)
    theirs.finalize()
    spec = make_spec(root)
    check_sound(root, spec)
    publishing.publish(write_episode(tmp_path / "j" / "e", spec, 5))
    loaded = open_dataset(root)
    assert loaded.num_episodes == 14
    last = loaded[len(loaded) - 1]["observation.images.overhead"].numpy().transpose(1, 2, 0)
    assert number_in(last) == 4


def test_a_video_that_is_cut_off_costs_the_episodes_behind_the_cut(
    written: Path, tmp_path: Path, open_dataset: Open
) -> None:
    root = tmp_path / "torn"
    shutil.copytree(written / "torn-after-four-episodes", root)
    path = root / "videos/observation.images.wrist/chunk-000/file-000.mp4"
    size = path.stat().st_size
    with av.open(str(path)) as container:
        places = sorted(p.pos for p in container.demux(video=0) if p.size)
    cut = places[numbers_of([0, 1, 2])[-1] - 4]
    assert cut < size
    with path.open("r+b") as file:
        file.truncate(cut)
    result = mended(root, tmp_path / "mended")
    assert result.saved == 2
    assert [episode for episode, _ in result.lost] == [2, 3]
    assert result.report.clean
    check_theirs(open_dataset(tmp_path / "mended"), [0, 1])


def test_rows_whose_pictures_cannot_be_told_are_not_saved(written: Path, tmp_path: Path) -> None:
    """One frame less than rows, and nothing says of which episode: a shift nobody would see."""
    root = tmp_path / "torn"
    shutil.copytree(written / "torn-after-four-episodes", root)
    path = root / "videos/observation.images.wrist/chunk-000/file-000.mp4"
    drop_a_frame(path, 20)
    with pytest.raises(CannotCheckError, match="Nothing of"):
        mended(root, tmp_path / "mended")
    assert sorted(each.name for each in tmp_path.iterdir() if "mend" in each.name) == []


def drop_a_frame(path: Path, number: int) -> None:
    """Encode a video again without one of its frames."""
    frames = []
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        for index, frame in enumerate(container.decode(video=0)):
            if index != number:
                frames.append(frame.to_ndarray(format="rgb24"))
    path.unlink()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for each in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(each, format="rgb24")))
        container.mux(stream.encode(None))


def test_rows_that_a_failed_save_left_twice_are_told_apart(
    written: Path, tmp_path: Path, open_dataset: Open
) -> None:
    root = tmp_path / "torn"
    shutil.copytree(written / "clean-h264", root)
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    ends = np.cumsum([rows_of(e) for e in range(4)])
    failed = table.slice(ends[0], 7)  # seven rows of episode 1, then episode 1 as it was saved
    pq.write_table(pa.concat_tables([table.slice(0, ends[0]), failed, table.slice(ends[0])]), path)
    assert "twice" in {each.code for each in examine(root).findings}
    result = mended(root, tmp_path / "mended")
    assert (result.saved, result.report.findings) == (4, ())
    check_theirs(open_dataset(tmp_path / "mended"), [0, 1, 2, 3], every=3)


def test_an_episode_whose_rows_are_gone_is_left_out_and_the_rest_stays(
    written: Path, tmp_path: Path, open_dataset: Open
) -> None:
    root = tmp_path / "torn"
    shutil.copytree(written / "clean-h264", root)
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.filter(pa.compute.not_equal(table["episode_index"], 1)), path)
    result = mended(root, tmp_path / "mended")
    assert [episode for episode, _ in result.lost] == [1]
    assert result.renumbered == {2: 1, 3: 2}
    check_theirs(open_dataset(tmp_path / "mended"), [0, 2, 3], every=3)


def test_the_dataset_itself_is_never_touched_and_nothing_is_overwritten(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "torn"
    shutil.copytree(written / "killed", root)
    before = content(root)
    target = tmp_path / "mended"
    assert main(["dataset", "check", str(root), "--fix", "--out", str(target), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["clean"], said["fixed"]["saved"], said["fixed"]["report"]["clean"]) == (
        False,
        12,
        True,
    )
    assert content(root) == before
    again = content(target)
    assert main(["dataset", "check", str(root), "--fix", "--out", str(target)]) == 2
    assert content(target) == again
    with pytest.raises(DatasetError, match="inside"):
        mended(root, root / "mended")


def content(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_what_a_killed_repair_left_is_removed_by_the_next(written: Path, tmp_path: Path) -> None:
    left = tmp_path / ".mended.mending-4194999"  # above Linux's highest process number
    (left / "meta").mkdir(parents=True)
    mended(written / "torn-after-one-episode", tmp_path / "mended")
    assert [each.name for each in tmp_path.iterdir() if "mend" in each.name] == ["mended"]


def test_a_full_disk_leaves_nothing_behind(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dataset.repairing.write.layout.write_tasks", full)
    root = tmp_path / "torn"
    shutil.copytree(written / "killed", root)
    (root / "meta/tasks.parquet").write_bytes(b"PAR1")
    with pytest.raises(DiskFullError):
        mended(root, tmp_path / "mended")
    assert [each.name for each in tmp_path.iterdir() if "mended" in each.name] == []


def test_episodes_are_not_given_up_for_a_sentence(written: Path, tmp_path: Path) -> None:
    root = tmp_path / "torn"
    shutil.copytree(written / "torn-after-four-episodes", root)
    (root / "meta/tasks.parquet").write_bytes(b"")
    result = mended(root, tmp_path / "mended")
    assert result.saved == 4
    assert {each.code: each.episodes for each in result.report.findings} == {
        "task-lost": (0, 1, 2, 3)
    }


SCHEMA = pa.schema(
    [
        ("action", pa.list_(pa.float32(), 6)),
        ("next.done", pa.bool_()),
        ("timestamp", pa.float32()),
        ("index", pa.int64()),
    ]
)


def torn_file(lengths: list[int]) -> tuple[bytes, pa.Table]:
    """What a ParquetWriter has written before it is closed, and the rows."""
    rng = np.random.default_rng(len(lengths))
    sink = io.BytesIO()
    writer = pq.ParquetWriter(sink, SCHEMA, compression="snappy", use_dictionary=True)
    tables = []
    for count in lengths:
        values = pa.array(rng.normal(0, 50, 6 * count).astype(np.float32))
        arrays = [
            pa.FixedSizeListArray.from_arrays(values, 6),
            pa.array(rng.random(count) > 0.9),
            pa.array(np.arange(count) / 30, pa.float32()),
            pa.array(np.arange(count)),
        ]
        tables.append(pa.Table.from_arrays(arrays, schema=SCHEMA))
        writer.write_table(tables[-1])
    return sink.getvalue(), pa.concat_tables(tables)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5), st.floats(0, 1))
def test_wherever_a_data_file_is_torn_whole_episodes_come_out_of_it(
    lengths: list[int], where: float
) -> None:
    data, rows = torn_file(lengths)
    cut = max(4, int(len(data) * where)) if where < 1 else len(data)
    saved = pq.read_table(io.BytesIO(with_footer(data[:cut], SCHEMA)))
    assert saved.num_rows in [0, *np.cumsum(lengths)]
    assert saved.equals(rows.slice(0, saved.num_rows))
    if where == 1:
        assert saved.num_rows == rows.num_rows


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 4))
def test_bytes_that_are_no_parquet_are_no_rows(noise: bytes, episodes: int) -> None:
    data, _ = torn_file([5] * (episodes or 1))
    saved = pq.read_table(io.BytesIO(with_footer(data[:100] + noise, SCHEMA)))
    assert saved.num_rows in (0, 5)


def test_a_footer_is_written_back_as_it_was_read() -> None:
    sink = io.BytesIO()
    pq.write_table(torn_file([50, 3])[1], sink)
    data = sink.getvalue()
    size = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - size : -8]
    assert encode(Reader(footer).struct()) == footer


@pytest.mark.parametrize("name", ["clean-h264", "clean-image", "clean-none"])
def test_a_lost_info_json_is_made_again_from_rows_and_videos_and_what_it_alone_knew_is_said(
    written: Path, tmp_path: Path, open_dataset: Open, name: str
) -> None:
    root, target = tmp_path / "set", tmp_path / "mended"
    shutil.copytree(written / name, root)
    before = json.loads((root / "meta/info.json").read_bytes())
    (root / "meta/info.json").unlink()
    result = mended(root, target)
    assert {each.code for each in result.report.findings} == {"names"}
    said = " ".join(result.done)
    assert "6 values of action without names" in said and "robot_type open" in said
    after = json.loads((target / "meta/info.json").read_bytes())
    assert list(after["features"]) == list(before["features"])
    for feature, declared in before["features"].items():
        vector = feature in ("action", "observation.state")
        expected = {**declared, "names": None} if vector else declared
        for part in ("dtype", "shape", "names"):
            assert after["features"][feature][part] == expected[part], (feature, part)
    for part in ("fps", "total_episodes", "total_frames", "total_tasks", "splits"):
        assert after[part] == before[part], part
    loaded = open_dataset(target)
    assert loaded.num_episodes == before["total_episodes"]
    item, last = loaded[len(loaded) - 1], numbers_of(list(range(loaded.num_episodes)))[-1]
    np.testing.assert_array_equal(item["observation.state"].numpy(), pose(last))
    for camera in ("overhead", "wrist") if name != "clean-none" else ():
        image = item[f"observation.images.{camera}"].numpy().transpose(1, 2, 0)
        assert number_in(image) == (4095 - last if camera == "wrist" else last)
    assert not (root / "meta/info.json").exists()


def test_lerobots_card_gives_a_lost_info_json_back(written: Path, tmp_path: Path) -> None:
    from lerobot.datasets.io_utils import load_info
    from lerobot.datasets.utils import create_lerobot_dataset_card

    root, target = tmp_path / "set", tmp_path / "mended"
    shutil.copytree(written / "clean-h264", root)
    before = json.loads((root / "meta/info.json").read_bytes())
    card = create_lerobot_dataset_card(dataset_info=load_info(root), license="apache-2.0")
    (root / "README.md").write_text(str(card))
    (root / "meta/info.json").unlink()
    result = mended(root, target)
    assert result.report.clean
    assert json.loads((target / "meta/info.json").read_bytes()) == before
    # A card of another dataset is not believed.
    (root / "README.md").write_text(str(card).replace("observation.images.wrist", "other"))
    again = mended(root, tmp_path / "again")
    assert "without names" in " ".join(again.done)


@pytest.mark.parametrize("episodes", [1, 2])
def test_what_robotd_noted_gives_its_own_lost_info_json_back(tmp_path: Path, episodes: int) -> None:
    root, target = tmp_path / "set", tmp_path / "mended"
    for number in range(episodes):
        journal = write_episode(tmp_path / "j" / str(number), make_spec(root), 6 + number)
        publishing.publish(journal)
    before = json.loads((root / "meta/info.json").read_bytes())
    (root / "meta/info.json").write_bytes(b'{"codebase_version": "v3.0", "fp')
    result = mended(root, target)
    assert result.report.clean, result.report.findings
    after = json.loads((target / "meta/info.json").read_bytes())
    for part in ("features", "fps", "robot_type", "total_frames", "total_episodes"):
        if part == "features":  # how it was encoded is noted in an earlier info.json alone
            assert after[part].keys() == before[part].keys()
            for name, feature in before[part].items():
                assert {**after[part][name], "info": 0} == {**feature, "info": 0}
        else:
            assert after[part] == before[part], part
    check_sound(target, make_spec(target))


@pytest.mark.parametrize(
    ("breaking", "words"),
    [
        (lambda root: shutil.rmtree(root / "data"), "no data file can be read"),
        (
            lambda root: (root / "data/chunk-000/file-000.parquet").rename(
                root / "data/chunk-000/episode_000000.parquet"
            ),
            "not named as format v3.0",
        ),
        (lambda root: restamp(root, lambda stamps: stamps * 0), "frames per second cannot be told"),
        (lambda root: restamp(root, lambda stamps: stamps * 1.04), "14.42 by its times"),
    ],
)
def test_what_of_a_lost_info_json_cannot_be_known_is_named(
    written: Path, tmp_path: Path, breaking: Callable[[Path], object], words: str
) -> None:
    root = tmp_path / "set"
    shutil.copytree(written / "clean-none", root)
    (root / "meta/info.json").unlink()
    breaking(root)
    with pytest.raises(CannotCheckError, match=words):
        mended(root, tmp_path / "mended")
    assert not (tmp_path / "mended").exists()


def restamp(root: Path, change: Callable[[Any], Any]) -> None:
    path = root / "data/chunk-000/file-000.parquet"
    rows = pq.read_table(path)
    place = rows.column_names.index("timestamp")
    stamps = pa.array(change(rows["timestamp"].to_numpy()).astype(np.float32))
    pq.write_table(rows.set_column(place, "timestamp", stamps), path)
