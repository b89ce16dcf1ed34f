"""`demo --train` on a small scale: every step of it, with LeRobot's own trainer."""

import json
from pathlib import Path

import pytest

from learning import train
from learning.train import ActRecipe, Programme, train_from_nothing


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_training_from_nothing_ends_with_the_best_checkpoint_and_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "lerobot"))
    monkeypatch.setattr(train, "cache_dir", lambda: tmp_path / "cache")
    programme = Programme(
        recipe=ActRecipe(steps=20, batch_size=8, save_every=10, workers=0),
        demonstrations=2,
        compared_every=10,
        selection_seeds=range(100, 101),
        measured_seeds=range(1),
    )
    ready = train_from_nothing(programme)
    assert (ready / "model.safetensors").stat().st_size < 6_000_000
    said = json.loads((ready / "robotd_ckpt.json").read_text())
    assert said["step"] in (10, 20)
    assert said["demonstrations"]["episodes"] == 2
    assert said["measured"]["episodes"] == 1
    assert "step 10" in said["measured"]["chosen"] and "step 20" in said["measured"]["chosen"]
    text = (ready / "train_config.json").read_text() + (ready / "robotd_ckpt.json").read_text()
    assert str(tmp_path) not in text  # no folder of this machine
