"""A dataset of LeRobot's is read as LeRobot reads it: rows, times, and every picture of either kind."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.recorded_pictures import Pictures
from policies.recording import Recording, Rows, open_recording
from robotd.errors import DatasetError

from .conftest import FEATURE_NAMES

FILMED, DRAWN = "observation.images.filmed", "observation.images.drawn"
EPISODES, ROWS = 3, 14


@pytest.fixture(scope="module")
def lerobots(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three episodes by LeRobot: one camera as video, one as pictures in the rows; as it loads them."""
    from lerobot.configs.video import RGBEncoderConfig
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    root = tmp_path_factory.mktemp("recording") / "me" / "blocks"
    vector = {"dtype": "float32", "shape": (6,), "names": list(FEATURE_NAMES)}
    picture = {"shape": (48, 64, 3), "names": ["height", "width", "channels"]}
    features = {
        "observation.state": vector,
        "action": vector,
        FILMED: {"dtype": "video", **picture},
        DRAWN: {"dtype": "image", **picture},
    }
    encoder = RGBEncoderConfig(vcodec="h264", g=6)
    dataset = LeRobotDataset.create("me/blocks", 15, features, root=root, rgb_encoder=encoder)
    rng = np.random.default_rng(0)
    for episode in range(EPISODES):
        for row in range(ROWS):
            block = np.zeros((48, 64, 3), np.uint8)
            block[:, 4 * row : 4 * row + 6] = (250, 40 * episode, 30)
            values = rng.normal(size=6).astype(np.float32)
            frame = {"observation.state": values, "action": values + 1, "task": f"task {episode}"}
            dataset.add_frame({**frame, FILMED: block, DRAWN: block[::-1]})
        dataset.save_episode()
    dataset.finalize()
    return LeRobotDataset("me/blocks", root=root, video_backend="pyav", return_uint8=True)


@pytest.fixture
def recording(lerobots: Any) -> Recording:
    return open_recording(str(lerobots.root))


def same(lerobots: Any, recording: Recording, rows: Rows, row: int, pictures: Pictures) -> None:
    """One row's pictures are LeRobot's, pixel by pixel."""
    item = lerobots[rows.files.number * ROWS + row]
    for key, picture in pictures.at(rows, row, tuple(recording.cameras)).items():
        theirs = item[key].permute(1, 2, 0).numpy()
        if theirs.dtype != np.uint8:
            theirs = (theirs * 255.0).round().astype(np.uint8)
        np.testing.assert_array_equal(picture, theirs)


def test_rows_and_pictures_are_lerobots_in_order_and_in_disorder(
    lerobots: Any, recording: Recording
) -> None:
    assert recording.cameras == {FILMED: (48, 64), DRAWN: (48, 64)}
    assert recording.episode_tasks == tuple(f"task {episode}" for episode in range(EPISODES))
    every = recording.rows(range(EPISODES))
    pictures = Pictures(recording)
    for number, rows in every.items():
        assert len(rows) == ROWS and rows.tasks[0] == f"task {number}"
        for row in range(ROWS):
            item = lerobots[number * ROWS + row]
            np.testing.assert_array_equal(rows.vectors["action"][row], item["action"].numpy())
            same(lerobots, recording, rows, row, pictures)
    for number, row in ((2, 13), (0, 0), (0, 9), (0, 9), (1, 3), (1, 1), (2, 0)):
        same(lerobots, recording, every[number], row, pictures)
    pictures.close()


def test_a_video_that_was_cut_short_is_said(recording: Recording, tmp_path: Path) -> None:
    root = shutil.copytree(recording.root, tmp_path / "copy")
    video = next((root / "videos").rglob("*.mp4"))
    video.write_bytes(video.read_bytes()[:-400])
    cut = open_recording(str(root))
    rows = cut.rows([2])[2]
    with pytest.raises(DatasetError, match="cannot be read") as caught:
        for row in range(ROWS):
            Pictures(cut).at(rows, row, [FILMED])
    assert "robotd dataset check" in caught.value.do


def test_an_episode_that_is_counted_but_not_listed_is_said(
    recording: Recording, tmp_path: Path
) -> None:
    root = shutil.copytree(recording.root, tmp_path / "copy")
    shutil.rmtree(root / "meta/episodes")
    with pytest.raises(DatasetError, match="counts episode 0 but does not list it"):
        open_recording(str(root))
