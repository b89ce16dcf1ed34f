"""What is no checkpoint is answered with what it is."""

import json
from pathlib import Path

import pytest

from policies.checkpoint.container import open_container
from robotd.errors import CheckpointError


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
