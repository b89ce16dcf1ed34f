"""`robotd collect`: what is asked of the pictures, and of what a policy is told, is what is recorded."""

import argparse
import json
from pathlib import Path

import pytest

from daemon.cli.numbers import picture_size
from learning import collect_command
from learning.collect import collected_seeds


def asked(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    collect_command.configure(parser)
    return parser.parse_args(words)


def test_pictures_are_of_the_size_asked_for_and_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path))
    words = ["--episodes", "1", "--cameras", "--picture-size", "64x48", "--untold", "--json"]
    assert collect_command.run(asked("--dataset", "me/small", *words)) == 0
    said = json.loads(capsys.readouterr().out)
    info = json.loads((tmp_path / "me/small/meta/info.json").read_text())
    assert said["rows"] == info["total_frames"] > 0
    features = info["features"]
    assert "observation.environment_state" not in features
    for camera in ("overhead", "wrist"):
        assert features[f"observation.images.{camera}"]["shape"] == [48, 64, 3]


@pytest.mark.parametrize("words", ["64", "64x", "64x49", "15x48", "-64x48", "64x48x3", "64X48"])
def test_what_is_no_size_of_a_picture_is_a_mistyped_option(words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no size of a picture"):
        picture_size(words)


def test_more_demonstrations_are_other_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same seed gives the same rows: the second call wrote each episode a second time."""
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path))
    seeds = []
    for more in ((), (), ("--first-seed", "10000")):
        assert (
            collect_command.run(asked("--dataset", "me/few", "--episodes", "1", "--json", *more))
            == 0
        )
        seeds += json.loads(capsys.readouterr().out)["seeds"]
    assert len(set(seeds)) == 3
    assert seeds[:2] == sorted(seeds[:2])
    assert collected_seeds(tmp_path / "me/few") == set(seeds)
