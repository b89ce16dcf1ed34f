"""How a policy was shown the world in training, against how this robot shows it."""

import json
from pathlib import Path

import pytest

from config.schema import Camera, Config, Crop
from policies.camera_contract import (
    compare,
    dataset_setups,
    differences,
    is_depth,
    robot_setup,
    setup_of,
    trained_setups,
)
from policies.checkpoint.evidence import CameraSetup, amend_sidecar

A = CameraSetup(fov_deg=52, width=640, height=480)


def said(was: CameraSetup, now: CameraSetup) -> list[str]:
    return [each.what for each in differences({"overhead": was}, {"top": now}, {"overhead": "top"})]


def test_a_picture_called_depth_is_a_picture_and_a_depth_map_is_one_by_its_kind() -> None:
    """A published tool took every feature with `depth` in its name for distances."""
    assert not is_depth({"dtype": "video", "info": {"is_depth_map": False}, "name": "depth"})
    assert is_depth({"dtype": "video", "info": {"is_depth_map": True}})
    assert is_depth({"dtype": "video", "video_info": {"video.is_depth_map": True}})
    assert not is_depth({"dtype": "video"})


def test_fifty_eight_degrees_against_fifty_two_are_named() -> None:
    assert said(A, A) == []
    (found,) = said(CameraSetup(fov_deg=58, width=640, height=480), A)
    assert "58°" in found and "52°" in found


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (CameraSetup(width=640, height=480), "not noted"),
        (CameraSetup(fov_deg=52, width=320, height=240), "320x240"),
        (CameraSetup(fov_deg=52, width=480, height=640), "of another shape"),
        (CameraSetup(fov_deg=52, width=640, height=480, rotation_deg=180), "turns by 180°"),
        (CameraSetup(fov_deg=52, width=640, height=480, crop=(0, 0, 320, 240)), "0,0,320,240"),
    ],
)
def test_whatever_frames_a_picture_is_compared(now: CameraSetup, words: str) -> None:
    (found,) = said(A, now)
    assert words in found


def test_what_the_training_does_not_tell_is_no_difference() -> None:
    assert said(CameraSetup(), CameraSetup(fov_deg=58, width=320, height=240)) == []


def test_a_profile_and_an_episodes_page_say_the_same_of_one_camera() -> None:
    camera = Camera(
        device="/dev/v4l/by-id/a",
        width=320,
        height=240,
        fovy_deg=52.0,
        rotation_deg=180,
        crop=Crop(left=8, top=4, of_width=320, of_height=240),
    )
    page = {"fovy_deg": "52", "rotation_deg": "180", "crop": "8,4 of 320x240"}
    assert robot_setup(camera, {}) == setup_of(page, 240, 320)
    drawn = robot_setup(Camera(device="plant", width=320, height=240), {"fovy_deg": "60"})
    assert drawn.fov_deg == 60


def test_framing_travels_with_dataset_and_checkpoint(tmp_path: Path, config: Config) -> None:
    root = tmp_path / "data"
    page = root / "robotd/episodes/episode-000003/episode.json"
    page.parent.mkdir(parents=True)
    (root / "meta").mkdir()
    (root / "meta/info.json").write_text("{}")
    camera = {"name": "overhead", "width": 64, "height": 64, "identity": {"fovy_deg": "58"}}
    page.write_text(json.dumps({"spec": {"cameras": [camera]}}))
    trained = dataset_setups(root)
    assert trained == {"overhead": CameraSetup(fov_deg=58, width=64, height=64)}

    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    training = {"dataset": {"root": str(root), "repo_id": "a/b"}}
    (checkpoint / "train_config.json").write_text(json.dumps(training))
    assert trained_setups(checkpoint) == trained  # of the dataset, while it is here
    (checkpoint / "train_config.json").unlink()
    amend_sidecar(checkpoint, cameras=trained)

    class Policy:
        folder = checkpoint
        cameras = {"overhead": "wrist"}  # noqa: RUF012

    (found,) = compare(Policy(), config, lambda name: {"fovy_deg": "52"})
    assert found.camera == "wrist"
    assert found.words == ("wrist: trained with a vertical field of view of 58°, this one has 52°")
    assert found.do
