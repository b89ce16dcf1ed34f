"""One model in six containers is one model; conversions and mends lose nothing of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lerobot.configs import PreTrainedConfig
from lerobot.policies.pi0 import modeling_pi0
from lerobot.policies.pi05 import modeling_pi05

from policies.checkpoint.container import open_container
from policies.checkpoint.convert import convert
from policies.checkpoint.evidence import amend_sidecar, read_sidecar, write_sidecar
from policies.checkpoint.lora import merged
from policies.checkpoint.mend import mend
from policies.checkpoint.orbax import read_params
from policies.checkpoint.verify import verify
from policies.pi0.settings import read_settings
from robotd.errors import CheckpointError

from ..conftest import EPISODES, ROWS, make_act, recorded_row
from ..pi0.test_lerobot_parity import tiny_gemma, tiny_vision, tiny_words
from . import damage, tiny_pi0
from .tiny_pi0 import CONTAINERS

MODELING = {"pi0": modeling_pi0, "pi05": modeling_pi05}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("containers")
    return {name: write(root / name, tiny_pi0.arrays()) for name, write in CONTAINERS.items()}


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Bit for bit, whatever the number type that holds the bits."""
    assert sorted(found) == sorted(wanted)
    for name, tensor in wanted.items():
        assert found[name].double().equal(tensor.double()), name


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_model(name: str, written: dict[str, Path]) -> None:
    container = open_container(written[name])
    same(container.pi0_tensors(), tiny_pi0.torch_tensors(tiny_pi0.arrays()))
    assert container.dims.vision_heads == tiny_pi0.VISION_HEADS
    assert (container.dims.heads, container.dims.head_dim) == (8, 16)
    assert (container.dims.image_size, container.horizon[0]) == (28, tiny_pi0.HORIZON)
    for key, entry in tiny_pi0.stats().items():
        np.testing.assert_allclose(container.stats[key]["std"], entry["std"], rtol=1e-6)


@pytest.mark.parametrize("driver", ["zarr", "zarr3"])
@pytest.mark.parametrize("ocdbt", [True, False])
def test_orbax_is_read_in_every_form_it_is_written(
    driver: Any, ocdbt: bool, tmp_path: Path
) -> None:
    arrays = tiny_pi0.arrays("pi05")
    folder = tiny_pi0.write_orbax(tmp_path / "1", arrays, driver=driver, ocdbt=ocdbt)
    aside = tmp_path / "2" / ".." / "1"  # TensorStore itself takes no path like this
    (tmp_path / "2").mkdir()
    for asked in (folder, folder / "params", aside):
        found = read_params(asked)
        assert sorted(found) == sorted(arrays)
        assert all(np.array_equal(found[name], value) for name, value in arrays.items())
    (tmp_path / "2").rmdir()
    assert open_container(tmp_path).path == folder, "a run stands for its last step"


def test_adapters_are_merged_as_openpi_adds_them() -> None:
    """Against openpi's einsums (lora.py) written out, on random activations."""
    rng = np.random.default_rng(3)
    alpha, rank = 8.0, 4
    x = rng.standard_normal((5, 8, 16))
    w, a = rng.standard_normal((8, 16, 64)), rng.standard_normal((8, 16, rank))
    b = rng.standard_normal((8, rank, 64))
    name = "PaliGemma/llm/layers/attn/attn_vec_einsum/w"
    low = np.einsum("tnh,nhl->tl", x, a)
    wanted = np.einsum("tnh,nhd->td", x, w) + alpha / rank * np.einsum("tl,nld->td", low, b)
    halves = {name: ("a", "b")}
    held = {"a": a[None], "b": b[None]}
    whole = merged(name, w[None], halves, held.__getitem__, alpha)[0]
    np.testing.assert_allclose(np.einsum("tnh,nhd->td", x, whole), wanted, rtol=1e-4, atol=1e-4)
    name = "PaliGemma/llm/layers/mlp/linear"
    held = {"a": a[None, 0], "b": b[None, 0]}
    whole = merged(name, w[None, 0], {name: ("a", "b")}, held.__getitem__, alpha)[0]
    np.testing.assert_allclose(whole, w[0] + a[0] @ b[0], rtol=1e-4, atol=1e-4)  # not scaled


