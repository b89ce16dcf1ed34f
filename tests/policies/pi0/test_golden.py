"""robotd's Pi0 against what the original code computed (openpi @15a9616, JAX, float32)."""

from typing import Any

import numpy as np
import pytest

from policies.checkpoint.container import Container, open_container
from policies.pi0.normalise import make_normaliser
from policies.pi0.pictures import pixels
from policies.pi0.sampler import TorchSampler, load_sampler
from policies.pi0.sampling import NetworkInputs

from .conftest import GOLDEN, VIEWS, vectors

pytestmark = pytest.mark.timeout(900)  # torch is imported on a busy machine

EXACT, HALF = 1e-4, 2e-2
CHECKPOINTS = ("pi0", "pi0_train_layout", "pi0_missing_camera", "pi05", "pi0_lora", "pi0_bf16")


def golden(name: str) -> Container:
    return open_container(GOLDEN / name, lora_alpha=8.0 if name == "pi0_lora" else None)


def sampler_of(name: str, dtype: str = "float32") -> TorchSampler:
    import torch

    torch.set_num_threads(1)
    container = golden(name)
    return load_sampler(
        container.pi0_tensors(),
        container.pi0_kind,
        container.dims,
        device="cpu",
        dtype=getattr(torch, dtype),
    )


def inputs_of(recorded: dict[str, np.ndarray]) -> NetworkInputs:
    pictures = [recorded[f"image_{view}"].astype(np.float32) / 127.5 - 1.0 for view in VIEWS]
    return NetworkInputs(
        pixels=np.stack([picture.transpose(2, 0, 1) for picture in pictures]),
        views=recorded["image_masks"],
        ids=recorded["tokenized_prompt"][0].astype(np.int64),
        words=recorded["tokenized_prompt_mask"][0],
        state=recorded["state"][0],
    )


def far(found: Any, wanted: Any) -> float:
    return float(np.abs(np.asarray(found, np.float64) - np.asarray(wanted, np.float64)).max())


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_tokens_velocity_and_actions_are_the_originals(name: str) -> None:
    recorded = vectors(name)
    # Weights that were stored as bfloat16 are other weights; everything is computed in float32.
    bound = HALF if name == "pi0_bf16" else EXACT
    sampler = sampler_of(name)
    prepared = sampler.prepare(inputs_of(recorded))
    assert far(sampler.tokens(prepared), recorded["prefix_tokens"][0]) <= bound
    noise = recorded["noise"]
    assert far(sampler.velocity(prepared, noise, 1.0), recorded["velocity_t1"]) <= bound
    for steps in (10, 5):
        found = sampler.sample(prepared, noise, steps)
        assert far(found, recorded[f"actions_{steps}"]) <= bound


@pytest.mark.parametrize("name", ["pi0", "pi05"])
def test_bfloat16_stays_within_its_precision(name: str) -> None:
    recorded = vectors(name)
    sampler = sampler_of(name, "bfloat16")
    found = sampler.sample(sampler.prepare(inputs_of(recorded)), recorded["noise"], 10)
    assert far(found, recorded["actions_10"]) <= HALF


def test_a_masked_view_may_as_well_be_left_out() -> None:
    recorded = vectors("pi0_missing_camera")
    assert recorded["image_masks"].tolist() == [True, True, False]
    whole = inputs_of(recorded)
    short = NetworkInputs(whole.pixels[:2], whole.views[:2], whole.ids, whole.words, whole.state)
    sampler = sampler_of("pi0_missing_camera")
    found = sampler.sample(sampler.prepare(short), recorded["noise"], 10)
    assert far(found, recorded["actions_10"]) <= EXACT


def test_several_chunks_of_one_moment_are_those_of_each_noise() -> None:
    recorded = vectors("pi0")
    sampler = sampler_of("pi0")
    prepared = sampler.prepare(inputs_of(recorded))
    other = np.random.default_rng(3).standard_normal(recorded["noise"].shape, np.float32)
    both = sampler.sample(prepared, np.concatenate([recorded["noise"], other]), 10)
    assert far(both[:1], recorded["actions_10"]) <= EXACT
    assert far(both[1:], sampler.sample(prepared, other, 10)) <= 1e-5


@pytest.mark.parametrize("name", ["pi0", "pi05"])
@pytest.mark.parametrize(("word", "mode"), [("zscore", "MEAN_STD"), ("quantile", "QUANTILES")])
def test_normalisation_is_the_originals(name: str, word: str, mode: str) -> None:
    recorded, stats = vectors(name), golden(name).stats
    state = make_normaliser(stats["observation.state"], mode, "openpi", 1e-6, "state")
    action = make_normaliser(stats["action"], mode, "openpi", 1e-6, "action")
    assert far(state.forward(recorded["state"][0]), recorded[f"state_normalized_{word}"]) <= 1e-6
    assert far(action.back(recorded["actions_10"][0]), recorded[f"unnormalized_{word}"]) <= 1e-6


def test_pictures_are_resized_as_the_original_does() -> None:
    with np.load(GOLDEN / "resize_with_pad.npz") as file:
        for name, wanted in (
            ("image_480x640", "resized_224_a"),
            ("image_300x900", "resized_224_b"),
        ):
            seen = pixels(file[name], 224, "openpi").transpose(1, 2, 0)
            assert np.abs((seen + 1.0) * 127.5 - file[wanted]).max() < 1e-4  # of a byte
