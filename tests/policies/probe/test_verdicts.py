"""One thing wrong, one cause named: the judging alone, on policies that are arrays.

A person reaches along smooth ways; a good policy says the same, not quite. Every fault is then what
life does to the numbers. Models and files come in `test_probe.py`.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.probe.judge import Seen, judge
from policies.probe.measure import (
    displacement,
    gripper_events,
    joint_figures,
    overall,
    stands_still_error,
)
from policies.probe.report import InputUse, Listening
from policies.probe.samples import Array, Samples
from policies.probe.undo import mistakes, recorded_statistics, tried

JOINTS = tuple(
    f"{name}.pos"
    for name in (
        "shoulder_pan",
        "shoulder_lift",
        "elbow_flex",
        "wrist_flex",
        "wrist_roll",
        "gripper",
    )
)
N, K = 120, 25
USED = (InputUse(key="observation.state", change=0.8, again=0.0),)


def demonstrated(seed: int = 0) -> Samples:
    """Moments of reaches between poses of an SO-101 in degrees, the gripper closing at their end,
    and a policy that says nearly that."""
    rng = np.random.default_rng(seed)
    low = np.array([-60.0, -90.0, -20.0, 20.0, -70.0, 0.0])
    high = np.array([60.0, -20.0, 80.0, 90.0, 70.0, 100.0])
    begin, end = rng.uniform(low, high, (2, N, 6))
    part = np.clip(rng.uniform(0.0, 0.7, N)[:, None] + np.arange(K) / 40.0, 0.0, 1.0)[..., None]
    done = begin[:, None] * (1.0 - part) + end[:, None] * part
    done[..., 5] = np.where(part[..., 0] < 0.8, 60.0, 5.0)
    state = done[:, 0] + rng.normal(0.0, 0.5, (N, 6))
    way = done - state[:, None]
    said = state[:, None] + 0.85 * way + rng.normal(0.0, 1.5, (N, 1, 6))
    return Samples(JOINTS, said, done, state, np.arange(N) // 12, np.arange(N) % 12)


def seen(samples: Samples, **changes: object) -> Seen:
    """What a probe without reruns would have measured."""
    trained = recorded_statistics(demonstrated())
    trials = [tried(samples, undo) for undo in mistakes(samples, trained, {})]
    found = Seen(
        error=overall(samples),
        standing_still=stands_still_error(samples),
        displacement=displacement(samples),
        joints=joint_figures(samples),
        grippers=gripper_events(samples, 1.0 / 30.0),
        trials=tuple(trials),
        inputs=USED,
        listening=None,
        state_follows=(0.98,) * 6,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def causes(samples: Samples, **changes: object) -> list[str]:
    return [finding.cause for finding in judge(seen(samples, **changes))]


def _turned(said: Array, joint: int, full: float) -> Array:
    turned = said.copy()
    turned[..., joint] = full - turned[..., joint]
    return turned


def _scaled(said: Array, *factors: float) -> Array:
    return said * np.array(factors)


_RAD = math.pi / 180.0
_STATS = recorded_statistics(demonstrated())
FAULTS: dict[str, Callable[[Array], Array]] = {
    "un-normalised": lambda said: (said - _STATS["mean"]) / _STATS["std"],
    "units": lambda said: _scaled(said, _RAD, _RAD, _RAD, _RAD, _RAD, 0.01),
    "polarity": lambda said: _turned(said, 5, 100.0),
    "gripper-scale": lambda said: _scaled(said, 1, 1, 1, 1, 1, 0.01),
    "sign": lambda said: _scaled(said, 1, 1, -1, 1, 1, 1),
    "order": lambda said: said[..., [0, 1, 3, 2, 4, 5]],
    "offset": lambda said: said + np.array([0.0, 0.0, 70.0, 0.0, 0.0, 0.0]),
    "mean-regressed": lambda said: _STATS["mean"] + 0.03 * (said - _STATS["mean"]),
}


@pytest.mark.parametrize("cause", FAULTS)
@pytest.mark.parametrize("seed", range(3))
def test_one_fault_in_what_is_said_is_the_one_cause_named(cause: str, seed: int) -> None:
    good = demonstrated(seed)
    (top, *_) = causes(good.saying(FAULTS[cause](good.said)))
    assert top == cause


@settings(max_examples=15)
@given(seed=st.integers(1, 10_000))
def test_a_good_policy_raises_no_alarm(seed: int) -> None:
    assert causes(demonstrated(seed)) == []


def test_quantiles_that_were_never_undone_are_found_too() -> None:
    """Pi0.5's way of normalising."""
    good = demonstrated()
    low, high = _STATS["q01"], _STATS["q99"]
    assert causes(good.saying(2 * (good.said - low) / (high - low) - 1))[0] == "un-normalised"


