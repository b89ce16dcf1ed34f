"""LeRobot's other policies through robotd's loading: SmolVLA, Diffusion and VQ-BeT, tiny, with their own classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import Config
from policies.border import load_calibrations
from policies.checkpoint import zoo
from policies.checkpoint.evidence import Sidecar, write_sidecar
from policies.loaded import load_policy
from policies.model import ModelOptions, load_model
from robotd.errors import CheckpointError
from robotd.installed import install_again
from robotd.policy_channel import Load

from .conftest import FEATURE_NAMES, _stats
from .test_lockstep import World

SPECIAL = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}
VALUES = {
    "observation.state": np.arange(6, dtype=np.float32) * 3,
    "observation.images.overhead": np.full((64, 64, 3), 90, np.uint8),
}


def make_language_model(folder: Path) -> Path:
    """A SmolVLM's configuration, tokenizer and processor, of a size for tests; no weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        SmolVLMConfig,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    words = ["<unk>", "<pad>", "<s>", "</s>", *SPECIAL.values(), "put", "it", "there", "wave", "\n"]
    plain = Tokenizer(
        models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unk>")
    )
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=SPECIAL,
    )
    SmolVLMProcessor(
        SmolVLMImageProcessor(), tokenizer, SmolVLMVideoProcessor(), image_seq_len=4
    ).save_pretrained(folder)
    SmolVLMConfig(
        image_token_id=words.index("<image>"),
        pad_token_id=1,
        scale_factor=2,
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        text_config={
            "model_type": "llama",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "vocab_size": len(words),
            "pad_token_id": 1,
        },
    ).save_pretrained(folder)
    return folder


def features() -> tuple[dict[str, Any], dict[str, Any]]:
    from lerobot.configs.types import FeatureType, PolicyFeature

    inputs = {
        "observation.state": PolicyFeature(FeatureType.STATE, (6,)),
        "observation.images.overhead": PolicyFeature(FeatureType.VISUAL, (3, 64, 64)),
    }
    return inputs, {"action": PolicyFeature(FeatureType.ACTION, (6,))}


def save(policy: Any, folder: Path, inputs: dict[str, Any]) -> Path:
    from lerobot.policies.factory import make_pre_post_processors

    pre, post = make_pre_post_processors(policy.config, dataset_stats=_stats(inputs))
    for part in (policy, pre, post):
        part.save_pretrained(folder)
    write_sidecar(folder, Sidecar(fps=15, units="degrees", joints=FEATURE_NAMES))
    return folder


@pytest.fixture(scope="module")
def smolvla(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SmolVLA of LeRobot's own class with random weights, its language model beside them."""
    import torch
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    torch.manual_seed(3)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("smolvla") / "pretrained_model"
    language = make_language_model(folder / "vlm")
    inputs, outputs = features()
    config = SmolVLAConfig(
        input_features=inputs,
        output_features=outputs,
        chunk_size=10,
        n_action_steps=10,
        resize_imgs_with_padding=(32, 32),
        vlm_model_name=str(language),
        load_vlm_weights=False,
        num_vlm_layers=2,
        num_steps=3,
        expert_width_multiplier=0.5,
        tokenizer_max_length=8,
        device="cpu",
    )
    save(SmolVLAPolicy(config), folder, inputs)
    # As in a folder that is handed on: named by what lies beside the weights, to be downloaded else.
    for name in ("config.json", "policy_preprocessor.json"):
        text = (folder / name).read_text().replace(str(language), "vlm")
        (folder / name).write_text(
            text.replace('"load_vlm_weights": false', '"load_vlm_weights": true')
        )
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_smolvla_loads_without_a_network_predicts_and_moves_the_arm(
    smolvla: Path, config: Config
) -> None:
    model = load_model(smolvla, ModelOptions())
    assert (model.kind, model.chunk, model.n_action_steps) == ("smolvla", 10, 10)
    noise = np.zeros((10, 32), np.float32)
    first = model.predict(VALUES, "put it there", noise=noise)
    assert first.shape == (10, 6) and np.isfinite(first).all()
    np.testing.assert_array_equal(first, model.predict(VALUES, "put it there", noise=noise))
    assert not np.array_equal(
        first, model.predict(VALUES, "wave", noise=noise)
    )  # it reads the task
    assert not np.array_equal(first, model.predict(VALUES, "put it there", noise=noise + 1))

    # The same through LeRobot alone.
    import torch
    from lerobot.policies.utils import prepare_observation_for_inference

    inner: Any = model
    own = prepare_observation_for_inference(
        {key: value.copy() for key, value in VALUES.items()}, torch.device("cpu"), "put it there"
    )
    inner.policy.reset()
    chunk = inner.policy.predict_action_chunk(
        inner.preprocess(own), noise=torch.from_numpy(noise)[None]
    )
    theirs = inner.postprocess(chunk)[0].to(torch.float64).numpy()
    np.testing.assert_allclose(first, theirs, atol=1e-6)

    policy = load_policy(Load(path=str(smolvla), task="wave"), config, load_calibrations(config))
    assert policy.fit.cameras == ("overhead",)
    world = World(policy, config)
    world.runner._frame_at = lambda _name, at_ns: _frame(at_ns)
    world.run(120)
    assert len(world.proposals) >= 2
    for _, proposal in world.proposals:
        assert np.isfinite(proposal.goals_rad).all()


def _frame(at_ns: int) -> Any:
    from robotd.frames import Frame

    return Frame(0, at_ns, 0, 64, 64, bytes(64 * 64 * 3))


def remembering(kind: str, folder: Path) -> Path:
    """A tiny Diffusion or VQ-BeT of LeRobot's own class that sees several observations in a row."""
    import torch

    torch.manual_seed(3)
    inputs, outputs = features()
    if kind == "diffusion":
        from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
        from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy

        policy: Any = DiffusionPolicy(
            DiffusionConfig(
                input_features=inputs,
                output_features=outputs,
                n_obs_steps=3,
                horizon=16,
                n_action_steps=8,
                down_dims=(16, 32),
                num_inference_steps=2,
                spatial_softmax_num_keypoints=4,
                pretrained_backbone_weights=None,
                crop_shape=None,
                device="cpu",
            )
        )
    else:
        from lerobot.policies.vqbet.configuration_vqbet import VQBeTConfig
        from lerobot.policies.vqbet.modeling_vqbet import VQBeTPolicy

        policy = VQBeTPolicy(
            VQBeTConfig(
                input_features=inputs,
                output_features=outputs,
                n_obs_steps=3,
                action_chunk_size=5,
                gpt_n_layer=1,
                gpt_n_head=2,
                gpt_hidden_dim=32,
                gpt_output_dim=32,
                gpt_input_dim=32,
                vqvae_n_embed=4,
                vqvae_embedding_dim=16,
                vqvae_enc_hidden_dim=16,
                spatial_softmax_num_keypoints=4,
                pretrained_backbone_weights=None,
                crop_shape=None,
                device="cpu",
            )
        )
    for name, buffer in policy.named_buffers():
        if name.endswith("cluster_size"):
            buffer.uniform_()  # how often each code was used: all zero before any training
    return save(policy, folder, inputs)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["diffusion", "vqbet"])
