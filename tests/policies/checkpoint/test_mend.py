"""Which statistics a mended copy has: those that something is computed with, and no other's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from policies.checkpoint.container import open_container
from policies.checkpoint.folder import read_folder
from policies.checkpoint.mend import mend
from policies.pi0.settings import read_settings

from . import tiny_pi0

STATE, FRONT = "observation.state", "observation.images.front"
FEATURES = {
    STATE: {"type": "STATE", "shape": [6]},
    FRONT: {"type": "VISUAL", "shape": [3, 48, 64]},
    "action": {"type": "ACTION", "shape": [6]},
}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def set_all(folder: Path, key: str, value: float) -> None:
    """One value in every statistic of a feature, in both pipelines' files."""
    paths = sorted(folder.glob("policy_*_step_*.safetensors"))
    assert len(paths) == 2
    for path in paths:
        held = {name: array.copy() for name, array in load_file(path).items()}
        for name in held:
            if name.startswith(f"{key}."):
                held[name][...] = value
        save_file(held, path)


@pytest.mark.parametrize("wrong", [7.0, np.inf])
def test_a_mended_pi0_is_told_its_state_by_the_new_statistics(wrong: float, tmp_path: Path) -> None:
    """LeRobot saves every feature's statistics beside the postprocessor too, where they do
    nothing."""
    folder = tiny_pi0.write_lerobot(tmp_path / "it", tiny_pi0.arrays(), "g3")
    set_all(folder, STATE, wrong)
    tiny_pi0.write_assets(tmp_path)
    mended = mend(folder, str(tmp_path / "assets/so101/norm_stats.json"), tmp_path / "mended")
    wanted = tiny_pi0.stats()[STATE]["mean"]
    np.testing.assert_allclose(mended.stats[STATE]["mean"], wanted, rtol=1e-6)
    np.testing.assert_allclose(read_settings(mended).state.low, wanted, rtol=1e-6)
    for path in mended.path.glob("policy_*_step_*.safetensors"):
        np.testing.assert_allclose(load_file(path)[f"{STATE}.mean"], wanted, rtol=1e-6)


def test_each_pipelines_file_is_asked_only_for_what_that_pipeline_normalises(
    tmp_path: Path,
) -> None:
    """Written by whatever other program: the two files need not agree on what neither uses twice."""
    folder = tiny_pi0.write_lerobot(tmp_path / "it", tiny_pi0.arrays(), "g3")
    for path in folder.glob("policy_*_step_*.safetensors"):
        unused = STATE if "postprocessor" in path.name else "action"
        held = {name: array.copy() for name, array in load_file(path).items()}
        for name in held:
            if name.startswith(f"{unused}."):
                held[name][...] = 7.0
        save_file(held, path)
    for stats in (open_container(folder).stats, read_folder(folder).stats):
        for key, entry in tiny_pi0.stats().items():
            np.testing.assert_allclose(stats[key]["mean"], entry["mean"], rtol=1e-6)


# --- pictures -------------------------------------------------------------------------------------


def write_act(folder: Path, stats: Mapping[str, Mapping[str, Any]], **training: Any) -> Path:
    """The files of an ACT with pictures that a mend reads, without a network to speak of."""
    folder.mkdir()
    save_file({"model.weight": np.ones((2, 2), np.float32)}, folder / "model.safetensors")
    inputs = {key: value for key, value in FEATURES.items() if key != "action"}
    outputs = {"action": FEATURES["action"]}
    modes = dict.fromkeys(("STATE", "VISUAL", "ACTION"), "MEAN_STD")
    config = {"type": "act", "input_features": inputs, "output_features": outputs}
    (folder / "config.json").write_text(json.dumps(config | {"use_relative_actions": False}))
    (folder / "train_config.json").write_text(json.dumps({"dataset": training}))
    flat = {
        f"{key}.{stat}": np.asarray(value, np.float32)
        for key, entry in stats.items()
        for stat, value in entry.items()
    }
    for name, step, features in (
        ("policy_preprocessor", "normalizer_processor", FEATURES),
        ("policy_postprocessor", "unnormalizer_processor", outputs),
    ):
        state_file = f"{name}_step_0_{step}.safetensors"
        save_file(flat, folder / state_file)
        settings = {"eps": 1e-8, "features": features, "norm_map": modes}
        steps = [{"registry_name": step, "config": settings, "state_file": state_file}]
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "steps": steps}))
    return folder


def vector(mean: float) -> dict[str, list[float]]:
    return {"mean": [mean] * 6, "std": [2.0] * 6}


def picture(mean: Any, std: Any) -> dict[str, Any]:
    return {"mean": np.reshape(mean, (3, 1, 1)), "std": np.reshape(std, (3, 1, 1))}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset's statistics: pictures of its own, darker than ImageNet's."""
    root = tmp_path / "blocks"
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps({"fps": 30, "features": FEATURES}))
    dark = {stat: value.tolist() for stat, value in picture([0.2] * 3, [0.1] * 3).items()}
    stats = {STATE: vector(3), "action": vector(4), FRONT: dark}
    (root / "meta/stats.json").write_text(json.dumps(stats))
    return root


@pytest.mark.parametrize("own", [IMAGENET, {"mean": [0.4] * 3, "std": [0.2] * 3}])
def test_sound_statistics_of_pictures_stay_to_the_bit(
    own: dict[str, Any], dataset: Path, tmp_path: Path
) -> None:
    """lerobot-train puts ImageNet's where the dataset's were; the network knows no others."""
    stats = {STATE: vector(3), "action": vector(np.inf), FRONT: picture(**own)}
    folder = write_act(tmp_path / "act", stats)
    mended = mend(folder, str(dataset), tmp_path / "mended")
    assert (mended.stats["action"]["mean"] == 4).all()
    for file in sorted(path.name for path in folder.glob("policy_*_step_*.safetensors")):
        before, after = load_file(folder / file), load_file(mended.path / file)
        for stat in ("mean", "std"):
            name = f"{FRONT}.{stat}"
            assert after[name].tobytes() == before[name].tobytes()


@pytest.mark.parametrize(
    ("training", "mean"),
    [({}, IMAGENET["mean"]), ({"use_imagenet_stats": False}, [0.2] * 3)],
)
def test_lost_statistics_of_pictures_become_those_of_the_training(
    training: dict[str, Any], mean: list[float], dataset: Path, tmp_path: Path
) -> None:
    lost = picture([np.inf] * 3, [np.inf] * 3)
    stats = {STATE: vector(3), "action": vector(4), FRONT: lost}
    mended = mend(write_act(tmp_path / "act", stats, **training), str(dataset), tmp_path / "mended")
    assert mended.stats[FRONT]["mean"].shape == (3, 1, 1)
    np.testing.assert_allclose(mended.stats[FRONT]["mean"].reshape(-1), mean, rtol=1e-6)
