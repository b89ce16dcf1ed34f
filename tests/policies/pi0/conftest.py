"""Golden vectors of the original Pi0, and a tokenizer small enough for tiny models."""

from pathlib import Path

import numpy as np
import pytest

from .tiny_tokenizer import train_tokenizer

GOLDEN = Path(__file__).parents[2] / "data/pi0-golden"
VIEWS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")


def vectors(name: str) -> dict[str, np.ndarray]:
    """The recorded inputs and outputs of one golden checkpoint."""
    with np.load(GOLDEN / name / "vectors.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_tokenizer`'s model."""
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer"))
