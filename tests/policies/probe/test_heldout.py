"""Which episodes a checkpoint was not trained on, as LeRobot's train_config.json says it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.probe.heldout import dataset_here, held_out
from policies.probe.samples import choose_places, done_after

ROOT = Path("/data/me/blocks")
TASKS = ("pick", "pick", "pick", "place", "place")


@pytest.mark.parametrize(
    ("training", "episodes", "known"),
    [
        (None, (0, 1, 2, 3, 4), None),
        ({"repo_id": "me/other"}, (0, 1, 2, 3, 4), True),
        ({"repo_id": "me/blocks"}, (0, 1, 2, 3, 4), False),
        ({"repo_id": "x", "root": "/data/me/blocks"}, (0, 1, 2, 3, 4), False),
        # A rented GPU's folder, and one that was moved since.
        ({"repo_id": "me/blocks", "root": "/bundle/dataset"}, (0, 1, 2, 3, 4), False),
        ({"repo_id": "me/before", "root": "/bundle/dataset"}, (0, 1, 2, 3, 4), None),
        ({"repo_id": "me/other", "root": "/"}, (0, 1, 2, 3, 4), True),
        ({"repo_id": "me/blocks", "episodes": [0, 3]}, (1, 2, 4), True),
        # LeRobot keeps the last ceil(n × split) of each task for evaluation.
        ({"repo_id": "me/blocks", "eval_split": 0.3}, (2, 4), True),
    ],
)
def test_held_out_episodes_are_those_that_were_not_trained_on(
    training: dict[str, Any] | None, episodes: tuple[int, ...], known: bool | None
) -> None:
    found = held_out(training, ROOT, TASKS)
    assert (found.episodes, found.held_out) == (episodes, known)
    assert found.words


def test_a_remedy_names_a_dataset_that_is_here() -> None:
    assert dataset_here({"repo_id": "me/blocks", "root": "/bundle/dataset"}) == "me/blocks"
    assert dataset_here({"repo_id": "me/blocks", "root": "/"}) == "/"
    assert dataset_here({}) == ""


def test_any_first_part_of_the_moments_is_spread_over_the_episodes() -> None:
    places = choose_places([(episode, 100) for episode in range(10)], 200)
    assert len(set(places)) == 200
    assert len({place.episode for place in places[:30]}) >= 8
    assert places == choose_places([(episode, 100) for episode in range(10)], 200)


def test_what_was_done_is_at_the_policys_own_rate_and_nothing_after_the_end() -> None:
    actions = np.arange(10.0)[:, None]
    half = done_after(actions, 6, 4, 0.5)[:, 0]
    np.testing.assert_allclose(half, [6.0, 6.5, 7.0, 7.5])
    twice = done_after(actions, 6, 4, 2.0)[:, 0]
    np.testing.assert_allclose(twice[:2], [6.0, 8.0])
    assert np.isnan(twice[2:]).all()
