"""What a policy is told by without loading it is what it says of itself; and the same episode is the same noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from config.schema import Config
from policies.identity import policy_sha256
from policies.model import ModelOptions, load_model
from policies.remote import connect_model
from policies.wrapped import WrappedModel
from robotd.errors import CheckpointError, PolicyServerError

from .checkpoint import tiny_pi0
from .conftest import make_act
from .pi0.tiny_tokenizer import train_tokenizer
from .server.conftest import ServedElsewhere

pytestmark = pytest.mark.timeout(400)  # imports torch on a busy machine


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(train_tokenizer(tmp_path_factory.mktemp("words")))


def test_a_lerobot_policy_is_known_by_every_file_and_draws_by_its_seed(
    tmp_path: Path,
) -> None:
    from policies.checkpoint.digests import FileDigests

    folder = make_act(tmp_path / "act")
    loaded = load_model(folder, ModelOptions(device="cpu", fps=30, units="degrees"))
    drawn = []
    for seed in (5, 4, 5):
        loaded.reseed(seed)
        loaded.reset()
        drawn.append(
            torch.randn(4).tolist()
        )  # where LeRobot's flow and diffusion policies draw from
    assert drawn[0] == drawn[2] != drawn[1]
    seen = [policy_sha256(str(folder))]
    assert seen == [loaded.sha256(FileDigests())]
    for name in ("policy_postprocessor.json", "config.json"):
        (folder / name).write_text((folder / name).read_text() + " ")
        seen.append(policy_sha256(str(folder)))
    assert len(set(seen)) == 3
    with pytest.raises(CheckpointError):
        policy_sha256(str(tmp_path / "nothing"))


@pytest.mark.parametrize("kind", ["openpi-torch", "orbax-released"])
def test_of_a_pi0_it_is_the_loaded_models_with_its_tokenizer(
    tmp_path: Path, kind: str, tokenizer: str
) -> None:
    from policies.checkpoint.digests import FileDigests

    folder = tiny_pi0.CONTAINERS[kind](tmp_path / "tiny", tiny_pi0.arrays())
    options = ModelOptions(device="cpu", tokenizer=tokenizer, embodiment="so101", fps=30)
    loaded = load_model(folder, options).sha256(FileDigests())
    assert policy_sha256(str(folder), tokenizer) == loaded
    weights = max(folder.rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else -1)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert policy_sha256(str(folder), tokenizer) != loaded


def _seen(model: Any, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        key: rng.integers(0, 256, (28, 28, 3), np.uint8)
        for key, feature in model.interface.inputs.items()
        if feature.type == "VISUAL"
    }
    return values | {"state": rng.normal(0, 0.5, 32).astype(np.float32)}


def test_an_episode_of_a_seed_is_the_same_noise_whatever_was_played_before_here_and_on_a_server(
    tmp_path: Path, config: Config, tokenizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policies.server.client.CONNECT_S", 60.0)
    folder = tiny_pi0.write_openpi_torch(tmp_path / "tiny", tiny_pi0.arrays())
    options = ModelOptions(device="cpu", tokenizer=tokenizer, embodiment="so101", fps=30)
    near = WrappedModel(load_model(folder, options))
    server = ServedElsewhere(near.inner)
    try:
        far = connect_model(server.start(), ModelOptions())
        for model in (near.inner, far):

            def episode(seed: int, model: Any = model) -> list[Any]:
                (near if model is near.inner else model).reseed(seed)
                model.reset()
                values = _seen(near.inner)
                return [np.array(model.predict(values, "put it there")) for _ in range(2)]

            first, other, again = episode(5), episode(4), episode(5)
            np.testing.assert_array_equal(first, again)
            assert np.abs(np.array(first) - other).max() > 1e-3
            assert np.abs(first[0] - first[1]).max() > 1e-3
        assert policy_sha256(server.url) == policy_sha256(str(folder), tokenizer)
        far.close()
    finally:
        server.stop()
    with pytest.raises(PolicyServerError):
        policy_sha256(server.url)
