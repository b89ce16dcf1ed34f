"""What `ckpt inspect` says, and where it says it is known from."""

import json
import shutil
from pathlib import Path

import pytest

from policies.checkpoint.describe import describe, lines
from policies.checkpoint.evidence import CameraSetup, Sidecar, TrainedOn, amend_sidecar

from . import tiny_pi0
from .tiny_pi0 import CONTAINERS, SIZES

PADS = {"lerobot-g1": "lerobot03", "lerobot-g2": "lerobot04", "lerobot-g3": "lerobot06"}
FRAMEWORKS = {"openpi": "openpi-torch", "orbax": "openpi-jax", "lerobot": "lerobot"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_says_what_it_is(name: str, tmp_path: Path) -> None:
    said = describe(CONTAINERS[name](tmp_path / "pi05_named", tiny_pi0.arrays()))
    framework, generation = name.split("-", 1)
    assert (said.kind, said.framework) == ("pi0", FRAMEWORKS[framework])
    assert said.generation == ("" if framework == "openpi" else generation)
    assert said.image_pad.value == PADS.get(name, "openpi")
    assert (said.fps.value, said.fps.source) == (30, "robotd_ckpt.json")
    assert said.chunk.value == tiny_pi0.HORIZON
    assert said.normalisation.eps == (1e-8 if framework == "lerobot" else 1e-6)
    assert said.stats.problems == () and set(said.stats.features) == {"action", "observation.state"}
    assert len(said.cameras) == 3 and said.cameras[0].shape == (3, 28, 28)
    assert (said.dims["width"], said.dims["vision_heads"]) == (64, 2)
    spare = SIZES["V"] * SIZES["E"]
    assert said.memory.bf16_with_unused_bytes - said.memory.bf16_bytes == 2 * spare
    assert said.memory.f32_bytes == 4 * said.memory.parameters
    assert said.memory.parameters == sum(t.numel() for t in _tensors())
    text = "\n".join(lines(said))
    assert "pi0 (from its tensors' names)" in text and "10 (" in text and "30.0 fps" in text


def _tensors() -> list:  # type: ignore[type-arg]
    return list(tiny_pi0.torch_tensors(tiny_pi0.arrays()).values())


def test_what_the_training_left_beside_it_is_shown(tmp_path: Path) -> None:
    folder = tiny_pi0.write_openpi_torch(tmp_path / "it", tiny_pi0.arrays())
    setup = {"fov_deg": 58, "width": 640, "height": 480}
    amend_sidecar(folder, cameras={"base_0_rgb": setup}, training={"dataset": "me/blocks"})
    (folder / "training_metadata.json").write_text(json.dumps({"scene": "table", "fov": 58}))
    said = describe(folder)
    assert said.cameras[0].trained_with == CameraSetup(fov_deg=58, width=640, height=480)
    assert said.training == TrainedOn(dataset="me/blocks")
    text = "\n".join(lines(said))
    assert "58° of 640×480" in text and "note: scene  table" in text and "me/blocks" in text


def test_what_nobody_says_is_unknown_with_the_way_to_say_it(tmp_path: Path) -> None:
    folder = tiny_pi0.write_orbax(tmp_path / "it", tiny_pi0.arrays())
    (folder / "robotd_ckpt.json").unlink()
    said = describe(folder)
    assert (said.fps.value, said.chunk.value, said.units.value) == (None, None, "")
    text = "\n".join(lines(said))
    assert "say --fps" in text and "say --units" in text and '"horizon"' in text


def test_a_sidecar_keeps_what_others_wrote_into_it(saved_act: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved_act, tmp_path / "it")
    path = folder / "robotd_ckpt.json"
    path.write_text(json.dumps({"fps": 15, "units": "degrees", "measured": {"successes": 50}}))
    amend_sidecar(folder, horizon=50)
    assert json.loads(path.read_text())["measured"] == {"successes": 50}
    with pytest.raises(Exception, match="fps"):
        amend_sidecar(folder, fps="fast")
    assert json.loads(path.read_text())["fps"] == 15
    assert Sidecar().image_pad == ""
