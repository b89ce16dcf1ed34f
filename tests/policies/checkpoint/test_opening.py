"""What cannot be used is answered with what it is, and with what can."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from policies.checkpoint.container import open_container
from policies.checkpoint.convert import convert
from policies.checkpoint.stats_check import require_statistics
from robotd.errors import CheckpointError

from . import tiny_pi0


@pytest.mark.parametrize("inside", ["", "checkpoints/last/pretrained_model"])
def test_lora_of_peft_is_named_with_the_way_to_merge_it(inside: str, tmp_path: Path) -> None:
    folder = tmp_path / inside
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"type": "pi0", "use_peft": True}))
    base = {"peft_type": "LORA", "base_model_name_or_path": "lerobot/pi0_base"}
    (folder / "adapter_config.json").write_text(json.dumps(base))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"LoRA of PEFT .* lerobot/pi0_base") as caught:
        open_container(tmp_path)
    assert "merge_and_unload" in caught.value.do and str(folder) in caught.value.do


def test_a_mistyped_asset_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    folder = tiny_pi0.write_openpi_torch(tmp_path / "it", tiny_pi0.arrays())
    with pytest.raises(CheckpointError, match=r"no statistics called so100; there are: so101"):
        require_statistics(open_container(folder, asset_id="so100"))
    tiny_pi0.write_assets(folder, "droid")
    with pytest.raises(CheckpointError, match=r"called so100; there are: droid, so101"):
        require_statistics(open_container(folder, asset_id="so100"))
    require_statistics(open_container(folder, asset_id="so101"))


@pytest.mark.parametrize(
    ("modes", "says"),
    [
        ({"STATE": "MIN_MAX", "ACTION": "MIN_MAX"}, "states by MIN_MAX and actions by MIN_MAX"),
        ({"STATE": "QUANTILES"}, "states by QUANTILES and actions by MEAN_STD"),
    ],
)
def test_a_pi0_of_another_normalisation_is_not_converted_into_one_of_openpis(
    modes: dict[str, str], says: str, tmp_path: Path
) -> None:
    folder = tiny_pi0.write_lerobot(tmp_path / "it", tiny_pi0.arrays(), "g3")
    for path in folder.glob("policy_*processor.json"):
        content = json.loads(path.read_text())
        step = content["steps"][-1]
        step["config"]["norm_map"] |= modes
        path.write_text(json.dumps(content))
        held = {
            name: array.copy() for name, array in load_file(folder / step["state_file"]).items()
        }
        for key in ("observation.state", "action"):
            held |= {f"{key}.min": -np.ones(32, "f4"), f"{key}.max": np.ones(32, "f4")}
        save_file(held, folder / step["state_file"])
    with pytest.raises(CheckpointError, match=says):
        convert(folder, "openpi", tmp_path / "out")
    assert not (tmp_path / "out").exists()
