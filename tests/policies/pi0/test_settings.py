"""How a Pi0 is to be played, from what its folder says, and what is refused because it says another."""

import json
from pathlib import Path
from typing import Any

import pytest

from policies.checkpoint.container import open_container
from policies.checkpoint.evidence import amend_sidecar
from policies.checkpoint.verify import Finding, verify
from policies.pi0.settings import read_settings

from ..checkpoint import tiny_pi0


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A Pi0.5 as LeRobot 0.4 and 0.5.0 leave it, but for train_config.json."""
    return tiny_pi0.write_lerobot(tmp_path / "it", tiny_pi0.arrays("pi05"), "g2")


def unsaid(folder: Path) -> list[Finding]:
    return [finding for finding in verify(folder).findings if finding.code == "unsaid"]


@pytest.mark.parametrize(
    ("training", "pad", "state"),
    [
        ({"seed": 1000, "cudnn_deterministic": False}, "lerobot06", "plain"),
        ({"seed": 1000}, "lerobot04", "padded"),
    ],
)
def test_lerobot_0_5_0_is_told_from_0_4_by_its_train_config(
    old: Path, training: dict[str, Any], pad: str, state: str
) -> None:
    (old / "train_config.json").write_text(json.dumps(training))
    settings = read_settings(open_container(old))
    assert (settings.pad, settings.prompt.state, settings.doubts) == (pad, state, ())
    assert not unsaid(old)


def test_a_release_that_nothing_tells_is_said_with_both_ways_to_say_it(old: Path) -> None:
    settings = read_settings(open_container(old))
    assert (settings.pad, settings.prompt.state) == ("lerobot04", "padded")
    (said,) = unsaid(old)
    assert said.severity == "warning" and "0.4 or 0.5.0" in said.what
    assert '0.5.0 {"image_pad": "lerobot06", "state_text": "plain"}' in said.do
    assert settings.doubts == (f"{said.what} {said.do}",)
    amend_sidecar(old, image_pad="lerobot06")
    (said,) = unsaid(old)
    assert '0.5.0 {"state_text": "plain"}' in said.do
    amend_sidecar(old, state_text="plain")
    assert not unsaid(old)