def test_an_unknown_alpha_is_asked_for_and_openpis_own_is_known(tmp_path: Path) -> None:
    arrays = tiny_pi0.arrays()
    name = "PaliGemma/llm/layers/attn/q_einsum"
    layers, heads, width, size = arrays[f"{name}/w"].shape
    for rank, known in ((3, False), (16, True)):
        adapter = {
            f"{name}/lora_a": np.full((layers, heads, width, rank), 0.125, np.float32),
            f"{name}/lora_b": np.full((layers, heads, rank, size), 0.5, np.float32),
        }
        folder = tiny_pi0.write_orbax(tmp_path / str(rank), {**arrays, **adapter})
        asked = [f for f in verify(folder).findings if f.code == "lora_alpha"]
        assert bool(asked) is not known
        if not known:
            with pytest.raises(CheckpointError, match="alpha") as caught:
                open_container(folder).pi0_tensors()
            assert "--lora-alpha" in caught.value.do
        found = open_container(folder, lora_alpha=rank * 2.0).pi0_tensors()
        stored = tiny_pi0.torch_tensors(arrays)
        q_proj = "paligemma_with_expert.gemma_expert.model.layers.0.self_attn.q_proj.weight"
        assert found[q_proj].equal(stored[q_proj])  # has no adapter
        q_proj = q_proj.replace("gemma_expert.model", "paligemma.model.language_model")
        added = (found[q_proj] - stored[q_proj]).numpy()
        np.testing.assert_allclose(added, 2 * rank * 0.125 * 0.5, atol=1e-6)


# --- conversions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTAINERS)
def test_there_and_back_is_bit_for_bit(name: str, written: dict[str, Path], tmp_path: Path) -> None:
    first = convert(written[name], "lerobot", tmp_path / "a")
    second = convert(first.path, "openpi", tmp_path / "b")
    assert (first.framework, first.generation, second.framework) == (
        "lerobot",
        "g3",
        "openpi-torch",
    )
    wanted, before = tiny_pi0.torch_tensors(tiny_pi0.arrays()), open_container(written[name])
    for made in (first, second):
        assert verify(made.path).exit_code == 0
        same(made.pi0_tensors(), wanted)
        assert (made.horizon[0], made.dims) == (before.horizon[0], before.dims)
        assert (made.norm.eps, made.norm.formula) == (before.norm.eps, before.norm.formula)
        now, then = read_settings(made), read_settings(before)
        assert (now.pad, now.prompt.length) == (then.pad, then.prompt.length)
        for key, entry in before.stats.items():
            for stat, value in entry.items():
                np.testing.assert_allclose(made.stats[key][stat], value, rtol=1e-6, err_msg=stat)


