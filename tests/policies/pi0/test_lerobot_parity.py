"""robotd's Pi0 and Pi0.5 beside LeRobot 0.6.1's own classes with the same tiny weights.

LeRobot knows two sizes of Gemma by name and one vision tower. For this test alone
`get_gemma_config` is replaced by tiny sizes, and the two Hugging Face classes are handed a
configuration with a tiny vision tower and vocabulary; not a line of their forward is changed.
"""

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from policies.checkpoint.pi0_layout import EMBEDDING, Pi0Kind, dims_of
from policies.pi0.pictures import pixels
from policies.pi0.sampler import load_sampler
from policies.pi0.sampling import NetworkInputs

from ..checkpoint import tiny_pi0
from ..checkpoint.tiny_pi0 import CAMERAS, HORIZON, IMAGE, PROMPT_TOKENS, SIZES

pytestmark = pytest.mark.timeout(900)  # LeRobot is imported: minutes on a busy machine

EXACT = 1e-4


def tiny_gemma(module: Any, variant: str) -> Any:
    expert = variant == "gemma_300m"
    return module.GemmaConfig(
        width=SIZES["E"] if expert else SIZES["D"],
        depth=SIZES["L"],
        mlp_dim=SIZES["G"] if expert else SIZES["F"],
        num_heads=SIZES["N"],
        num_kv_heads=SIZES["K"],
        head_dim=SIZES["H"],
    )


def tiny_vision(config: Any) -> Any:
    config.text_config.vocab_size = SIZES["V"]
    vision = config.vision_config
    vision.hidden_size, vision.intermediate_size = SIZES["W"], SIZES["M"]
    vision.num_hidden_layers, vision.num_attention_heads = SIZES["R"], SIZES["h"]
    vision.patch_size, vision.projection_dim = SIZES["P"], SIZES["D"]
    config.projection_dim = SIZES["D"]
    return config


def tiny_words(config: Any) -> Any:
    config.vocab_size = SIZES["V"]
    return config


def lerobots(kind: Pi0Kind, tensors: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """LeRobot's policy with these weights, everything of it strictly filled."""
    module = import_module(f"lerobot.policies.{kind}.modeling_{kind}")
    configuration = import_module(f"lerobot.policies.{kind}.configuration_{kind}")
    from lerobot.configs.types import FeatureType, PolicyFeature

    seeing = module.PaliGemmaForConditionalGenerationWithPiGemma
    acting = module.PiGemmaForCausalLM
    monkeypatch.setattr(module, "get_gemma_config", lambda name: tiny_gemma(module, name))
    monkeypatch.setattr(
        module,
        "PaliGemmaForConditionalGenerationWithPiGemma",
        lambda config: seeing(tiny_vision(config)),
    )
    monkeypatch.setattr(module, "PiGemmaForCausalLM", lambda config: acting(tiny_words(config)))
    name = "PI0" if kind == "pi0" else "PI05"
    config = getattr(configuration, f"{name}Config")(
        chunk_size=HORIZON,
        n_action_steps=HORIZON,
        image_resolution=(IMAGE, IMAGE),
        tokenizer_max_length=PROMPT_TOKENS,
        device="cpu",
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (32,)),
            **{
                f"observation.images.{camera}": PolicyFeature(FeatureType.VISUAL, (3, 48, 64))
                for camera in CAMERAS
            },
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (32,))},
    )
    policy = getattr(module, f"{name}Policy")(config).eval()
    own = {f"model.{key}": tensor for key, tensor in tensors.items()}
    missing, unknown = policy.load_state_dict(own, strict=False)
    assert not unknown
    assert all(key.endswith("lm_head.weight") for key in missing), missing
    return policy


@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_chunks_are_those_of_lerobots_own_policy(
    kind: Pi0Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    torch.set_num_threads(1)
    tensors = tiny_pi0.torch_tensors(tiny_pi0.arrays(kind))
    theirs = lerobots(kind, tensors, monkeypatch)
    assert EMBEDDING in tensors
    ours = load_sampler(dict(tensors), kind, dims_of(SIZES), device="cpu", dtype=torch.float32)

    rng = np.random.default_rng(2)
    pictures = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in CAMERAS[:2]]
    ids = rng.integers(0, SIZES["V"], PROMPT_TOKENS)
    words = np.arange(PROMPT_TOKENS) < 17
    state = rng.normal(0, 1, 32).astype(np.float32)
    noise = rng.standard_normal((1, HORIZON, 32), np.float32)

    batch = {
        "observation.state": torch.from_numpy(state)[None],
        "observation.language.tokens": torch.from_numpy(ids)[None],
        "observation.language.attention_mask": torch.from_numpy(words)[None],
    }
    for camera, picture in zip(CAMERAS, pictures, strict=False):  # the third is missing: masked
        image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255.0
        batch[f"observation.images.{camera}"] = image
    prepared = ours.prepare(
        NetworkInputs(
            pixels=np.stack([pixels(picture, IMAGE, "lerobot06") for picture in pictures]),
            views=np.ones(2, np.bool_),
            ids=ids,
            words=words,
            state=state,
        )
    )
    for steps in (10, 3):
        wanted = theirs.predict_action_chunk(
            batch, noise=torch.from_numpy(noise), num_steps=steps
        ).numpy()
        found = ours.sample(prepared, noise, steps)
        assert np.abs(found - wanted).max() <= EXACT
    assert np.abs(wanted - noise).max() > 0.1, "a flow that goes nowhere proves nothing"
