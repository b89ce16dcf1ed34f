"""Where a Pi0's words look is drawn over the pictures it was shown, and the maps are the attention's."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from policies.model import ModelOptions, load_model
from policies.probe import attention
from policies.probe.asking import Asker, fit_to_recording
from policies.probe.attention import words_over_pictures
from policies.recording import EpisodeFiles, Recording, Rows

from ..checkpoint import tiny_pi0
from ..conftest import FEATURE_NAMES
from ..pi0.tiny_tokenizer import train_tokenizer

ROWS = 9


class Painted:
    """A bright block at the left of every picture."""

    def at(self, _rows: Rows, row: int, cameras: Sequence[str]) -> dict[str, np.ndarray]:
        picture = np.full((48, 64, 3), 30 + row, np.uint8)
        picture[10:30, :16] = 240
        return dict.fromkeys(cameras, picture)


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Asker:
    """A tiny Pi0 of random weights before a recording of two cameras."""
    root = tmp_path_factory.mktemp("pi0")
    folder = tiny_pi0.write_openpi_torch(root / "checkpoint", tiny_pi0.arrays())
    spread = {"mean": [0.0] * 32, "std": [20.0] * 32, "q01": [-40.0] * 32, "q99": [40.0] * 32}
    stats = {"norm_stats": {"state": spread, "actions": spread}}
    (folder / "assets/so101/norm_stats.json").write_text(json.dumps(stats))
    options = ModelOptions(device="cpu", embodiment="so101", tokenizer=str(train_tokenizer(root)))
    recording = Recording(
        root=Path("me/blocks"),
        fps=30,
        units="degrees",
        joints=FEATURE_NAMES,
        state_joints=FEATURE_NAMES,
        cameras={f"observation.images.{name}": (48, 64) for name in ("overhead", "wrist")},
        environment=False,
        tasks={0: "pick the block"},
        episodes=(EpisodeFiles(0, "pick the block", "", {}),),
    )
    model, fitted = fit_to_recording(load_model(folder, options), recording, {})
    vectors = {key: np.zeros((ROWS, 6)) for key in ("observation.state", "action")}
    rows = Rows(recording.episodes[0], vectors, ("pick the block",) * ROWS, np.arange(ROWS) / 30)
    pictures = Painted()
    return Asker(model, fitted, recording, {0: rows}, pictures, "", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["even", "left"])
def test_red_is_where_the_words_look_more_than_evenly(
    asker: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The first view's left column gets all of the look, or none of it more than another."""
    maps = {view: np.full((4, 4), 0.01) for view in ("base_0_rgb", "left_wrist_0_rgb")}
    if where == "left":
        maps["base_0_rgb"][:, 0] = 0.2
    monkeypatch.setattr(attention, "words_over_pictures", lambda *_: maps)
    attention.draw_overlay(asker, tmp_path / "words.png")
    drawn = cv2.imread(str(tmp_path / "words.png")).astype(int)
    assert drawn.shape == (448, 2 * 448, 3)
    red = drawn[100:350, :, 2] - drawn[100:350, :, 0]
    assert red[:, 150:].max() < 60
    assert bool(red[:, :40].min() > 60) is (where == "left") and red.min() >= -1


def test_the_maps_are_shares_of_attention(asker: Asker) -> None:
    inner = asker.model.inner  # type: ignore[attr-defined]
    picture = np.zeros((48, 64, 3), np.uint8)
    values = {"base_0_rgb": picture, "left_wrist_0_rgb": picture, "state": np.zeros(32, np.float32)}
    maps = words_over_pictures(inner, values, "pick the block")
    assert set(maps) == {"base_0_rgb", "left_wrist_0_rgb"}
    assert all(each.ndim == 2 and each.min() >= 0 for each in maps.values())
    assert 0 < sum(each.sum() for each in maps.values()) < 1
