"""Asked together or one by one, with pictures remembered or not, an ACT says the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.checkpoint.loading import Checkpoint, load_checkpoint
from policies.checkpoint.many import answers_many, pictures_remembered, predict_many

PLACES = 5


@pytest.fixture(scope="module")
def act(saved_image_act: Path) -> Checkpoint:
    return load_checkpoint(saved_image_act, device="cpu")


def moments() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "observation.state": rng.normal(20.0, 10.0, 6).astype(np.float32),
            **{
                f"observation.images.{name}": rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
                for name in ("front", "wrist")
            },
        }
        for _ in range(PLACES)
    ]


def test_several_moments_at_once_are_answered_as_each_alone(act: Checkpoint) -> None:
    assert answers_many(act)
    asked = moments()
    alone = np.array([act.predict(each, "") for each in asked])
    assert np.abs(alone - alone[0]).max() > 0.01
    np.testing.assert_allclose(predict_many(act, asked, ""), alone, atol=1e-3)


def test_a_remembered_picture_is_not_computed_again_and_changes_nothing(act: Checkpoint) -> None:
    asked = moments()
    said = predict_many(act, asked, "")
    own, computed = act.policy.model.backbone, []
    hook = own.register_forward_pre_hook(lambda _m, given: computed.append(len(given[0])))
    with pictures_remembered(act):
        np.testing.assert_allclose(predict_many(act, asked, ""), said, atol=1e-3)
        assert sum(computed) == 2 * PLACES
        moved = [{**each, "observation.state": each["observation.state"] + 9} for each in asked]
        again = predict_many(act, moved, "")
        one = act.predict(moved[0], "")
        assert sum(computed) == 2 * PLACES
    hook.remove()
    assert act.policy.model.backbone is own
    np.testing.assert_allclose(again, predict_many(act, moved, ""), atol=1e-3)
    np.testing.assert_allclose(one, again[0], atol=1e-3)
