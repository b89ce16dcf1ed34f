"""`robotd dataset convert`: the result is LeRobot's in every respect, and the source untouched."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.cli.main import main
from daemon.recorder import catalog, dataset
from daemon.recorder.convention import read_convention
from daemon.recorder.schema import EpisodeSpec
from daemon.recorder.soundness import check_units
from dataset.provenance import read_provenance
from drivers.calibration import fingerprint, load_calibration
from policies.recording import read_recorded_actions
from robotd.errors import DatasetError
from uploads.card import make_card
from uploads.snapshot import take_snapshot

from ..recording.conftest import lerobot_datasets, open_dataset, tmp_path  # noqa: F401
from ..recording.episodes import check_frames, make_row, make_spec, number_in, write_episode
from .legacy import write_v21
from .test_convert_values import calibration_file

LENGTHS = (range(14), range(40, 61))


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """LeRobot's home with me/pick, recorded by robotd: two episodes, two cameras."""
    home = tmp_path / "home"
    monkeypatch.setenv("HF_LEROBOT_HOME", str(home))
    root = home / "me/pick"
    spec = make_spec(root, calibration_sha256="0123456789abcdef")
    for numbers in LENGTHS:
        journal = tmp_path / f"journal-{numbers.start}"
        dataset.publish(write_episode(journal, spec, len(numbers), first=numbers.start))
    return root


def convert(*words: str) -> int:
    return main(["dataset", "convert", *words])