def test_policies_that_look_back_say_what_lerobots_own_select_action_says(
    kind: str, tmp_path: Path
) -> None:
    """LeRobot asks them at every step and keeps what they saw; here they are asked once a chunk."""
    import torch
    from lerobot.policies.utils import prepare_observation_for_inference

    folder = remembering(kind, tmp_path / "pretrained_model")
    ours: Any = load_model(folder, ModelOptions())
    assert (ours.chunk, ours.interface.steps_seen) == (8 if kind == "diffusion" else 5, 3)
    theirs: Any = load_model(folder, ModelOptions())
    draw = np.random.default_rng(0)
    steps = 2 * ours.chunk + 1
    states = draw.normal(20.0, 10.0, (steps, 6)).astype(np.float32)
    pictures = draw.integers(0, 256, (steps, 64, 64, 3), np.uint8)
    seen = [dict(zip(VALUES, each, strict=True)) for each in zip(states, pictures, strict=True)]
    said = []
    for step, values in enumerate(seen):
        own = prepare_observation_for_inference(
            {key: value.copy() for key, value in values.items()}, torch.device("cpu"), ""
        )
        if step % ours.chunk == 0:
            torch.manual_seed(step)  # their queue of actions is empty: now they draw noise
        with torch.no_grad():
            action = theirs.policy.select_action(theirs.preprocess(own))
        said.append(theirs.postprocess(action)[0].numpy())
    for step in (0, ours.chunk):
        torch.manual_seed(step)
        past = [seen[max(0, at)] for at in range(step - 2, step + 1)]
        chunk = ours.predict({key: np.stack([each[key] for each in past]) for key in VALUES}, "")
        np.testing.assert_allclose(chunk, said[step : step + ours.chunk], atol=1e-5)
    torch.manual_seed(ours.chunk)
    still = ours.predict(seen[ours.chunk], "")  # one alone: as if nothing had moved
    assert still.shape == chunk.shape and np.abs(still - chunk).max() > 1e-3


class GatedRepoError(Exception):
    """As the hub's client names it."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            GatedRepoError("403. Cannot access https://huggingface.co/google/paligemma-3b/resolve"),
            "agreed to",
        ),
        (
            OSError(
                "We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find "
                "them in the cached files. HuggingFaceTB/SmolVLM2 is not a local folder"
            ),
            "not on this machine",
        ),
    ],
)
def test_what_needs_a_network_or_a_licence_says_which_page(error: Exception, said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as refused, zoo.fetching(Path("P"), "smolvla"):
        raise error
    wanted = "google/paligemma-3b" if "agreed" in said else "HuggingFaceTB/SmolVLM2"
    assert wanted in refused.value.what and wanted in refused.value.do


def test_a_missing_package_is_named() -> None:
    with (
        pytest.raises(CheckpointError, match="not installed: 'diffusers' is required") as refused,
        zoo.fetching(Path("P"), "diffusion"),
    ):
        raise ImportError("'diffusers' is required but not installed.")
    assert install_again("zoo") in refused.value.do


def test_another_error_is_not_taken_for_a_missing_network() -> None:
    with pytest.raises(KeyError), zoo.fetching(Path("P"), "act"):
        raise KeyError("normalizer")
