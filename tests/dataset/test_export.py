"""`robotd dataset export`: labels and evidence as LeRobot's columns, RLDS, and CSV."""

import csv
import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from daemon.cli.main import main
from daemon.recorder import dataset
from daemon.recorder.journal import EpisodeJournal
from daemon.recorder.quality.files import QUALITY, encode_verdict
from daemon.recorder.quality.finding import Finding, Verdict
from daemon.recorder.relabel import relabel_journal
from daemon.recorder.schema import Label, Mark
from daemon.recorder.staging import episode_folder
from dataset.exporting.tfrecord import crc32c, masked
from dataset.provenance import read_provenance

from ..recording.conftest import lerobot_datasets, open_dataset, tmp_path  # noqa: F401
from ..recording.episodes import STARTED, make_frames, make_row, make_spec, number_in

LENGTHS = (range(10), range(40, 52), range(100, 108))


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """me/pick: a success with a mark, a failure that a person corrected, one nobody judged."""
    home = tmp_path / "home"
    monkeypatch.setenv("HF_LEROBOT_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    root = home / "me/pick"
    spec = make_spec(root)
    labels = (Label(success=True), Label(success=False), Label())
    for episode, numbers in enumerate(LENGTHS):
        folder = tmp_path / f"journal-{episode}"
        journal = EpisodeJournal.create(folder, spec, started=STARTED)
        for number in numbers:
            row = make_row(spec, number)
            if episode == 1 and number >= 46:
                from dataclasses import replace

                row = replace(
                    row, evidence=replace(row.evidence, source="correction", intervention_id=0)
                )
            journal.append(row, make_frames(spec, number))
        journal.close(kept=True)
        dataset.publish(folder)

        def say(page: Any, label: Label = labels[episode], marked: bool = episode == 0) -> Any:
            from msgspec.structs import replace

            return replace(page, label=label, marks=(Mark(4),) if marked else ())

        relabel_journal(root, f"journal-{episode}", say, time.time_ns)
    verdicts = [(), (Finding(code="gap", severity="warn", what="a gap", do="look"),)]
    for episode, findings in enumerate(verdicts):
        path = root / episode_folder(episode) / QUALITY
        path.write_bytes(encode_verdict(Verdict(findings=findings)))
    return root


def export(*words: str) -> int:
    return main(["dataset", "export", *words])


def test_labels_and_evidence_are_columns_that_lerobot_loads_and_knows_the_statistics_of(
    recorded: Path,
    open_dataset: Callable[[Path], Any],  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    from lerobot.datasets.compute_stats import aggregate_stats, compute_episode_stats

    words = ["--labels", "--evidence", "--only", "labelled"]
    assert export("me/pick", "--out", "me/judged", *words) == 0
    root = recorded.parent / "judged"
    loaded = open_dataset(root)
    numbers = [*LENGTHS[0], *LENGTHS[1]]
    assert len(loaded) == 22
    for index, number in enumerate(numbers):
        item = loaded[index]
        at, episode = (index, 0) if index < 10 else (index - 10, 1)
        last = at == len(LENGTHS[episode]) - 1
        assert item["next.done"].item() is last
        assert item["next.success"].item() is (last and episode == 0)
        assert item["next.reward"].item() == float(last and episode == 0)
        assert item["subgoal"].item() == int(episode == 0 and at >= 4)
        corrected = episode == 1 and number >= 46
        assert item["source"] == ("correction" if corrected else "scripted")
        assert item["intervention"].item() is corrected
        assert item["intervention_id"].item() == (0 if corrected else -1)
        assert item["evidence.deadline_ns"].item() == number * 66_666_667
        assert item["evidence.requested_rad"].tolist() == pytest.approx([number * 0.01] * 6)
        assert item["evidence.capture_ns.wrist"].item() == number * 66_000_000
        assert item["evidence.repeated.wrist"].item() is False
        image = item["observation.images.overhead"].numpy().transpose(1, 2, 0)
        assert number_in(image) == number
    names = ["next.done", "next.reward", "subgoal", "intervention_id", "evidence.requested_rad"]
    names += ["index", "action", "evidence.repeated.wrist"]
    table = loaded.hf_dataset.with_format("numpy")[:]
    episodes = []
    for index in range(2):
        rows = table["episode_index"] == index
        data = {name: np.stack(table[name][rows]) for name in names}
        episodes.append(compute_episode_stats(data, loaded.meta.features))
    for name, stats in aggregate_stats(episodes).items():
        for key, value in stats.items():
            ours = loaded.meta.stats[name][key]
            np.testing.assert_allclose(ours, value, rtol=1e-6, atol=1e-6, err_msg=name)
    assert "source" not in loaded.meta.stats
    (step,) = read_provenance(root)
    assert step.did[:3] == (
        "format: lerobot",
        "episodes 0-1 of 3",
        "only what is called a success or a failure",
    )
    assert "next.done" in json.loads((root / "robotd/columns.json").read_text())
    capsys.readouterr()
    assert export("me/judged", "--out", "me/twice", "--labels") != 0
    assert "has a column next.done already" in capsys.readouterr().err


def test_without_a_verdict_on_every_episode_there_is_no_success_column(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("me/pick", "--out", "me/all", "--labels", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert "1 episodes were called neither" in said["warnings"][0]
    info = json.loads((recorded.parent / "all/meta/info.json").read_text())
    assert "next.success" not in info["features"]
    assert info["features"]["next.reward"] == {"dtype": "float32", "shape": [1], "names": None}
    video = "videos/observation.images.wrist/chunk-000/file-002.mp4"
    assert (recorded.parent / "all" / video).samefile(recorded / video)


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (["--only", "success"], "episode 0 of 3"),
        (["--only", "failure"], "episode 1 of 3"),
        (["--only", "usable"], "episodes 0-1 of 3"),
        (["--only", "clean", "--only", "success"], "episode 0 of 3"),
        (["--only", "whole", "--episodes", "1-2"], "episodes 1-2 of 3"),
        (["--only", "clean", "--only", "failure"], None),
        (["--episodes", "7"], None),
    ],
)
def test_episodes_are_chosen_by_what_is_known_of_them(
    recorded: Path, capsys: pytest.CaptureFixture[str], words: list[str], taken: str | None
) -> None:
    status = export("me/pick", "--out", "me/some", *words, "--dry-run", "--json")
    assert (status == 0) is (taken is not None)
    if taken is not None:
        assert json.loads(capsys.readouterr().out)["did"][0] == taken
    assert [path.name for path in recorded.parent.iterdir()] == ["pick"]


def records(path: Path) -> list[dict[str, list[Any]]]:
    """A reader of its own: TFRecord framing and tf.train.Example, from their specifications."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        assert struct.unpack_from("<I", data, 8) == (masked(crc32c(data[:8])),)
        body = data[12 : 12 + length]
        assert struct.unpack_from("<I", data, 12 + length) == (masked(crc32c(body)),)
        found.append(features_in(body))
        data = data[16 + length :]
    return found


def fields(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        key, at = varint(data, at)
        assert key & 7 == 2
        length, at = varint(data, at)
        found.append((key >> 3, data[at : at + length]))
        at += length
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def features_in(body: bytes) -> dict[str, list[Any]]:
    ((number, table),) = fields(body)
    assert number == 1
    found: dict[str, list[Any]] = {}
    for _, entry in fields(table):
        (_, name), (_, feature) = fields(entry)
        ((kind, values),) = fields(feature)
        parts = [each for _, each in fields(values)]
        if kind == 1:
            found[name.decode()] = list(parts)
        elif kind == 2:
            found[name.decode()] = np.frombuffer(b"".join(parts), "<f4").tolist()
        else:
            packed, at, ints = b"".join(parts), 0, []
            while at < len(packed):
                value, at = varint(packed, at)
                ints.append(value - (1 << 64) if value >> 63 else value)
            found[name.decode()] = ints
    return found


def test_an_rlds_episode_holds_every_step_and_its_pictures(recorded: Path, tmp_path: Path) -> None:  # noqa: F811
    assert export("me/pick", "--out", "Pick-RLDS", "--format", "rlds") == 0
    folder = tmp_path / "Pick-RLDS/1.0.0"
    (first, second, third) = records(folder / "pick_rlds-train.tfrecord-00000-of-00001")
    spec = make_spec(recorded)
    rows = [make_row(spec, number) for number in LENGTHS[0]]
    assert first["steps/is_first"] == [1, *[0] * 9]
    assert first["steps/is_last"] == first["steps/is_terminal"] == [*[0] * 9, 1]
    assert first["steps/discount"] == [*[1.0] * 9, 0.0]
    assert first["steps/reward"] == [*[0.0] * 9, 1.0]
    assert first["steps/action"] == np.concatenate([row.action for row in rows]).tolist()
    state = np.concatenate([row.state for row in rows]).tolist()
    assert first["steps/observation/state"] == state
    assert first["steps/language_instruction"] == [spec.task.encode()] * 10
    assert first["steps/subgoal"] == [0] * 4 + [1] * 6
    for camera, turned in (("overhead", False), ("wrist", True)):
        for number, jpeg in zip(LENGTHS[0], first[f"steps/observation/{camera}"], strict=True):
            image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            assert number_in(image) == (4095 - number if turned else number)
    assert [each["episode_metadata/success"] for each in (first, second, third)] == [[1], [0], [-1]]
    assert second["steps/source"][5:7] == [b"scripted", b"correction"]
    assert third["episode_metadata/convention"][0].startswith(b"degrees")

    # TensorFlow Datasets finds every key of the records in features.json, with its type.
    features = json.loads((folder / "features.json").read_text())
    table = features["featuresDict"]["features"]
    steps = table["steps"]["sequence"]["feature"]["featuresDict"]["features"]
    observation = steps.pop("observation")["featuresDict"]["features"]
    named = {f"steps/{name}" for name in steps} | {
        f"steps/observation/{name}" for name in observation
    }
    about = table["episode_metadata"]["featuresDict"]["features"]
    assert named | {f"episode_metadata/{name}" for name in about} == set(first)
    assert observation["state"]["tensor"]["shape"] == {"dimensions": ["6"]}
    (split,) = json.loads((folder / "dataset_info.json").read_text())["splits"]
    assert split["shardLengths"] == ["3"]


def test_a_csv_has_a_row_a_frame_and_a_column_a_joint(recorded: Path, tmp_path: Path) -> None:  # noqa: F811
    assert export("me/pick", "--out", "tables", "--format", "csv", "--labels") == 0
    with (tmp_path / "tables/episode-000001.csv").open() as file:
        rows = list(csv.DictReader(file))
    row = make_row(make_spec(recorded), 47)
    assert len(rows) == 12
    assert float(rows[7]["action.gripper.pos"]) == pytest.approx(float(row.action[5]))
    assert (rows[7]["source"], rows[7]["task"]) == ("correction", row.task)
