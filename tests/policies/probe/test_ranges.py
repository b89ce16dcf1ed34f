"""Pictures that reach a model out of its range are told from dark, bright and sound ones."""

import numpy as np
import pytest

from policies.probe.ranges import out_of_range

KEY = "observation.images.wrist"
IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))


def picture(low: int, high: int) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, (48, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("mean", "std", "shown", "wrong"),
    [
        pytest.param(*IMAGENET, picture(0, 256), False, id="sound"),
        pytest.param(*IMAGENET, picture(0, 8), False, id="a dark scene"),
        pytest.param(*IMAGENET, picture(240, 256), False, id="a bright scene"),
        pytest.param(*IMAGENET, picture(0, 1), False, id="a black camera: not the statistics"),
        pytest.param(IMAGENET[0], IMAGENET[1] * 0.05, picture(0, 256), True, id="no spread"),
        pytest.param(IMAGENET[0] * 255, IMAGENET[1] * 255, picture(0, 256), True, id="0 to 255"),
    ],
)
def test_statistics_that_no_picture_has_are_named(
    mean: np.ndarray, std: np.ndarray, shown: np.ndarray, wrong: bool
) -> None:
    words = out_of_range({KEY: (mean, std)}, {KEY: [shown]})
    assert bool(words) is wrong
    assert not wrong or KEY in words


def test_what_is_not_shown_is_not_judged() -> None:
    assert out_of_range({KEY: IMAGENET}, {}) == ""
