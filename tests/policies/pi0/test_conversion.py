"""A converted Pi0 moves this arm to where the original did, whatever its actions are relative to."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from config.schema import Config
from policies.border import robot_features
from policies.checkpoint.container import open_container
from policies.checkpoint.convert import convert
from policies.checkpoint.evidence import amend_sidecar, read_sidecar
from policies.checkpoint.pi0_layout import Pi0Kind
from policies.checkpoint.relative import delta_mask, lerobot_keys, said_delta
from policies.embodied import for_robot
from policies.model import ModelOptions, load_model
from robotd.errors import CheckpointError

from ..checkpoint import tiny_pi0

pytestmark = pytest.mark.timeout(900)  # torch and LeRobot are imported on a busy machine

STATE = np.array([12.0, -80.0, 75.0, 20.0, -9.0, 33.0])
VIEWS = {"base_0_rgb": "overhead", "left_wrist_0_rgb": "wrist"}
RELATIVE = (True,) * 5 + (False,)


def so101(folder: Path, kind: Pi0Kind) -> Path:
    """openpi's checkpoint of an SO-101 in degrees, whose name says nothing."""
    made = tiny_pi0.write_openpi_torch(folder, tiny_pi0.arrays(kind))
    shutil.rmtree(made / "assets")
    state = {"mean": STATE, "std": STATE * 0 + 20, "q01": STATE - 90, "q99": STATE + 90}
    goals = {
        "mean": STATE * 0 + 0.5,
        "std": STATE * 0 + 4,
        "q01": STATE * 0 - 9,
        "q99": STATE * 0 + 9,
    }
    table = {
        key: {stat: value.tolist() for stat, value in entry.items()}
        for key, entry in (("state", state), ("actions", goals))
    }
    file = made / "assets/me/blocks/norm_stats.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"norm_stats": table}))
    amend_sidecar(made, prompt_tokens=200, units="")
    return made


def chunk(folder: Path, config: Config, words: Path) -> np.ndarray:
    """What the arm would be told, in degrees."""
    model = load_model(folder, ModelOptions(device="cpu", tokenizer=str(words)))
    robot = robot_features(config)
    policy, left = for_robot(model, robot, VIEWS)
    values = {"observation.state": (STATE + 3).astype(np.float32)}
    for role, camera in VIEWS.items():
        picture = np.full((28, 28, 3), len(role), np.uint8)
        values[f"observation.images.{role if left else camera}"] = picture
    noise = np.random.default_rng(3).standard_normal((tiny_pi0.HORIZON, 32), np.float32)
    return policy.predict(values, "put it down", noise=noise)


@pytest.mark.parametrize(("kind", "relative"), [("pi0", True), ("pi05", False)])
def test_there_and_back_the_arm_goes_to_the_same_place(
    kind: Pi0Kind, relative: bool, tmp_path: Path, tokenizer_file: Path, config: Config
) -> None:
    source = so101(tmp_path / "openpi", kind)
    if not relative:
        amend_sidecar(source, delta_mask=[False] * 6)
    there = convert(source, "lerobot", tmp_path / "lerobot").path
    back = convert(there, "openpi", tmp_path / "back").path
    said = json.loads((there / "config.json").read_text())
    assert said["use_relative_actions"] is relative
    for made in (there, back):
        assert read_sidecar(made).delta_mask == (RELATIVE if relative else (False,) * 6)
        assert read_sidecar(made).units == "degrees"
    first = chunk(source, config, tokenizer_file)
    assert first.shape == (tiny_pi0.HORIZON, 6)
    np.testing.assert_allclose(chunk(there, config, tokenizer_file), first, atol=1e-3)
    np.testing.assert_allclose(chunk(back, config, tokenizer_file), first, atol=1e-3)


def test_what_lerobots_files_cannot_say_is_asked_for_or_refused(tmp_path: Path) -> None:
    source = so101(tmp_path / "openpi", "pi0")
    file = next(source.rglob("norm_stats.json"))
    table = json.loads(file.read_text())["norm_stats"]
    table["actions"] = table["state"]
    file.write_text(json.dumps({"norm_stats": table}))
    with pytest.raises(CheckpointError, match="how far from where"):
        convert(source, "lerobot", tmp_path / "lerobot")
    with pytest.raises(CheckpointError, match="LeRobot's files cannot say"):
        convert(source, "lerobot", tmp_path / "lerobot", embodiment="so101-radians")
    kept = convert(source, "openpi", tmp_path / "again", embodiment="so101-radians").path
    assert read_sidecar(kept).embodiment == "so101-radians"
    unsaid = convert(source, "openpi", tmp_path / "unsaid").path
    assert read_sidecar(unsaid).delta_mask == ()  # who plays it is asked, as before
    assert not (tmp_path / "lerobot").exists()


@pytest.mark.parametrize("mask", [RELATIVE, (True,) + (False,) * 13, (False,) * 14, (True,) * 14])
def test_a_mask_survives_lerobots_way_of_naming_joints(
    mask: tuple[bool, ...], tmp_path: Path
) -> None:
    """It excludes by parts of names: `joint_1` would take `joint_10` with it."""
    folder = tiny_pi0.write_lerobot(tmp_path / "g3", tiny_pi0.arrays(), "g3")
    names = [f"joint_{index}" for index in reversed(range(14))]
    content = json.loads((folder / "config.json").read_text())
    content |= lerobot_keys(mask, names, 14)
    (folder / "config.json").write_text(json.dumps(content))
    found = said_delta(open_container(folder), 14)
    np.testing.assert_array_equal(found, [*mask, *[False] * 14][:14])


def test_lerobots_own_switch_is_seen_and_the_sidecar_wins_over_it(tmp_path: Path) -> None:
    folder = tiny_pi0.write_lerobot(tmp_path / "g3", tiny_pi0.arrays(), "g3")
    assert not any(delta_mask(open_container(folder)))
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"use_relative_actions": True}))
    assert delta_mask(open_container(folder)) == (True,) * 32
    amend_sidecar(folder, delta_mask=RELATIVE)
    assert delta_mask(open_container(folder)) == RELATIVE
