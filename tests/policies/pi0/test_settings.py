"""How a Pi0 is to be played, from what its folder says, and what is refused because it says another."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from policies import ckpt_command
from policies.border import RobotFeatures
from policies.camera_contract import differences, trained_setups
from policies.checkpoint.container import open_container
from policies.checkpoint.evidence import CameraSetup, Evidence, amend_sidecar, read_sidecar
from policies.checkpoint.verify import Finding, verify
from policies.fit import fit
from policies.model import ModelOptions, load_model
from policies.pi0.settings import read_settings
from robotd.errors import CheckpointError

from ..checkpoint import damage, tiny_pi0

EVIDENCE = Evidence(30.0, "test", "degrees", "test")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A Pi0.5 as LeRobot 0.4 and 0.5.0 leave it, but for train_config.json."""
    return tiny_pi0.write_lerobot(tmp_path / "it", tiny_pi0.arrays("pi05"), "g2")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A Pi0 of LeRobot 0.6."""
    return tiny_pi0.write_lerobot(tmp_path / "it", tiny_pi0.arrays(), "g3")


def unsaid(folder: Path) -> list[Finding]:
    return [finding for finding in verify(folder).findings if finding.code == "unsaid"]


@pytest.mark.parametrize(
    ("training", "pad", "state"),
    [
        ({"seed": 1000, "cudnn_deterministic": False}, "lerobot06", "plain"),
        ({"seed": 1000}, "lerobot04", "padded"),
    ],
)
def test_lerobot_0_5_0_is_told_from_0_4_by_its_train_config(
    old: Path, training: dict[str, Any], pad: str, state: str
) -> None:
    (old / "train_config.json").write_text(json.dumps(training))
    settings = read_settings(open_container(old))
    assert (settings.pad, settings.prompt.state, settings.doubts) == (pad, state, ())
    assert not unsaid(old)


def test_a_release_that_nothing_tells_is_said_with_both_ways_to_say_it(old: Path) -> None:
    settings = read_settings(open_container(old))
    assert (settings.pad, settings.prompt.state) == ("lerobot04", "padded")
    (said,) = unsaid(old)
    assert said.severity == "warning" and "0.4 or 0.5.0" in said.what
    assert '0.5.0 {"image_pad": "lerobot06", "state_text": "plain"}' in said.do
    assert settings.doubts == (f"{said.what} {said.do}",)
    amend_sidecar(old, image_pad="lerobot06")
    (said,) = unsaid(old)
    assert '0.5.0 {"state_text": "plain"}' in said.do
    amend_sidecar(old, state_text="plain")
    assert not unsaid(old)


def test_converting_says_which_release_was_taken_for_granted(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    ckpt_command.configure(parser)
    words = ["convert", str(old), "--to", "openpi", "--out", str(tmp_path / "new")]
    assert ckpt_command.run(parser.parse_args(words)) == 0
    assert "0.4 or 0.5.0" in capsys.readouterr().err
    assert read_sidecar(tmp_path / "new").image_pad == "lerobot04"


# --- statistics -----------------------------------------------------------------------------------


def sized(size: int) -> Callable[[dict[str, Any]], None]:
    def change(held: dict[str, Any]) -> None:
        for name in held:
            held[name] = np.resize(held[name], size)

    return change


FAULTS: list[tuple[str, damage.Damage, str]] = [
    ("lerobot-g3", damage.state_file(sized(14)), "has 14 values, and action 32"),
    ("lerobot-g3", damage.state_file(sized(3)), "has 3 values, and action 32"),
    ("lerobot-g3", damage.state_file(sized(1)), "has 1 values, and action 32"),
    ("lerobot-g3", damage.state_file(lambda held: held["action.std"].fill(-1)), "negative std"),
    ("lerobot-g3", damage.state_file(lambda held: held["action.std"].fill(0)), "varies"),
    ("openpi-torch", damage.norm_stats(lambda e: e["state"].update(std=[1e-7] * 32)), "varies"),
    (
        "openpi-torch",
        damage.norm_stats(lambda e: e["state"].update(mean=[0] * 64)),
        "64 values, and its std 32",
    ),
]


@pytest.mark.parametrize(("name", "break_it", "says"), FAULTS, ids=[says for *_, says in FAULTS])
def test_no_pi0_is_loaded_with_statistics_that_verify_calls_an_error(
    name: str, break_it: damage.Damage, says: str, tmp_path: Path
) -> None:
    folder = tiny_pi0.CONTAINERS[name](tmp_path / "it", tiny_pi0.arrays())
    break_it(folder)
    assert verify(folder).exit_code == 2
    with pytest.raises(CheckpointError, match=says):
        load_model(folder, ModelOptions(device="cpu", embodiment="so101"))


def test_openpis_statistics_of_fewer_values_than_the_model_has_are_its_way(
    tmp_path: Path, tokenizer_file: Path
) -> None:
    folder = tiny_pi0.write_openpi_torch(tmp_path / "it", tiny_pi0.arrays())

    def six(entry: dict[str, Any]) -> None:
        for part, stats in entry.items():
            entry[part] = {name: values[:6] for name, values in stats.items()}

    damage.norm_stats(six)(folder)
    options = ModelOptions(device="cpu", embodiment="so101", tokenizer=str(tokenizer_file))
    assert load_model(folder, options).chunk == tiny_pi0.HORIZON


# --- the saved pipeline ---------------------------------------------------------------------------


def preprocessed(folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    path = folder / "policy_preprocessor.json"
    content = json.loads(path.read_text())
    change(content["steps"])
    path.write_text(json.dumps(content))


def foreign(**config: Any) -> dict[str, Any]:
    return {"registry_name": "image_crop_resize_processor", "config": config}


def test_a_step_of_the_pipeline_that_is_not_done_here_is_refused(new: Path) -> None:
    preprocessed(new, lambda steps: steps.append(foreign(enabled=False)))
    assert read_settings(open_container(new)).pad == "lerobot06"
    preprocessed(new, lambda steps: steps.append(foreign(crop_params_dict={})))
    with pytest.raises(CheckpointError, match="image_crop_resize_processor"):
        read_settings(open_container(new))
    assert [f.code for f in verify(new).findings if f.severity == "error"] == ["pipeline"]


def test_pictures_that_were_normalised_are_refused(new: Path) -> None:
    for path in new.glob("policy_*processor.json"):
        content = json.loads(path.read_text())
        content["steps"][-1]["config"]["norm_map"]["VISUAL"] = "MEAN_STD"
        path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="normalises pictures by MEAN_STD"):
        read_settings(open_container(new))


def test_another_tokenizer_than_paligemmas_is_said(new: Path) -> None:
    def words(name: str) -> dict[str, Any]:
        return {"registry_name": "tokenizer_processor", "config": {"tokenizer_name": name}}

    preprocessed(new, lambda steps: steps.append(words("google/paligemma-3b-pt-224")))
    assert read_settings(open_container(new)).doubts == ()
    preprocessed(new, lambda steps: steps.append(words("Qwen/Qwen3-0.6B")))
    (doubt,) = read_settings(open_container(new)).doubts
    assert "Qwen/Qwen3-0.6B" in doubt and "--tokenizer" in doubt


RENAME_MAP = {
    "observation.images.front": "observation.images.base_0_rgb",
    "observation.images.hand": "observation.images.left_wrist_0_rgb",
}


@pytest.fixture
def fine_tuned(new: Path) -> Path:
    """A fine-tune of a base whose views have other names than the dataset's cameras: six joints,
    and the base's state of 32 left in config.json."""
    preprocessed(new, lambda steps: steps[0]["config"].update(rename_map=RENAME_MAP))
    damage.configured(output_features={"action": {"type": "ACTION", "shape": [6]}})(new)
    for file in new.glob("policy_*_step_*.safetensors"):
        save_file({name: value[:6].copy() for name, value in load_file(file).items()}, file)
    return new


