"""What openpi's files never say of a Pi0, chunk length and prompt: its row's, or asked for."""

import json
from pathlib import Path

import numpy as np
import pytest

from policies.checkpoint.container import open_container
from policies.checkpoint.convert import convert
from policies.checkpoint.describe import describe, lines
from policies.checkpoint.evidence import read_sidecar
from policies.checkpoint.pi0_layout import Pi0Kind
from policies.checkpoint.verify import Finding, verify
from policies.embodiment_choice import choose_embodiment
from policies.model import ModelOptions, load_model
from policies.pi0.policy import Pi0Policy
from policies.pi0.settings import read_settings
from robotd.errors import CheckpointError

from ..checkpoint import tiny_pi0

pytestmark = pytest.mark.timeout(900)  # torch is imported on a busy machine


def released(folder: Path, kind: Pi0Kind, asset: str) -> Path:
    """What openpi publishes: weights and statistics, and no word of robotd's beside them."""
    made = tiny_pi0.write_orbax(folder / "it", tiny_pi0.arrays(kind))
    (made / "robotd_ckpt.json").write_text('{"prompt_tokens": 40}')
    place = made / "assets" / asset
    place.parent.mkdir(parents=True, exist_ok=True)
    (made / "assets/so101").rename(place)
    return made


def findings(folder: Path) -> dict[str, Finding]:
    return {finding.code: finding for finding in verify(folder).findings}


def test_a_recognised_pi05_has_its_own_chunk_and_prompt(
    tmp_path: Path, tokenizer_file: Path
) -> None:
    """pi05_libero: action_horizon 10, discrete_state_input False."""
    folder = released(tmp_path, "pi05", "physical-intelligence/libero")
    told: list[str] = []
    options = ModelOptions(device="cpu", tokenizer=str(tokenizer_file), told=told.append)
    policy = load_model(folder, options)
    assert isinstance(policy, Pi0Policy)
    assert policy.chunk == 10 and "chunks of 10 (embodiment libero)" in told
    values = {"base_0_rgb": np.zeros((28, 28, 3), np.uint8), "state": np.zeros(32, np.float32)}
    ids = policy.inputs(values, "open the drawer").ids
    words = [policy.tokenizer.bos, *policy.tokenizer.encode("open the drawer")]
    words += policy.tokenizer.encode("\n")
    np.testing.assert_array_equal(ids[: len(words) + 1], [*words, 0])  # no "State: …"
    assert not {"horizon", "unsaid"} & set(findings(folder))
    shown = "\n".join(lines(describe(folder)))
    assert "10 (embodiment libero)" in shown and "none (embodiment libero)" in shown


@pytest.mark.parametrize(("kind", "horizon"), [("pi0", 10), ("pi05", 15)])
def test_a_rows_horizon_is_of_the_kind(kind: Pi0Kind, horizon: int, tmp_path: Path) -> None:
    folder = released(tmp_path, kind, "droid")
    settings = read_settings(open_container(folder), choose_embodiment("", folder, kind))
    assert settings.horizon == horizon
    (folder / "robotd_ckpt.json").write_text('{"horizon": 7}')
    said = read_settings(open_container(folder), choose_embodiment("", folder, kind))
    assert (said.horizon, said.horizon_source) == (7, "robotd_ckpt.json")


def test_a_horizon_that_nobody_says_is_asked_for(tmp_path: Path, tokenizer_file: Path) -> None:
    folder = released(tmp_path, "pi05", "me/blocks")
    options = ModelOptions(
        device="cpu", tokenizer=str(tokenizer_file), embodiment="so101", fps=30.0
    )
    with pytest.raises(CheckpointError, match="how many actions a chunk") as caught:
        load_model(folder, options)
    assert findings(folder)["horizon"].what == caught.value.what
    with pytest.raises(CheckpointError, match="how many actions a chunk"):
        convert(folder, "lerobot", tmp_path / "out", embodiment="so101")
    (folder / "robotd_ckpt.json").write_text('{"horizon": 50, "prompt_tokens": 200}')
    assert load_model(folder, options).chunk == 50


def test_a_prompt_that_nobody_describes_is_a_doubt_until_it_is(tmp_path: Path) -> None:
    folder = released(tmp_path, "pi05", "me/blocks")
    sidecar = folder / "robotd_ckpt.json"
    sidecar.write_text('{"horizon": 50}')
    doubt = findings(folder)["unsaid"]
    assert "whether the prompt" in doubt.what and "state_text" in doubt.do
    assert read_settings(open_container(folder)).doubts  # and said when it is loaded
    assert "nothing says it" in "\n".join(lines(describe(folder)))
    again = convert(folder, "openpi", tmp_path / "again").path
    assert read_sidecar(again).state_text == ""  # a conversion does not make it a fact
    sidecar.write_text(json.dumps({"horizon": 50, "state_text": "none"}))
    assert "unsaid" not in findings(folder)
    assert read_settings(open_container(folder)).prompt.state == "none"
