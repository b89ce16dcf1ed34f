"""Chunks become plans: ensembling, crossfade and what of a chunk still counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.plan import (
    Chunk,
    Ensemble,
    crossfaded,
    ensembled,
    parse_ensemble,
    times_left,
)
from robotd.errors import CheckpointError
from robotd.layouts import PLAN_WAYPOINTS

STEP_NS = 66_666_667


def chunk(observation_ns: int, actions: np.ndarray, chunk_id: int = 1) -> Chunk:
    return Chunk(chunk_id, 1, observation_ns, STEP_NS, np.asarray(actions, np.float64))


def test_a_chunk_is_read_at_the_times_its_actions_are_meant_for() -> None:
    actions = np.arange(12.0).reshape(6, 2)
    times = 1000 + STEP_NS * np.arange(6)
    path, covered = chunk(1000, actions).at(times + 3)  # deadlines are rounded to nanoseconds
    assert covered.all()
    np.testing.assert_array_equal(path, actions)
    halfway, _ = chunk(1000, actions).at(np.array([1000 + STEP_NS // 2]))
    np.testing.assert_allclose(halfway, [[1.0, 2.0]], atol=1e-6)
    _, outside = chunk(1000, actions).at(np.array([1000 - STEP_NS, 1000 + 6 * STEP_NS]))
    assert not outside.any()


@given(now=st.integers(-(10**9), 10**11), length=st.integers(1, 200))
def test_what_is_past_is_dropped_but_the_action_that_is_due_now(now: int, length: int) -> None:
    a_chunk = chunk(0, np.zeros((length, 6)))
    times = times_left(a_chunk, now)
    assert len(times) <= PLAN_WAYPOINTS
    if now >= length * STEP_NS:
        assert len(times) == 0
    else:
        assert times[0] <= max(now, 0)  # something is due at once
        assert times[0] + STEP_NS > now  # and nothing before it is kept
        assert (times % STEP_NS == 0).all()


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_ensembling_weighs_chunks_by_their_rank(order: str) -> None:
    rng = np.random.default_rng(3)
    chunks = [chunk(i * STEP_NS, rng.normal(size=(8, 6)), i + 1) for i in range(4)]
    times = times_left(chunks[-1], chunks[-1].observation_ns)
    mean = ensembled(chunks, times, Ensemble(order, 0.3))  # type: ignore[arg-type]
    for row, at in enumerate(times):
        step = round(at / STEP_NS)
        said = [c.actions_rad[step - i] for i, c in enumerate(chunks) if step - i < 8]
        if order == "newest":
            said.reverse()
        weights = np.exp(-0.3 * np.arange(len(said)))
        np.testing.assert_allclose(mean[row], np.average(said, axis=0, weights=weights), atol=1e-9)


def test_a_crossfade_starts_on_the_old_path_and_ends_on_the_new_one() -> None:
    old, new = np.zeros((10, 2)), np.ones((10, 2))
    times = np.arange(10) * 10
    path = crossfaded(old, new, times, seam_ns=20, fade_ns=40)
    np.testing.assert_allclose(path[:, 0], [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1])
    assert crossfaded(old, new, times, 20, 0) is new


def test_ensembling_is_asked_for_in_words() -> None:
    assert parse_ensemble("") is None
    assert parse_ensemble("newest") == Ensemble("newest", 0.01)
    assert parse_ensemble("oldest:0.2") == Ensemble("oldest", 0.2)
    for text in ("latest", "newest:x", "oldest:-1", "newest:nan"):
        with pytest.raises(CheckpointError, match="not known"):
            parse_ensemble(text)