@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_lerobots_own_policy_loads_what_was_converted(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through its own `from_pretrained`, which prints and goes on where anything is amiss."""
    source = tiny_pi0.write_orbax(tmp_path / "jax", tiny_pi0.arrays(kind), training=True)
    made = convert(source, "lerobot", tmp_path / "lerobot")
    module = MODELING[kind]
    seeing = module.PaliGemmaForConditionalGenerationWithPiGemma
    acting = module.PiGemmaForCausalLM
    monkeypatch.setattr(module, "get_gemma_config", lambda name: tiny_gemma(module, name))
    monkeypatch.setattr(
        module,
        "PaliGemmaForConditionalGenerationWithPiGemma",
        lambda config: seeing(tiny_vision(config)),
    )
    monkeypatch.setattr(module, "PiGemmaForCausalLM", lambda config: acting(tiny_words(config)))
    config = PreTrainedConfig.from_pretrained(str(made.path))
    policy = getattr(module, f"{kind.upper()}Policy").from_pretrained(
        str(made.path), config=config, strict=True
    )
    held = policy.state_dict()
    for name, tensor in made.pi0_tensors().items():
        assert held[f"model.{name}"].equal(tensor), name
    _check_pipelines(made.path)


def _check_pipelines(folder: Path) -> None:
    """LeRobot's own loader makes both pipelines; only the gated tokenizer is handed to it."""
    import torch
    from lerobot.policies.factory import _reconnect_relative_absolute_steps
    from lerobot.processor import PolicyProcessorPipeline
    from lerobot.processor.converters import (
        policy_action_to_transition,
        transition_to_policy_action,
    )

    class Words:
        """Stands for PaliGemma's tokenizer: LeRobot asks only that it can be called."""

        def __call__(self, texts: list[str], max_length: int, **_: Any) -> dict[str, Any]:
            ids = torch.ones(len(texts), max_length, dtype=torch.long)
            return {"input_ids": ids, "attention_mask": ids}

    before = PolicyProcessorPipeline.from_pretrained(
        folder,
        config_filename="policy_preprocessor.json",
        overrides={"tokenizer_processor": {"tokenizer": Words()}},
    )
    state = np.linspace(-1, 1, 32).astype(np.float32)
    ready = before({"observation.state": torch.from_numpy(state), "task": "put it down"})
    stats = tiny_pi0.stats()["observation.state"]
    if json.loads((folder / "config.json").read_text())["type"] == "pi0":
        wanted = (state - stats["mean"]) / (stats["std"] + 1e-6)
    else:
        wanted = 2 * (state - stats["q01"]) / (stats["q99"] - stats["q01"]) - 1
    np.testing.assert_allclose(ready["observation.state"][0].numpy(), wanted, atol=1e-4)
    after = PolicyProcessorPipeline.from_pretrained(
        folder,
        config_filename="policy_postprocessor.json",
        to_transition=policy_action_to_transition,
        to_output=transition_to_policy_action,
    )
    _reconnect_relative_absolute_steps(before, after)  # what LeRobot's own loader does
    said = after(torch.zeros(1, 32)).numpy()[0]
    actions = tiny_pi0.stats()["action"]
    middle = actions["mean"]  # of the quantiles, too
    relative = np.where(np.arange(32) < 5, state, 0.0)  # the embodiment's: its statistics name it
    np.testing.assert_allclose(said, middle + relative, atol=1e-4)


def test_a_policy_of_lerobot_0_3_becomes_one_of_0_6(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from policies.checkpoint.loading import load_checkpoint

    new = make_act(tmp_path / "new")
    old = shutil.copytree(new, tmp_path / "old")
    held = load_file(old / "model.safetensors")
    for file in sorted(old.glob("policy_*processor_step_*.safetensors")):
        part = "unnormalize_outputs" if "post" in file.name else "normalize_inputs"
        for key, value in load_file(file).items():
            feature, _, stat = key.rpartition(".")
            if ("unnormalize" in part) == (feature == "action"):
                held[f"{part}.buffer_{feature.replace('.', '_')}.{stat}"] = value
        file.unlink()
    for file in old.glob("policy_*processor.json"):
        file.unlink()
    save_file(held, old / "model.safetensors")
    damage.configured(an_old_switch=True)(old)
    assert (open_container(old).generation, verify(new).exit_code) == ("g1", 0)
    made = convert(old, "lerobot", tmp_path / "made")
    assert (made.generation, verify(made.path).exit_code) == ("g3", 0)
    state = np.linspace(-9, 9, 6).astype(np.float32)
    values = {"observation.state": state, "observation.environment_state": np.ones(7, np.float32)}
    chunks = [
        load_checkpoint(path, fps=15, units="degrees", device="cpu").predict(values, "")
        for path in (new, made.path)
    ]
    np.testing.assert_array_equal(*chunks)


def test_a_conversion_never_overwrites_and_leaves_nothing_half(
    written: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="exists already"):
        convert(written["openpi-torch"], "lerobot", written["lerobot-g1"])
    broken = shutil.copytree(written["openpi-torch"], tmp_path / "broken")
    damage.put("action_in_proj.weight", np.nan)(broken)
    with pytest.raises(CheckpointError, match="not finite"):
        convert(broken, "lerobot", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_cameras_that_the_training_renamed_stay_renamed(
    written: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(written["lerobot-g2"], tmp_path / "renamed")
    path = folder / "policy_preprocessor.json"
    content = json.loads(path.read_text())
    front, base = "observation.images.front", "observation.images.base_0_rgb"
    content["steps"][0]["config"]["rename_map"] = {front: base}
    path.write_text(json.dumps(content))
    made = convert(folder, "lerobot", tmp_path / "made")
    assert read_settings(made).interface.renamed == {base: front}


# --- statistics -----------------------------------------------------------------------------------


def lost(name: str, folder: Path) -> None:
    """What a conversion that loses the statistics leaves in each container."""
    if name == "lerobot-g1":
        for part in (
            "normalize_inputs.buffer_observation_state",
            "unnormalize_outputs.buffer_action",
        ):
            for stat in ("mean", "std"):
                damage.put(f"{part}.{stat}", np.inf, everywhere=True)(folder)
    elif name.startswith("lerobot"):
        for path in folder.glob("policy_*_step_*.safetensors"):
            path.unlink()
        for path in folder.glob("policy_*processor.json"):
            content = json.loads(path.read_text())
            content["steps"][-1].pop("state_file")
            path.write_text(json.dumps(content))
    else:
        shutil.rmtree(folder / "assets")


@pytest.mark.parametrize("name", CONTAINERS)
def test_lost_statistics_are_put_back_into_a_copy(
    name: str, written: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(written[name], tmp_path / "lost")
    lost(name, folder)
    assert verify(folder).exit_code == 2
    source = written["openpi-torch"] / "assets/so101/norm_stats.json"
    mended = mend(folder, str(source), tmp_path / "mended")
    assert verify(mended.path).exit_code == 0 and verify(folder).exit_code == 2
    same(mended.pi0_tensors(), tiny_pi0.torch_tensors(tiny_pi0.arrays()))
    for key, entry in tiny_pi0.stats().items():
        np.testing.assert_allclose(mended.stats[key]["mean"], entry["mean"], rtol=1e-6)


def test_statistics_come_from_a_dataset_with_its_rate(
    saved_dataset: Path, saved_act: Path, tmp_path: Path
) -> None:
    act = shutil.copytree(saved_act, tmp_path / "act")
    damage.state_file(lambda held: held["action.mean"].fill(np.inf))(act)
    (act / "robotd_ckpt.json").unlink()
    config = json.loads((act / "config.json").read_text())
    del config["input_features"]["observation.environment_state"]
    (act / "config.json").write_text(json.dumps(config))
    for path in act.glob("policy_*processor.json"):
        content = json.loads(path.read_text())
        for step in content["steps"]:
            step.get("config", {}).get("features", {}).pop("observation.environment_state", None)
        path.write_text(json.dumps(content))
    mended = mend(act, str(saved_dataset), tmp_path / "mended")
    assert mended.stats["action"]["mean"][4] == pytest.approx(101, abs=0.1)  # wrist_roll
    said = read_sidecar(mended.path)
    assert (said.fps, said.training and said.training.dataset) == (15, "blocks")


def test_quantiles_a_dataset_does_not_keep_come_from_its_rows(
    saved_dataset: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(saved_dataset, tmp_path / "blocks")
    path = root / "meta/stats.json"
    stats = json.loads(path.read_text())
    for key in ("action", "observation.state"):
        del stats[key]["q01"]
    path.write_text(json.dumps(stats))
    folder = tiny_pi0.write_openpi_torch(tmp_path / "pi05", tiny_pi0.arrays("pi05"))
    shutil.rmtree(folder / "assets")
    with pytest.raises(CheckpointError, match="Nothing says whether the actions"):
        mend(folder, str(root), tmp_path / "mended")  # a dataset's are of absolute ones
    amend_sidecar(folder, delta_mask=[False] * 6)
    mended = mend(folder, str(root), tmp_path / "mended")
    rows = [recorded_row(episode, row) for episode in range(EPISODES) for row in range(ROWS)]
    np.testing.assert_allclose(mended.stats["action"]["q01"], np.quantile(rows, 0.01, axis=0))
    assert verify(mended.path).exit_code == 0


def test_another_robots_statistics_and_relative_actions_are_refused(
    written: dict[str, Path], saved_dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="dataset of another robot"):
        mend(written["lerobot-g3"], str(saved_dataset), tmp_path / "mended")
    relative = shutil.copytree(written["openpi-torch"], tmp_path / "relative")
    write_sidecar(relative, tiny_pi0.Sidecar(fps=30, delta_mask=(True,) * 5 + (False,)))
    with pytest.raises(CheckpointError, match="relative to the state"):
        mend(relative, str(saved_dataset), tmp_path / "mended")
    with pytest.raises(CheckpointError, match="relative to the state"):
        mend(written["openpi-torch"], str(saved_dataset), tmp_path / "mended", embodiment="so101")
    lerobots = shutil.copytree(written["lerobot-g3"], tmp_path / "lerobots")
    damage.configured(use_relative_actions=True)(lerobots)
    with pytest.raises(CheckpointError, match="relative to the state"):
        mend(lerobots, str(saved_dataset), tmp_path / "mended")
    assert not (tmp_path / "mended").exists()