def test_a_policy_that_repeats_its_state_stands_still_however_small_its_error() -> None:
    good = demonstrated()
    assert good.state is not None
    assert causes(good.saying(np.repeat(good.state[:, None], K, axis=1))) == ["stands-still"]


def test_differences_taken_for_positions_are_named() -> None:
    good = demonstrated()
    assert good.state is not None
    said = good.said - good.state[:, None]
    said[..., 5] = good.said[..., 5]
    assert causes(good.saying(said))[0] == "relative"


def test_a_gripper_that_stays_half_open_is_named_beside_joints_that_are_good() -> None:
    good = demonstrated()
    said = good.said.copy()
    said[..., 5] = 30.0 + 0.1 * (said[..., 5] - 30.0)
    assert causes(good.saying(said)) == ["gripper-mean-regressed"]


def test_noise_has_no_relation_and_fresh_weights_are_called_so() -> None:
    good = demonstrated()
    noise = np.random.default_rng(3).normal(_STATS["mean"], _STATS["std"], good.said.shape)
    assert causes(good.saying(noise)) == ["no-relation"]
    assert causes(good.saying(noise), untrained=1.0) == ["random-weights"]


def test_an_input_that_changes_nothing_is_named_only_where_something_is_wrong() -> None:
    good = demonstrated()
    deaf = (
        InputUse(key="observation.state", change=0.0, again=0.0),
        InputUse(key="observation.images.front", change=0.9, again=0.0),
    )
    assert causes(good, inputs=deaf) == []
    noise = good.saying(np.random.default_rng(3).permutation(good.said))
    assert causes(noise, inputs=deaf) == ["state-ignored"]
    blind = (replace_change(deaf[0], 0.9), replace_change(deaf[1], 0.0))
    assert causes(noise, inputs=blind) == ["blind"]


def replace_change(use: InputUse, change: float) -> InputUse:
    return InputUse(key=use.key, change=change, again=use.again)


def test_a_state_that_is_no_joints_explains_everything_below_it() -> None:
    good = demonstrated()
    noise = good.saying(np.random.default_rng(3).permutation(good.said))
    (finding,) = judge(seen(noise, state_follows=(0.1, 0.0, 0.2)))
    assert (finding.cause, finding.outcome) == ("state-not-joints", "fail")
    # A policy that does well in spite of it is not refused for it.
    (finding,) = judge(seen(good, state_follows=(0.1, 0.0, 0.2)))
    assert (finding.cause, finding.outcome) == ("state-not-joints", "warn")


@pytest.mark.parametrize(("instructions", "outcome"), [(4, "fail"), (1, "warn")])
def test_a_policy_that_does_not_listen_fails_where_there_was_something_to_hear(
    instructions: int, outcome: str
) -> None:
    heard = Listening(
        task="put the red block away",
        other="put the blue block away",
        prompt_change=0.01,
        picture_change=0.8,
        trained=True,
        nearest="put the red block away",
        instructions=instructions,
    )
    (finding,) = judge(seen(demonstrated(), listening=heard))
    assert (finding.cause, finding.outcome) == ("does-not-listen", outcome)
    listening = Listening(**{**_fields(heard), "prompt_change": 0.4})
    assert judge(seen(demonstrated(), listening=listening)) == ()


def _fields(heard: Listening) -> dict[str, object]:
    return {name: getattr(heard, name) for name in heard.__struct_fields__}


def test_a_closing_is_matched_in_time_missed_or_invented() -> None:
    done = np.full((4, 10, 6), 50.0)
    done[..., 0] = np.linspace(0, 90, 40).reshape(4, 10)
    said = done.copy()
    done[0, 4:, 5] = said[0, 6:, 5] = 0.0  # two steps late
    done[1, 5:, 5] = 0.0  # missed
    said[2, 3:, 5] = 0.0  # invented
    samples = Samples(JOINTS, said, done, None, np.zeros(4, int), np.arange(4))
    (found,) = gripper_events(samples, 0.1)
    assert (found.events, found.missed, found.invented) == (2, 1, 1)
    assert found.offset_s == pytest.approx(0.2)
