"""LeRobot 0.6.1, unmodified, opens, edits, merges, resumes and trains on what robotd recorded."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from daemon.recorder import catalog, dataset
from daemon.recorder.info import features_of
from daemon.recorder.schema import EpisodeSpec, joint_feature_names
from daemon.recorder.soundness import check_sound
from daemon.recorder.video import decode_frames

from .episodes import FPS, check_frames, make_frames, make_row, make_spec, write_episode


def record_ours(root: Path, journals: Path, episodes: list[range], **changes: Any) -> EpisodeSpec:
    """Episodes of the given row numbers, recorded by robotd, where a person says the units."""
    spec = make_spec(root, units_confirmed=True, **changes)
    for numbers in episodes:
        folder = journals / f"{root.name}-{numbers.start}"
        check_sound(root, spec)
        dataset.publish(write_episode(folder, spec, len(numbers), first=numbers.start))
    return spec


def add_theirs(theirs: Any, spec: EpisodeSpec, numbers: range) -> None:
    """One episode recorded by LeRobot itself."""
    for number in numbers:
        row = make_row(spec, number)
        frames = {f"observation.images.{k}": v for k, v in make_frames(spec, number).items()}
        theirs.add_frame(
            {"observation.state": row.state, "action": row.action, "task": row.task, **frames}
        )
    theirs.save_episode(parallel_encoding=False)


def create_theirs(lerobot_datasets: ModuleType, spec: EpisodeSpec, codec: str) -> Any:
    """An empty dataset made by LeRobot for the robot of `spec`."""
    from lerobot.configs.video import RGBEncoderConfig

    encoder = RGBEncoderConfig(vcodec=codec, preset="ultrafast") if codec == "h264" else None
    return lerobot_datasets.LeRobotDataset.create(
        "me/theirs",
        spec.fps,
        {
            name: {**feature, "shape": tuple(feature["shape"])}
            for name, feature in features_of(spec).items()
            if name.startswith(("action", "observation"))
        },
        root=Path(spec.dataset_root),
        robot_type=spec.robot_type,
        rgb_encoder=encoder,
    )


def test_every_frame_is_right_after_one_and_after_several_sessions(
    tmp_path: Path, open_dataset: Callable[[Path], Any]
) -> None:
    root = tmp_path / "ours"
    spec = record_ours(root, tmp_path / "j", [range(20)])
    check_frames(open_dataset(root), list(range(20)), spec)
    record_ours(root, tmp_path / "j", [range(100, 131), range(200, 208)], task="another task")
    loaded = open_dataset(root)
    check_frames(loaded, [*range(20), *range(100, 131), *range(200, 208)], spec)
    assert loaded.meta.episodes["dataset_from_index"] == [0, 20, 51]
    assert loaded.meta.episodes["dataset_to_index"] == [20, 51, 59]
    assert (loaded.num_episodes, loaded.fps) == (3, FPS)
    assert loaded.meta.robot_type == "so_follower"
    assert [loaded[index]["task"] for index in (0, 20, 58)] == [
        spec.task,
        "another task",
        "another task",
    ]


def test_an_episode_of_one_frame_loads(tmp_path: Path, open_dataset: Callable[[Path], Any]) -> None:
    root = tmp_path / "ours"
    spec = record_ours(root, tmp_path / "j", [range(1), range(7, 17)])
    check_frames(open_dataset(root), [0, *range(7, 17)], spec)


def test_environment_state_and_two_arms_load(
    tmp_path: Path, open_dataset: Callable[[Path], Any]
) -> None:
    root = tmp_path / "ours"
    names = joint_feature_names(("left", "right"))
    spec = record_ours(
        root,
        tmp_path / "j",
        [range(10)],
        robot_type="bi_so_follower",
        state_names=names,
        action_names=names,
        environment_names=("block_x_m", "block_y_m", "block_z_m"),
    )
    loaded = open_dataset(root)
    check_frames(loaded, list(range(10)), spec)
    assert loaded.meta.features["action"]["names"][6] == "right_shoulder_pan.pos"
    assert loaded[4]["observation.environment_state"].tolist() == [4.0, 5.0, 6.0]


def test_the_features_are_those_lerobot_writes(
    tmp_path: Path, lerobot_datasets: ModuleType
) -> None:
    from lerobot.datasets.feature_utils import features_equal_for_merge

    spec = make_spec(tmp_path / "theirs")
    theirs = create_theirs(lerobot_datasets, spec, "h264")
    add_theirs(theirs, spec, range(5))
    theirs.finalize()
    record_ours(tmp_path / "ours", tmp_path / "j", [range(5)])
    infos = [
        json.loads((tmp_path / name / "meta/info.json").read_text()) for name in ("theirs", "ours")
    ]
    assert features_equal_for_merge(infos[0]["features"], infos[1]["features"])
    assert set(infos[0]) == set(infos[1])
    for key in set(infos[0]) - {"features"}:
        assert infos[0][key] == infos[1][key], key


def test_the_statistics_are_those_lerobot_would_compute(
    tmp_path: Path, lerobot_datasets: ModuleType, open_dataset: Callable[[Path], Any]
) -> None:
    from lerobot.datasets.compute_stats import aggregate_stats, compute_episode_stats

    root = tmp_path / "ours"
    spec = record_ours(root, tmp_path / "j", [range(30), range(50, 160)])
    loaded = open_dataset(root)
    table = loaded.hf_dataset.with_format("numpy")[:]
    episodes = []
    for index in range(2):
        rows = table["episode_index"] == index
        data = {name: np.stack(column[rows]) for name, column in table.items()}
        data["timestamp"] = data["frame_index"] / FPS
        for camera in spec.cameras:
            path = root / loaded.meta.get_video_file_path(index, camera.key)
            data[camera.key] = []
            for number, frame in decode_frames(path):
                name = tmp_path / f"{camera.name}-{index}-{number}.png"
                Image.fromarray(frame.to_ndarray(format="rgb24")).save(name)
                data[camera.key].append(str(name))
        episodes.append(compute_episode_stats(data, loaded.meta.features))
    expected = aggregate_stats(episodes)
    assert set(loaded.meta.stats) == set(expected)
    for feature, stats in expected.items():
        for name, value in stats.items():
            ours = loaded.meta.stats[feature][name]
            assert ours.shape == value.shape
            np.testing.assert_allclose(ours, value, rtol=1e-6, atol=1e-6, err_msg=feature)


@pytest.mark.parametrize("codec", ["h264", "libsvtav1"])
def test_a_dataset_that_lerobot_recorded_is_continued_and_handed_back(
    tmp_path: Path,
    lerobot_datasets: ModuleType,
    open_dataset: Callable[[Path], Any],
    codec: str,
) -> None:
    root = tmp_path / "theirs"
    spec = make_spec(root)
    theirs = create_theirs(lerobot_datasets, spec, codec)
    add_theirs(theirs, spec, range(20))
    add_theirs(theirs, spec, range(40, 55))
    theirs.finalize()
    numbers = [*range(20), *range(40, 55)]

    record_ours(root, tmp_path / "j", [range(100, 120)], task="ours")
    numbers += range(100, 120)
    loaded = open_dataset(root)
    check_frames(loaded, numbers, spec)
    codecs = {next(iter(decode_frames(path)))[1].format.name for path in root.rglob("*.mp4")}
    assert codecs == {"yuv420p"}

    again = lerobot_datasets.LeRobotDataset.resume("me/theirs", root=root)
    add_theirs(again, spec, range(200, 210))
    again.finalize()
    numbers += range(200, 210)
    check_frames(open_dataset(root), numbers, spec)

    record_ours(root, tmp_path / "j", [range(300, 305)])
    numbers += range(300, 305)
    loaded = open_dataset(root)
    check_frames(loaded, numbers, spec)
    assert catalog.read_info(root).lengths == (20, 15, 20, 10, 5)
    assert loaded.meta.stats["action"]["count"].tolist() == [70]


def test_an_empty_dataset_that_lerobot_made_takes_our_first_episode(
    tmp_path: Path, lerobot_datasets: ModuleType, open_dataset: Callable[[Path], Any]
) -> None:
    root = tmp_path / "theirs"
    spec = make_spec(root)
    create_theirs(lerobot_datasets, spec, "libsvtav1").finalize()
    record_ours(root, tmp_path / "j", [range(8)])
    check_frames(open_dataset(root), list(range(8)), spec)


def test_episodes_are_deleted_and_datasets_merged_by_lerobots_tools(
    tmp_path: Path, lerobot_datasets: ModuleType, open_dataset: Callable[[Path], Any]
) -> None:
    from lerobot.datasets.dataset_tools import delete_episodes, merge_datasets

    spec = record_ours(tmp_path / "a", tmp_path / "j", [range(10), range(20, 35), range(40, 48)])
    record_ours(tmp_path / "b", tmp_path / "j", [range(300, 312), range(400, 405)], task="two")
    theirs = create_theirs(lerobot_datasets, make_spec(tmp_path / "c"), "h264")
    add_theirs(theirs, spec, range(500, 507))
    theirs.finalize()

    a, b, c = (open_dataset(tmp_path / name) for name in "abc")
    merge_datasets([a, b, c], "me/merged", output_dir=tmp_path / "merged")
    numbers = [*range(10), *range(20, 35), *range(40, 48)]
    numbers += [*range(300, 312), *range(400, 405), *range(500, 507)]
    check_frames(open_dataset(tmp_path / "merged"), numbers, spec)

    delete_episodes(a, [1], output_dir=tmp_path / "fewer", repo_id="me/fewer")
    numbers = [*range(10), *range(40, 48)]
    check_frames(open_dataset(tmp_path / "fewer"), numbers, spec)

    record_ours(tmp_path / "fewer", tmp_path / "j", [range(600, 606)])
    check_frames(open_dataset(tmp_path / "fewer"), [*numbers, *range(600, 606)], spec)


def test_nothing_of_the_running_episode_is_seen_by_a_reader(
    tmp_path: Path, open_dataset: Callable[[Path], Any]
) -> None:
    root = tmp_path / "ours"
    spec = record_ours(root, tmp_path / "j", [range(10)])
    write_episode(tmp_path / "j" / "running", spec, 10, first=50)
    check_frames(open_dataset(root), list(range(10)), spec)


def lerobot_command(name: str, *arguments: str, home: Path) -> None:
    """Run one of LeRobot's programs to its end, offline."""
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_LEROBOT_HOME": str(home),
        "HF_DATASETS_CACHE": str(home / "cache"),
        "WANDB_MODE": "disabled",
    }
    program = Path(sys.executable).with_name(name)
    done = subprocess.run(
        [str(program), *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_lerobots_own_commands_edit_and_train(
    tmp_path: Path, open_dataset: Callable[[Path], Any]
) -> None:
    spec = record_ours(tmp_path / "a", tmp_path / "j", [range(30), range(100, 130)])
    record_ours(tmp_path / "b", tmp_path / "j", [range(300, 330)])
    lerobot_command(
        "lerobot-edit-dataset",
        "--new_repo_id=me/merged",
        f"--new_root={tmp_path / 'merged'}",
        "--operation.type=merge",
        "--operation.repo_ids=['me/a','me/b']",
        f"--operation.roots=['{tmp_path / 'a'}','{tmp_path / 'b'}']",
        home=tmp_path,
    )
    lerobot_command(
        "lerobot-edit-dataset",
        "--repo_id=me/merged",
        f"--root={tmp_path / 'merged'}",
        "--new_repo_id=me/edited",
        f"--new_root={tmp_path / 'edited'}",
        "--operation.type=delete_episodes",
        "--operation.episode_indices=[1]",
        home=tmp_path,
    )
    check_frames(open_dataset(tmp_path / "edited"), [*range(30), *range(300, 330)], spec)
    lerobot_command(
        "lerobot-train",
        "--dataset.repo_id=me/a",
        f"--dataset.root={tmp_path / 'a'}",
        "--dataset.video_backend=pyav",
        "--policy.type=act",
        "--policy.device=cpu",
        "--policy.push_to_hub=false",
        "--policy.pretrained_backbone_weights=null",
        "--policy.dim_model=32",
        "--policy.n_heads=2",
        "--policy.dim_feedforward=64",
        "--policy.n_encoder_layers=1",
        "--policy.use_vae=false",
        "--policy.chunk_size=10",
        "--policy.n_action_steps=10",
        "--batch_size=2",
        "--num_workers=0",
        "--steps=20",
        "--save_freq=20",
        "--wandb.enable=false",
        f"--output_dir={tmp_path / 'trained'}",
        home=tmp_path,
    )
    weights = tmp_path / "trained/checkpoints/000020/pretrained_model/model.safetensors"
    assert weights.stat().st_size > 10_000
