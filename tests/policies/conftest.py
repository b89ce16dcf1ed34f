"""A robot to fit policies to: the shipped simulated arm, with small pictures."""

import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from config import loader
from config.schema import Camera, Config
from policies.checkpoint.evidence import Sidecar, write_sidecar

CHUNK = 12
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
FEATURE_NAMES = tuple(f"{joint}.pos" for joint in JOINTS)


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Config:
    """The simulated SO-101: cameras `overhead` and `wrist` at 64x64, 120 Hz ticks, 15 Hz rows."""
    monkeypatch.setenv(
        "HF_LEROBOT_CALIBRATION", str(resources.files("config").joinpath("calibration"))
    )
    camera = Camera(device="plant", width=64, height=64, fps=15)
    return msgspec.structs.replace(
        loader.load(simulated=True).config, cameras={"overhead": camera, "wrist": camera}
    )


def make_act(
    folder: Path, cameras: tuple[str, ...] = (), *, environment: bool = True, seed: int = 7
) -> Path:
    """Save an ACT of the real architecture with random weights; its mean action is near 20°."""
    import torch
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    torch.manual_seed(seed)
    inputs = {"observation.state": PolicyFeature(FeatureType.STATE, (6,))}
    if environment:
        inputs["observation.environment_state"] = PolicyFeature(FeatureType.ENV, (7,))
    for camera in cameras:
        inputs[f"observation.images.{camera}"] = PolicyFeature(FeatureType.VISUAL, (3, 64, 64))
    config = ACTConfig(
        input_features=inputs,
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
        chunk_size=CHUNK,
        n_action_steps=CHUNK,
        dim_model=32,
        dim_feedforward=64,
        n_heads=4,
        n_encoder_layers=1,
        n_vae_encoder_layers=1,
        latent_dim=8,
        vision_backbone="resnet18",
        pretrained_backbone_weights=None,
        device="cpu",
    )
    policy = ACTPolicy(config)
    pre, post = make_pre_post_processors(config, dataset_stats=_stats(inputs))
    # As on disk after training: the file asks for weights that a network would have to give.
    config.pretrained_backbone_weights = "ResNet18_Weights.IMAGENET1K_V1"
    for part in (policy, pre, post):
        part.save_pretrained(folder)
    return folder


def _stats(inputs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    import torch

    stats = {}
    features = {**inputs, "action": inputs["observation.state"]}
    for index, (key, feature) in enumerate(features.items()):
        shape = (3, 1, 1) if "images" in key else feature.shape
        spread = 0.25 if "images" in key else 10.0 + index
        middle = torch.full(shape, 0.5 if "images" in key else 20.0)
        stats[key] = {
            "mean": middle,
            "std": torch.full(shape, spread),
            "min": middle - 2 * spread,
            "max": middle + 2 * spread,
        }
    return stats


@pytest.fixture(scope="session")
def saved_act(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State and environment state in, joints out; with robotd's sidecar. Do not write into it."""
    folder = make_act(tmp_path_factory.mktemp("act") / "pretrained_model")
    write_sidecar(folder, Sidecar(fps=15, units="degrees", joints=FEATURE_NAMES))
    return folder


@pytest.fixture(scope="session")
def saved_image_act(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State and two 64x64 pictures in (`front`, `wrist`), ResNet18. Do not write into it."""
    folder = tmp_path_factory.mktemp("image_act") / "pretrained_model"
    make_act(folder, ("front", "wrist"), environment=False)
    write_sidecar(folder, Sidecar(fps=15, units="degrees", joints=FEATURE_NAMES))
    return folder


@pytest.fixture
def act(saved_act: Path, tmp_path: Path) -> Path:
    """A copy of `saved_act` to damage."""
    return shutil.copytree(saved_act, tmp_path / "pretrained_model")


EPISODES, ROWS = 3, 30


@pytest.fixture(scope="session")
def saved_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes by LeRobot itself: slow moves around 10°, wrist_roll beyond 100°."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    root = tmp_path_factory.mktemp("dataset") / "blocks"
    vector = {"dtype": "float32", "shape": (6,), "names": list(FEATURE_NAMES)}
    dataset = LeRobotDataset.create(
        "me/blocks", 15, {"observation.state": vector, "action": vector}, root=root
    )
    for episode in range(EPISODES):
        for row in range(ROWS):
            values = recorded_row(episode, row)
            dataset.add_frame({"observation.state": values, "action": values, "task": "wave"})
        dataset.save_episode()
    dataset.finalize()
    return root


def recorded_row(episode: int, row: int) -> np.ndarray:
    """The action of `saved_dataset` at one row, in degrees; the gripper 0..100."""
    swing = 10.0 * np.sin(row / 10.0)
    values = [10.0 + swing, -10.0 * episode, 20.0, swing, 101.0, 30.0]
    return np.array(values, np.float32)