def content(root: Path) -> dict[str, str]:
    """What every file under `root` holds."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def values(root: Path, name: str) -> np.ndarray:
    files = sorted((root / "data").rglob("*.parquet"))
    return np.concatenate([np.array(pq.read_table(each)[name].to_pylist()) for each in files])


def expected_stats(loaded: Any, spec: EpisodeSpec, names: tuple[str, ...]) -> dict[str, Any]:
    """What LeRobot itself computes for the vectors of a dataset that it loaded."""
    from lerobot.datasets.compute_stats import aggregate_stats, compute_episode_stats

    table = loaded.hf_dataset.with_format("numpy")[:]
    episodes = []
    for index in range(loaded.num_episodes):
        rows = table["episode_index"] == index
        data = {name: np.stack(table[name][rows]) for name in names}
        episodes.append(compute_episode_stats(data, loaded.meta.features))
    return dict(aggregate_stats(episodes))


def test_all_at_once_loads_in_lerobot_with_the_statistics_lerobot_computes(
    recorded: Path,
    open_dataset: Callable[[Path], Any],  # noqa: F811
) -> None:
    before = content(recorded)
    words = ["--units", "radians", "--gripper", "1-x/100", "--actions", "delta"]
    words += ["--camera", "overhead=base_0_rgb", "--camera", "wrist=left_wrist_0_rgb"]
    assert convert("me/pick", "--out", "me/pi0", *words) == 0
    assert content(recorded) == before
    root = recorded.parent / "pi0"
    spec = make_spec(root)

    loaded = open_dataset(root)
    numbers = [*LENGTHS[0], *LENGTHS[1]]
    assert len(loaded) == len(numbers)
    for index, number in enumerate(numbers):
        item, row = loaded[index], make_row(spec, number)
        state = np.radians(row.state.astype(np.float64))
        state[5] = 1 - row.state[5] / 100
        action = np.radians(row.action.astype(np.float64)) - state
        action[5] = 1 - row.action[5] / 100
        np.testing.assert_allclose(item["observation.state"].numpy(), state, atol=1e-6)
        np.testing.assert_allclose(item["action"].numpy(), action, atol=1e-6)
        image = item["observation.images.base_0_rgb"].numpy().transpose(1, 2, 0)
        assert number_in(image) == number
        image = item["observation.images.left_wrist_0_rgb"].numpy().transpose(1, 2, 0)
        assert number_in(image) == 4095 - number
    for name, stats in expected_stats(loaded, spec, ("action", "observation.state")).items():
        for key, value in stats.items():
            np.testing.assert_allclose(loaded.meta.stats[name][key], value, rtol=1e-6, atol=1e-6)
    assert set(loaded.meta.stats) == set(loaded.meta.features)

    # Untouched videos are the same file twice; the evidence follows the cameras' new names.
    video = "chunk-000/file-001.mp4"
    new, old = root / "videos/observation.images.base_0_rgb", recorded / "videos"
    assert (new / video).samefile(old / "observation.images.overhead" / video)
    evidence = pq.read_table(root / "robotd/episodes/episode-000001/evidence.parquet")
    assert "capture_ns/left_wrist_0_rgb" in evidence.column_names
    assert not any("overhead" in name for name in evidence.column_names)
    about = catalog.read_episode_about(root, 1)
    assert about is not None
    assert [camera.name for camera in about.spec.cameras] == ["base_0_rgb", "left_wrist_0_rgb"]
    (step,) = read_provenance(root)
    assert step.source == "me/pick"
    assert step.info_sha256 == before["meta/info.json"]
    assert len(step.did) == 5

    # And back: what was recorded, to float32's last digits.
    words = ["--units", "degrees", "--gripper", "100-100x", "--actions", "absolute"]
    words += ["--camera", "base_0_rgb=overhead", "--camera", "left_wrist_0_rgb=wrist"]
    assert convert("me/pi0", "--out", "me/back", *words) == 0
    back = recorded.parent / "back"
    for name in ("action", "observation.state"):
        np.testing.assert_allclose(values(back, name), values(recorded, name), atol=2e-5)
    assert len(read_provenance(back)) == 2
    features = [json.loads((each / "meta/info.json").read_text()) for each in (back, recorded)]
    assert features[0] == features[1]
    check_units(back, make_spec(back))  # an arm's next episode may join this one


def test_a_policy_trains_on_what_was_converted(
    recorded: Path,
    lerobot_datasets: Any,  # noqa: F811
) -> None:
    import torch
    from lerobot.configs.types import FeatureType
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.utils.feature_utils import dataset_to_policy_features

    words = ["--units", "radians", "--camera", "overhead=base_0_rgb", "--actions", "delta"]
    assert convert("me/pick", "--out", "me/pi0", *words) == 0
    loaded = lerobot_datasets.LeRobotDataset(
        "me/pi0",
        root=recorded.parent / "pi0",
        video_backend="pyav",
        delta_timestamps={"action": [step / 15 for step in range(4)]},
    )
    features = dataset_to_policy_features(loaded.meta.features)
    outputs = {k: v for k, v in features.items() if v.type is FeatureType.ACTION}
    config = ACTConfig(
        input_features={k: v for k, v in features.items() if k not in outputs},
        output_features=outputs,
        chunk_size=4,
        n_action_steps=4,
        dim_model=32,
        dim_feedforward=32,
        n_heads=2,
        n_encoder_layers=1,
        use_vae=False,
        pretrained_backbone_weights=None,
        device="cpu",
    )
    policy = ACTPolicy(config)
    before, _ = make_pre_post_processors(config, dataset_stats=loaded.meta.stats)
    batch = before(next(iter(torch.utils.data.DataLoader(loaded, batch_size=2))))
    loss, _ = policy.forward(batch)
    loss.backward()
    assert torch.isfinite(loss)


def test_what_was_converted_is_not_mixed_with_an_arms_numbers(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert("me/pick", "--out", "me/delta", "--actions", "delta") == 0
    root = recorded.parent / "delta"
    with pytest.raises(DatasetError, match="actions delta"):
        check_units(root, make_spec(root, units_confirmed=True))
    names = make_spec(root).action_names
    with pytest.raises(DatasetError, match="actions delta"):
        read_recorded_actions(str(root), 0, names, "degrees")
    assert read_recorded_actions(str(recorded), 0, names).fps == 15
    assert convert("me/delta", "--out", "me/wrist", "--camera", "wrist=left") == 0
    assert convert("me/wrist", "--out", "me/again", "--camera", "left=wrist") == 0
    merge = ["dataset", "merge", "me/delta"]
    assert main([*merge, "me/pick", "--into", "me/mixed"]) != 0
    assert main([*merge, "me/again", "--into", "me/both"]) == 0
    with pytest.raises(DatasetError, match="actions delta"):
        check_units(root.parent / "both", make_spec(root))
    assert main(["dataset", "check", "me/both"]) == 0
    capsys.readouterr()
    assert main(["dataset", "info", "me/again"]) == 0
    said = capsys.readouterr().out
    assert "degrees, gripper percent_open, actions delta" in said
    assert said.count("made by") == 3


def test_an_upload_takes_along_what_the_numbers_became(
    recorded: Path,
    tmp_path: Path,  # noqa: F811
) -> None:
    assert convert("me/pick", "--out", "me/pi0", "--gripper", "1-x/100") == 0
    snapshot = take_snapshot(recorded.parent / "pi0", tmp_path / "hashes.json")
    assert {"robotd/convention.json", "robotd/provenance.json"} <= set(snapshot.files)
    numbers = read_convention(snapshot.root)
    assert numbers is not None
    about = (snapshot.info, snapshot.tasks, snapshot.about, "")
    card = make_card("me/pi0", *about, numbers=numbers.in_words()).decode()
    assert "| Converted to | degrees, gripper fraction_closed, actions absolute |" in card
    assert "0 closed to 100 open" not in card


def test_joints_move_with_their_numbers_names_and_evidence(recorded: Path) -> None:
    noted = recorded / "robotd/episodes/episode-000001/evidence.parquet"
    table = pq.read_table(noted)
    rows = pa.array([list(range(6))] * table.num_rows, pa.list_(pa.float64()))
    place = table.column_names.index("applied_rad")
    pq.write_table(table.set_column(place, "applied_rad", rows), noted)
    order = "gripper,shoulder_pan,shoulder_lift,elbow_flex,wrist_flex,wrist_roll=roll"
    words = ["--joints", order, "--joint-prefix", "left_"]
    assert convert("me/pick", "--out", "me/left", *words) == 0
    root = recorded.parent / "left"
    names = json.loads((root / "meta/info.json").read_text())["features"]["action"]["names"]
    assert (names[0], names[5]) == ("left_gripper.pos", "left_roll.pos")
    np.testing.assert_array_equal(values(root, "action")[:, 0], values(recorded, "action")[:, 5])
    stats = [json.loads((each / "meta/stats.json").read_text()) for each in (root, recorded)]
    assert stats[0]["action"]["q90"][0] == stats[1]["action"]["q90"][5]
    about = catalog.read_episode_about(root, 0)
    assert about is not None
    assert about.spec.state_names[0] == "left_gripper.pos"
    evidence = pq.read_table(root / "robotd/episodes/episode-000001/evidence.parquet")
    assert evidence["applied_rad"][3].as_py() == [5, 0, 1, 2, 3, 4]


def test_the_share_of_a_range_needs_the_calibration_of_that_time(
    tmp_path: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = calibration_file(tmp_path)
    root = tmp_path / "pick"
    spec = make_spec(root, calibration_sha256=fingerprint(load_calibration(path)))
    dataset.publish(write_episode(tmp_path / "journal", spec, 20))
    words = [str(root), "--out", str(tmp_path / "share"), "--units", "range_m100_100"]
    other = tmp_path / "other.json"
    other.write_text(path.read_text().replace("794", "700"))
    assert convert(*words, "--calibration", str(other)) != 0
    assert "is not the one" in capsys.readouterr().err
    assert convert(*words, "--calibration", str(path)) == 0
    shares, degrees = values(tmp_path / "share", "action"), values(root, "action")
    np.testing.assert_allclose(shares[:, 0] * (3297 - 794) / 200 * 360 / 4095, degrees[:, 0])
    np.testing.assert_array_equal(shares[:, 5], degrees[:, 5])
    assert read_recorded_actions(str(tmp_path / "share"), 0, spec.action_names).units == (
        "range_m100_100"
    )


def test_a_full_disk_ends_it_with_nothing_left(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # every write beyond it fails
    try:
        status = convert("me/pick", "--out", "me/new", "--units", "radians")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status != 0
    assert "disk is full" in capsys.readouterr().err
    assert [path.name for path in recorded.parent.iterdir()] == ["pick"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--units", "degrees"], "in degrees already"),
        (["--units", "radians", "--from-units", "range_m100_100"], "robotd noted it"),
        (["--units", "range_m100_100"], "no calibration was given"),
        (["--gripper", "100-100x"], "this formula takes fraction_closed"),
        (["--actions", "absolute"], "absolute already"),
        (["--camera", "overhed=base"], "no camera 'overhed'"),
        (["--camera", "overhead=wrist"], "one name"),
        (["--camera", "overhead=a/b"], "cannot be a camera's name"),
        (["--joints", "gripper,shoulder_pan"], "every joint"),
        (["--from", "v2.1"], "format v3.0, not v2.1"),
        (["--calibration", "nobody"], "no calibration nobody"),
    ],
)
def test_what_would_make_wrong_numbers_is_refused_and_leaves_nothing(
    recorded: Path, capsys: pytest.CaptureFixture[str], words: list[str], match: str
) -> None:
    assert convert("me/pick", "--out", "me/new", *words) != 0
    assert match in capsys.readouterr().err
    assert [path.name for path in recorded.parent.iterdir()] == ["pick"]


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--camera", "wrist=left_wrist_0_rgb", "--dry-run"]
    assert convert("me/pick", "--out", "me/new", *words, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["dry_run"] is True
    assert (said["episodes"], said["frames"]) == (2, 35)
    assert "left_wrist_0_rgb" in said["did"][0]
    assert [path.name for path in recorded.parent.iterdir()] == ["pick"]
    assert convert("me/pick", "--out", "me/pick", *words) != 0


KILL = """
import os, signal, sys
from pathlib import Path
from dataset import convert
from dataset.converting.plan import Request, make_plan
from dataset.converting.source import read_source
source = read_source(Path(sys.argv[1]))
plan = make_plan(source, Request(units="radians", cameras=(("wrist", "left"),)))
left = int(sys.argv[3])
def progress(what, done, total):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
convert.convert(source, Path(sys.argv[2]), plan, progress=progress)
"""


def test_a_killed_conversion_leaves_no_dataset_and_the_next_attempt_is_whole(
    recorded: Path,
) -> None:
    target = recorded.parent / "new"
    for moment in (2, 5):
        words = [sys.executable, "-c", KILL, str(recorded), str(target), str(moment)]
        done = subprocess.run(words, check=False, timeout=60, env=os.environ)
        assert done.returncode == -signal.SIGKILL
        assert not target.exists()
        assert [each.repo_id for each in catalog.list_datasets(recorded.parents[1])] == ["me/pick"]
        assert not list(recorded.parent.glob(".new.building/meta/info.json"))
    (recorded.parent / ".new.building/meta").mkdir(parents=True, exist_ok=True)
    left = recorded.parent / ".new.building/meta/info.json"  # as a kill before the rename leaves it
    left.write_bytes((recorded / "meta/info.json").read_bytes())
    assert [each.repo_id for each in catalog.list_datasets(recorded.parents[1])] == ["me/pick"]
    assert convert("me/pick", "--out", "me/new", "--units", "radians") == 0
    assert catalog.read_info(target).frames == 35
    assert sorted(path.name for path in recorded.parent.iterdir()) == ["new", "pick"]


def test_a_dataset_of_format_v21_becomes_v30_with_every_frame_and_all_statistics(
    tmp_path: Path,  # noqa: F811
    open_dataset: Callable[[Path], Any],  # noqa: F811
) -> None:
    spec = make_spec(tmp_path / "old")
    write_v21(tmp_path / "old", spec, [range(12), range(50, 80), range(200, 207)])
    before = content(tmp_path / "old")
    words = [str(tmp_path / "old"), "--out", str(tmp_path / "new"), "--from", "v2.1"]
    assert convert(*words) == 0
    assert content(tmp_path / "old") == before
    loaded = open_dataset(tmp_path / "new")
    check_frames(loaded, [*range(12), *range(50, 80), *range(200, 207)], spec)
    assert loaded[12]["task"] == "put it back"
    assert loaded.meta.stats[spec.cameras[0].key]["q99"].shape == (3, 1, 1)

    # Row by row what LeRobot's own script makes of it, and its statistics as far as it has them.
    from lerobot.scripts.convert_dataset_v21_to_v30 import convert_dataset

    shutil.copytree(tmp_path / "old", tmp_path / "theirs")
    convert_dataset("me/theirs", root=tmp_path / "theirs", push_to_hub=False)
    theirs = open_dataset(tmp_path / "theirs")
    for index in range(len(theirs)):
        ours, wanted = loaded[index], theirs[index]
        assert set(ours) == set(wanted)
        for name, value in wanted.items():
            assert ours[name] == value if name == "task" else ours[name].equal(value), name
    for name, stats in theirs.meta.stats.items():
        for key, value in stats.items():
            ours = loaded.meta.stats[name][key]
            np.testing.assert_allclose(ours, value, rtol=1e-6, atol=1e-6, err_msg=f"{name} {key}")

    features = json.loads((tmp_path / "new/meta/info.json").read_text())["features"]
    assert features["observation.state"]["names"] == features["action"]["names"]

    # Format and names in one go; the units of an unknown dataset have to be said.
    words = [str(tmp_path / "old"), "--out", str(tmp_path / "both"), "--units", "radians"]
    assert convert(*words) != 0
    assert convert(*words, "--from-units", "degrees", "--camera", "wrist=left") == 0
    both = tmp_path / "both"
    np.testing.assert_allclose(
        values(both, "action")[:, :5], np.radians(values(tmp_path / "new", "action"))[:, :5]
    )
    video = both / "videos/observation.images.left/chunk-000/file-002.mp4"
    name = "videos/chunk-000/observation.images.wrist/episode_000002.mp4"
    assert video.samefile(tmp_path / "old" / name)
    assert not list(both.rglob(".*"))


def test_the_older_v20_which_has_no_statistics_of_episodes_is_converted_too(
    tmp_path: Path,  # noqa: F811
) -> None:
    spec = make_spec(tmp_path / "old")
    write_v21(tmp_path / "old", spec, [range(9), range(30, 41)])
    (tmp_path / "old/meta/episodes_stats.jsonl").unlink()
    path = tmp_path / "old/meta/info.json"
    info = json.loads(
        path.read_text().replace('"v2.1"', '"v2.0"').replace('"info":', '"video_info":')
    )
    path.write_text(json.dumps(info))
    assert convert(str(tmp_path / "old"), "--out", str(tmp_path / "new")) == 0
    found = catalog.read_info(tmp_path / "new")
    assert (found.lengths, found.features[spec.cameras[0].key]["info"]["video.codec"]) == (
        (9, 11),
        "h264",
    )
    stats = json.loads((tmp_path / "new/meta/stats.json").read_text())
    assert stats["action"]["q01"][0] < stats["action"]["q99"][0]


def test_a_missing_file_is_named_and_nothing_is_left(
    recorded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "videos/observation.images.wrist/chunk-000/file-001.mp4"
    (recorded / name).unlink()
    assert convert("me/pick", "--out", "me/new", "--units", "radians") != 0
    assert f"{name} is missing" in capsys.readouterr().err
    assert [path.name for path in recorded.parent.iterdir()] == ["pick"]


def test_a_v21_video_that_is_not_its_episodes_is_found(
    tmp_path: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = make_spec(tmp_path / "old")
    write_v21(tmp_path / "old", spec, [range(12), range(9)])
    folder = tmp_path / "old/videos/chunk-000/observation.images.wrist"
    (folder / "episode_000001.mp4").write_bytes((folder / "episode_000000.mp4").read_bytes())
    assert convert(str(tmp_path / "old"), "--out", str(tmp_path / "new")) != 0
    assert "12 frames where the episode has 9 rows" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
