"""robotd's statistics are LeRobot's: a policy may not see which of the two recorded an episode."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from daemon.recorder import stats

TOLERANCE = 1e-6


@pytest.fixture(scope="session")
def lerobot_stats(lerobot_datasets: ModuleType) -> ModuleType:
    """LeRobot's own statistics module."""
    import lerobot.datasets.compute_stats as module

    return module


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert np.shape(ours[name]) == np.shape(value), name
        scale = np.maximum(1.0, np.abs(value))
        assert np.all(np.abs(ours[name] - value) <= TOLERANCE * scale), name


@pytest.mark.parametrize("rows", [1, 2, 7, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_statistics_of_vectors_are_lerobots(
    lerobot_stats: ModuleType, rows: int, dtype: str
) -> None:
    rng = np.random.default_rng(rows)
    for shape in ((rows,), (rows, 6)):
        values = (rng.normal(20, 30, shape)).astype(dtype)
        theirs = lerobot_stats.get_feature_stats(values, axis=0, keepdims=values.ndim == 1)
        assert_same(stats.vector_stats(values), theirs)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=40),
        elements=st.floats(-200, 200, width=32),
    )
)
def test_statistics_are_lerobots_for_any_values(
    lerobot_stats: ModuleType, values: np.ndarray[Any, Any]
) -> None:
    theirs = lerobot_stats.get_feature_stats(values, axis=0, keepdims=False)
    assert_same(stats.vector_stats(values), theirs)


@pytest.mark.parametrize(
    ("frames", "height", "width"), [(1, 96, 128), (130, 96, 128), (12, 240, 320), (12, 480, 640)]
)
def test_statistics_of_pictures_are_lerobots(
    lerobot_stats: ModuleType, tmp_path: Path, frames: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(frames)
    pictures = rng.integers(0, 255, (frames, height, width, 3), dtype=np.uint8) // 2 + 17
    paths = []
    for index, picture in enumerate(pictures):
        paths.append(str(tmp_path / f"{index}.png"))
        Image.fromarray(picture).save(paths[-1], compress_level=0)
    features = {"observation.images.a": {"dtype": "video"}}
    theirs = lerobot_stats.compute_episode_stats({"observation.images.a": paths}, features)
    ours = stats.image_stats(pictures[index] for index in stats.sampled_frames(frames))
    assert_same(ours, theirs["observation.images.a"])


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 465, 1000, 20_000])
def test_the_same_frames_are_sampled(lerobot_stats: ModuleType, count: int) -> None:
    assert stats.sampled_frames(count) == lerobot_stats.sample_indices(count)


def test_statistics_of_a_dataset_are_lerobots(lerobot_stats: ModuleType) -> None:
    rng = np.random.default_rng(3)
    parts = []
    for rows in (2, 50, 7):
        values = rng.normal(rows, 5, (rows, 6)).astype(np.float32)
        pictures = rng.integers(0, 255, (rows, 20, 30, 3), dtype=np.uint8)
        parts.append(
            {
                "action": stats.vector_stats(values),
                "observation.images.a": stats.image_stats(pictures),
            }
        )
    theirs = lerobot_stats.aggregate_stats(parts)
    one_by_one = stats.aggregate([stats.aggregate(parts[:2]), parts[2]])
    for name, expected in theirs.items():
        assert_same(stats.aggregate(parts)[name], expected)
        assert_same(one_by_one[name], expected)


def test_statistics_survive_the_file() -> None:
    part = {"action": stats.vector_stats(np.arange(12.0).reshape(4, 3))}
    again = stats.from_json(stats.to_json(part))
    for name, value in part["action"].items():
        np.testing.assert_array_equal(again["action"][name], value)
