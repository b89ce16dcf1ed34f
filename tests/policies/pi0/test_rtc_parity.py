"""Real-time chunking through whole models: robotd's Pi0 beside LeRobot's with the same tiny weights,
the same noise and the same leftover; and LeRobot's own flow policies through the same `Leftover`."""

from types import SimpleNamespace

import numpy as np
import pytest

from policies import rtc_lerobot
from policies.checkpoint.pi0_layout import dims_of
from policies.pi0.pictures import pixels
from policies.pi0.sampler import load_sampler
from policies.pi0.sampling import NetworkInputs
from policies.rtc import Leftover, Schedule, guided

from ..checkpoint import tiny_pi0
from ..checkpoint.tiny_pi0 import CAMERAS, HORIZON, IMAGE, PROMPT_TOKENS, SIZES
from .test_lerobot_parity import EXACT, lerobots

ABSOLUTE = SimpleNamespace(steps=[])


@pytest.mark.parametrize("schedule", [Schedule.LINEAR, Schedule.EXP])
def test_a_guided_chunk_is_that_of_lerobots_own_policy(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    torch.set_num_threads(1)
    tensors = tiny_pi0.torch_tensors(tiny_pi0.arrays("pi0"))
    theirs = lerobots("pi0", tensors, monkeypatch)
    assert rtc_lerobot.can_be_guided(theirs)
    rtc_lerobot.enable(theirs)
    ours = load_sampler(dict(tensors), "pi0", dims_of(SIZES), device="cpu", dtype=torch.float32)

    rng = np.random.default_rng(5)
    picture = rng.integers(0, 256, (48, 64, 3), np.uint8)
    ids = rng.integers(0, SIZES["V"], PROMPT_TOKENS)
    words = np.ones(PROMPT_TOKENS, np.bool_)
    state = rng.normal(0, 1, 32).astype(np.float32)
    noise = rng.standard_normal((1, HORIZON, 32), np.float32)
    left = rng.normal(0, 0.5, (HORIZON - 3, 32)).astype(np.float32)
    leftover = Leftover(left, delay_steps=2, horizon=6, schedule=schedule, max_weight=8.0)

    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255.0
    batch = {
        "observation.state": torch.from_numpy(state)[None],
        "observation.language.tokens": torch.from_numpy(ids)[None],
        "observation.language.attention_mask": torch.from_numpy(words)[None],
        f"observation.images.{CAMERAS[0]}": image,
    }
    told = rtc_lerobot.arguments(theirs, ABSOLUTE, leftover)
    wanted = theirs.predict_action_chunk(batch, noise=torch.from_numpy(noise), **told)
    free = theirs.predict_action_chunk(batch, noise=torch.from_numpy(noise))
    prepared = ours.prepare(
        NetworkInputs(
            pixels=pixels(picture, IMAGE, "lerobot06")[None],
            views=np.ones(1, np.bool_),
            ids=ids,
            words=words,
            state=state,
        )
    )
    pull = leftover.pull(HORIZON, 32)
    there = pull._replace(
        target=torch.from_numpy(pull.target), weights=torch.from_numpy(pull.weights)
    )
    found = ours.sample(prepared, noise, 10, lambda x, v, t: guided(x, v, t, there))
    assert np.abs(found - wanted.detach().numpy()).max() <= EXACT
    assert np.abs(found - free.numpy()).max() > 0.1, "a guide that guides nothing proves nothing"
    assert np.abs(found[0, :2] - left[:2]).max() < np.abs(free.numpy()[0, :2] - left[:2]).max() / 3


def test_a_leftover_of_relative_actions_is_re_based_as_lerobot_re_bases_it() -> None:
    import torch
    from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
    from lerobot.policies.rtc.relative import reanchor_relative_rtc_prefix
    from lerobot.processor import (
        NormalizerProcessorStep,
        RelativeActionsProcessorStep,
        create_transition,
    )

    joints = ["shoulder_pan.pos", "elbow_flex.pos", "gripper.pos"]
    relative = RelativeActionsProcessorStep(
        enabled=True, exclude_joints=["gripper"], action_names=joints
    )
    normalise = NormalizerProcessorStep(
        features={"action": PolicyFeature(FeatureType.ACTION, (3,))},
        norm_map={FeatureType.ACTION: NormalizationMode.MEAN_STD},
        stats={
            "action": {"mean": torch.tensor([1.0, -2.0, 30.0]), "std": torch.tensor([4, 9, 20])}
        },
    )
    pipeline = SimpleNamespace(steps=[relative, normalise])
    before, now = torch.tensor([[10.0, -20.0, 40.0]]), torch.tensor([[14.0, -26.0, 90.0]])
    goals = torch.tensor(np.random.default_rng(1).uniform(-40, 40, (5, 3)), dtype=torch.float32)
    relative(create_transition(observation={"observation.state": before}, action=goals[None]))
    said = reanchor_relative_rtc_prefix(goals, before, relative, normalise, "cpu")
    raw = rtc_lerobot.raw_chunk(pipeline, said[0] if said.ndim == 3 else said)
    assert raw.state is not None
    np.testing.assert_array_equal(raw.state, before[0].numpy())

    relative(create_transition(observation={"observation.state": now}))
    policy = SimpleNamespace(
        rtc_processor=SimpleNamespace(rtc_config=SimpleNamespace()),
        parameters=lambda: iter([torch.zeros(1)]),
    )
    told = rtc_lerobot.arguments(policy, pipeline, Leftover(raw.actions, 1, 3, state=raw.state))
    wanted = reanchor_relative_rtc_prefix(goals, now, relative, normalise, "cpu")
    np.testing.assert_allclose(
        told["prev_chunk_left_over"].numpy(), wanted.numpy().reshape(5, 3), atol=1e-5
    )
    assert (told["inference_delay"], told["execution_horizon"]) == (1, 3)
