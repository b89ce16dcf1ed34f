"""LeRobot itself, imported once for all tests that need it, and offline."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing in here may ask the network

import importlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder in memory where there is one: these tests sync thousands of times."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def lerobot_datasets() -> ModuleType:
    """LeRobot's dataset module (its import takes 10 s or more, so once for all tests)."""
    return importlib.import_module("lerobot.datasets.lerobot_dataset")


@pytest.fixture
def open_dataset(lerobot_datasets: ModuleType, tmp_path: Path) -> Callable[[Path], Any]:
    """Open a dataset as a LeRobot user would. Its arrow cache goes under tmp_path."""
    import datasets

    datasets.config.HF_DATASETS_CACHE = tmp_path / "hf-cache"

    def load(root: Path) -> Any:
        return lerobot_datasets.LeRobotDataset("me/pick", root=root, video_backend="pyav")

    return load
