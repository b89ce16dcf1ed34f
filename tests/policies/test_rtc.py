"""Real-time chunking: LeRobot 0.6.1's own processor is the reference, number for number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.policy_flow import FlowPolicy, sample
from policies.rtc import (
    Leftover,
    Pull,
    Schedule,
    guidance_weight,
    guided,
    prefix_weights,
)

LENGTH, WIDTH = 20, 4


def lerobot(schedule: Schedule, max_weight: float = 10.0):  # type: ignore[no-untyped-def]
    from lerobot.configs import RTCAttentionSchedule
    from lerobot.policies.rtc.configuration_rtc import RTCConfig
    from lerobot.policies.rtc.modeling_rtc import RTCProcessor

    return RTCProcessor(
        RTCConfig(
            prefix_attention_schedule=RTCAttentionSchedule(schedule.name),
            max_guidance_weight=max_weight,
        )
    )


@pytest.mark.parametrize("schedule", list(Schedule))
def test_the_weights_are_lerobots(schedule: Schedule) -> None:
    theirs = lerobot(schedule)
    for delay in (0, 1, 3, 8, 20, 25):
        for horizon in (0, 1, 5, 10, 20, 30):
            expected = theirs.get_prefix_weights(delay, horizon, LENGTH).numpy()
            ours = prefix_weights(delay, horizon, LENGTH, schedule)
            np.testing.assert_allclose(ours, expected, atol=1e-6, err_msg=f"{delay} {horizon}")


@pytest.mark.parametrize("schedule", list(Schedule))
@pytest.mark.parametrize("left", [(20, 4), (13, 4), (13, 3), (4, 4)])
def test_a_guided_velocity_is_lerobots(schedule: Schedule, left: tuple[int, int]) -> None:
    """Same noise, same velocity field, same leftover: same outputs within 1e-6, over all steps of
    the flow, also where the leftover is shorter or narrower than a chunk."""
    import torch

    torch.manual_seed(1)
    x_t = torch.rand(LENGTH, WIDTH) * 0.5
    field = torch.rand(LENGTH, WIDTH) * 0.5
    actions = np.random.default_rng(2).uniform(-0.3, 0.3, left).astype(np.float32)
    theirs = lerobot(schedule)
    leftover = Leftover(actions, delay_steps=3, horizon=9, schedule=schedule)
    own = leftover.pull(LENGTH, WIDTH)
    pull = Pull(torch.from_numpy(own.target), torch.from_numpy(own.weights), own.max_weight)
    for step in range(10):
        t = 1.0 - step / 10
        expected = theirs.denoise_step(
            x_t, torch.from_numpy(actions), 3, t, lambda x: field - x, execution_horizon=9
        )
        ours = guided(x_t, field - x_t, t, pull)
        np.testing.assert_allclose(ours.numpy(), expected.detach().numpy(), atol=1e-6, rtol=1e-6)
        x_t = x_t - expected.detach() / 10


def test_the_guidance_weight_is_bounded_at_both_ends_and_least_in_between() -> None:
    assert guidance_weight(1.0, 10.0) == 10.0
    assert guidance_weight(0.0, 10.0) == 0.0
    assert guidance_weight(0.5, 10.0) == pytest.approx(2.0)
    assert guidance_weight(0.01, 10.0) == 10.0
    assert guidance_weight(0.01, 3.0) == 3.0


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), schedule=st.sampled_from(list(Schedule)))
def test_numpy_and_torch_say_the_same(seed: int, schedule: Schedule) -> None:
    import torch

    random = np.random.default_rng(seed)
    x_t, v, actions = random.normal(size=(3, LENGTH, WIDTH)).astype(np.float32)
    t = float(random.uniform(0.05, 1.0))
    pull = Leftover(actions, 2, 8, schedule).pull(LENGTH, WIDTH)
    ours = guided(x_t, v, t, pull)
    tensors = Pull(torch.from_numpy(pull.target), torch.from_numpy(pull.weights), pull.max_weight)
    theirs = guided(torch.from_numpy(x_t), torch.from_numpy(v), t, tensors)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-5)


def test_what_is_frozen_stays_and_what_is_free_is_the_policys() -> None:
    """Two ways lead on; whichever the noise would have taken, the guided chunk begins on the one
    that is being played, leaves it smoothly if at all, and ends on one of both."""
    ways = FlowPolicy.ways(np.zeros(6))
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=ways.shape[1:])
        played = ways[seed % 2]
        leftover = Leftover(played.astype(np.float32), delay_steps=8, horizon=18)
        chunk = sample(ways, noise, leftover.pull(*noise.shape))
        assert np.abs(chunk[:8] - played[:8]).max() < 0.3
        # Taking the other way from there on at once would be a step of 1.4.
        assert np.abs(ways[0, 8] - ways[1, 8]).max() > 1.4
        assert np.abs(np.diff(chunk, n=2, axis=0)).max() < 1.4 / 3
        nearest = min(np.abs(chunk[30:] - way[30:]).max() for way in ways)
        assert nearest < 0.3


def test_a_leftover_of_deltas_means_the_same_motion_from_another_pose() -> None:
    """Deltas are normalised differences from the pose of their observation; the gripper, absolute,
    and padding stay as they are."""
    state = np.array([10.0, -20.0, 40.0], np.float32)
    moved = np.array([13.0, -22.0, 90.0], np.float32)
    delta = np.array([True, True, False])
    scale = np.array([2.0, 5.0, 30.0], np.float32)
    goals = np.random.default_rng(3).uniform(-40, 40, (6, 3))
    in_model = np.zeros((6, 5), np.float32)
    in_model[:, :3] = (goals - np.where(delta, state, 0.0)) / scale
    leftover = Leftover(in_model, 2, 5, state=state).rebased(moved, delta, scale)
    expected = (goals - np.where(delta, moved, 0.0)) / scale
    np.testing.assert_allclose(leftover.actions[:, :3], expected, atol=1e-5)
    np.testing.assert_array_equal(leftover.actions[:, 3:], 0.0)
    assert leftover.rebased(state, delta, scale) is leftover  # once is enough