def test_a_fine_tune_that_kept_its_bases_state_has_that_of_its_dataset(fine_tuned: Path) -> None:
    assert verify(fine_tuned).exit_code == 0
    settings = read_settings(open_container(fine_tuned))
    assert settings.interface.inputs["observation.state"].shape == (6,)
    assert (settings.state.size, settings.action_size, settings.state_width) == (6, 6, 32)
    damage.configured(output_features={"action": {"type": "ACTION", "shape": [7]}})(fine_tuned)
    assert verify(fine_tuned).exit_code == 2


def test_cameras_that_the_training_renamed_need_no_rename(fine_tuned: Path) -> None:
    interface = read_settings(open_container(fine_tuned)).interface
    size = (28, 28)
    robot = RobotFeatures(
        tuple(f"joint_{n}.pos" for n in range(6)),
        {"hand": size, "front": size, "side": size},
        False,
    )
    masked = {"right_wrist_0_rgb": "none"}
    fitted = fit(interface, EVIDENCE, robot, masked)
    assert fitted.inputs == {
        "observation.state": "observation.state",
        "observation.images.base_0_rgb": "observation.images.front",
        "observation.images.left_wrist_0_rgb": "observation.images.hand",
    }
    said = fit(interface, EVIDENCE, robot, {**masked, "base_0_rgb": "side"})  # a person's word wins
    assert said.inputs["observation.images.base_0_rgb"] == "observation.images.side"


def test_a_renamed_cameras_lens_is_compared_with_that_of_the_training(fine_tuned: Path) -> None:
    was, now = CameraSetup(fov_deg=58), CameraSetup(fov_deg=52)
    amend_sidecar(fine_tuned, cameras={"front": msgspec.to_builtins(was)})
    seen = {"base_0_rgb": "front"}
    (found,) = differences(trained_setups(fine_tuned), {"front": now}, seen)
    assert "58°" in found.words and "52°" in found.words
