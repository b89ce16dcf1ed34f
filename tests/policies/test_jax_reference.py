"""The JAX reference beside the original model's recorded vectors, and robotd's torch beside it."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.checkpoint.container import open_container
from policies.checkpoint.orbax import read_params
from policies.jax_reference import against
from policies.jax_reference.from_container import as_numpy, load_jax_sampler, read_tree
from policies.jax_reference.names import jax_tree
from policies.jax_reference.options import add_options
from policies.jax_reference.parity import compare, first_beyond
from policies.jax_reference.parity_inputs import recorded
from policies.jax_reference.sampler import JaxSampler
from policies.jax_reference.starting import silent_cpu, start_jax
from policies.jax_reference.weights import arrange
from robotd.errors import CheckpointError
from robotd.installed import install_again
from robotd.jax_pair import EXTRAS, RANGES, pair_problem

from .checkpoint import tiny_pi0

GOLDEN = Path(__file__).parents[1] / "data/pi0-golden"
LORA_ALPHA = 8.0  # rank 4: in the vectors' README, in no file of the checkpoint
FOLDERS = ("pi0", "pi0_train_layout", "pi0_missing_camera", "pi05", "pi0_lora")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def as_it_is(_x: Any, v: Any, _t: float) -> Any:
    """A guide that changes nothing: the flow goes step by step, as under real-time chunking."""
    return v


def reference(folder: str, *, half: bool = False) -> JaxSampler:
    alpha = LORA_ALPHA if folder == "pi0_lora" else None
    return JaxSampler(read_params(GOLDEN / folder), start_jax("cpu"), half=half, lora_alpha=alpha)


def vectors(folder: str) -> dict[str, Any]:
    with np.load(GOLDEN / folder / "vectors.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_stage_is_the_original_models(folder: str) -> None:
    expected, shown = vectors(folder), recorded(GOLDEN / folder / "vectors.npz")
    sampler = reference(folder)
    prepared = sampler.prepare(shown.inputs)
    prefix = sampler.prefix(prepared)
    assert np.array_equal(np.asarray(prefix.mask), expected["prefix_mask"])
    assert _apart(prefix.tokens, expected["prefix_tokens"]) <= 1e-4
    assert _apart(sampler.velocity(prepared, shown.noise, 1.0), expected["velocity_t1"]) <= 1e-4
    for steps in (5, 10):
        actions = sampler.sample(prepared, shown.noise, steps)
        assert _apart(actions, expected[f"actions_{steps}"]) <= 1e-4


def test_weights_stored_and_used_in_half_precision_stay_within_theirs() -> None:
    shown = recorded(GOLDEN / "pi0_bf16/vectors.npz")
    sampler = reference("pi0_bf16", half=True)
    actions = sampler.sample(sampler.prepare(shown.inputs), shown.noise, 10)
    assert _apart(actions, vectors("pi0_bf16")["actions_10"]) <= 2e-2


def test_several_chunks_of_one_moment_are_each_their_own() -> None:
    """And that it is being compiled is said, once for these shapes: a guided chunk waits not."""
    told: list[str] = []
    sampler = load_jax_sampler(open_container(GOLDEN / "pi05"), device="cpu", told=told.append)
    shown = recorded(GOLDEN / "pi05/vectors.npz")
    prepared = sampler.prepare(shown.inputs)
    noise = np.concatenate([shown.noise, -shown.noise])
    both = sampler.sample(prepared, noise, 3)
    assert np.array_equal(sampler.sample(prepared, noise, 3, as_it_is), both)
    assert [words.split(" ")[0] for words in told] == ["compiling", "compiled"]
    assert _apart(both[:1], sampler.sample(prepared, shown.noise, 3)) <= 1e-5
    assert _apart(both[1:], sampler.sample(prepared, -shown.noise, 3)) <= 1e-5


@pytest.mark.parametrize("folder", ["pi0", "pi05"])
def test_torchs_names_lead_back_to_the_stored_tree(folder: str) -> None:
    container = open_container(GOLDEN / folder)
    stored, _ = read_tree(container)
    tensors = {name: as_numpy(tensor) for name, tensor in container.pi0_tensors().items()}
    back = jax_tree(
        tensors, vision_heads=container.dims.vision_heads, head_dim=container.dims.head_dim
    )
    assert back.keys() == stored.keys()
    assert all(np.array_equal(back[name], stored[name]) for name in stored)


def test_a_tree_that_is_not_whole_is_named() -> None:
    params = read_params(GOLDEN / "pi0")
    del params["action_time_mlp_in/bias"]
    params["extra/kernel"] = np.zeros(3)
    with pytest.raises(CheckpointError, match=r"missing: action_time_mlp_in/bias.*extra/kernel"):
        arrange(params)


def test_adapters_of_two_ranks_are_each_scaled_by_their_own(tmp_path: Path) -> None:
    """openpi's vision-language model has rank 16, its action expert 32."""
    arrays = tiny_pi0.arrays()
    for name, rank in (("q_einsum", 16), ("q_einsum_1", 32)):
        name = f"PaliGemma/llm/layers/attn/{name}"
        layers, heads, width, size = arrays[f"{name}/w"].shape
        arrays[f"{name}/lora_a"] = np.full((layers, heads, width, rank), 0.125, np.float32)
        arrays[f"{name}/lora_b"] = np.full((layers, heads, rank, size), 0.5, np.float32)
    container = open_container(tiny_pi0.write_orbax(tmp_path / "it", arrays), lora_alpha=8.0)
    tree, alpha = read_tree(container)
    weights, _ = arrange(tree, lora_alpha=alpha)
    back = jax_tree(
        {name: as_numpy(tensor) for name, tensor in container.pi0_tensors().items()},
        vision_heads=tiny_pi0.VISION_HEADS,
        head_dim=tiny_pi0.SIZES["H"],
    )
    for own, of_torch in ((weights.text_layers, "q_einsum"), (weights.expert_layers, "q_einsum_1")):
        merged = back[f"PaliGemma/llm/layers/attn/{of_torch}/w"]
        np.testing.assert_allclose(own["attn/q_einsum/w"], merged, atol=1e-6)
        stored = arrays[f"PaliGemma/llm/layers/attn/{of_torch}/w"]
        np.testing.assert_allclose(merged - stored, 8 * 0.125 * 0.5, atol=1e-5)


@pytest.mark.parametrize(
    ("damaged", "says"),
    [(np.nan, "not finite: .*layers.1.self_attn.v_proj"), (0.0, "all one value: .*layers.1")],
)
def test_jax_plays_no_checkpoint_whose_numbers_are_none(
    damaged: float, says: str, tmp_path: Path
) -> None:
    arrays = tiny_pi0.arrays()
    arrays["PaliGemma/llm/layers/attn/kv_einsum/w"][1, 1] = damaged  # the values of one layer
    container = open_container(tiny_pi0.write_orbax(tmp_path / "it", arrays))
    with pytest.raises(CheckpointError, match=says):
        load_jax_sampler(container, device="cpu")


def verify(folder: Path, *more: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lora-alpha", type=float)
    add_options(parser)
    return against.run(parser.parse_args([str(folder), "--device", "cpu", *more]))


@pytest.mark.parametrize(("folder", "more"), [("pi05", []), ("pi0_lora", ["--lora-alpha", "8"])])
def test_verify_against_jax_proves_parity_stage_by_stage(
    folder: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = str(GOLDEN / folder / "vectors.npz")
    assert verify(GOLDEN / folder, "--json", "--inputs", inputs, *more) == 0
    said = json.loads(capsys.readouterr().out)
    names = [stage["name"] for stage in said["stages"]]
    assert said["agrees"] and names[:3] == ["image tokens", "prefix tokens", "layer 0 keys"]
    assert {"velocity at t=1", "after step 9", "actions"} < set(names)
    assert names[-2:] == ["torch against the recording", "jax against the recording"]
    assert max(stage["relative"] for stage in said["stages"]) <= 1e-4


def test_the_stage_at_which_they_part_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A conversion that swaps keys and values of the expert's prefix passes every stage before."""
    tree, alpha = read_tree(open_container(GOLDEN / "pi0"))
    name = "PaliGemma/llm/layers/attn/kv_einsum/w"
    changed = tree | {name: np.ascontiguousarray(tree[name][:, ::-1])}
    monkeypatch.setattr(against, "read_tree", lambda _container: (changed, alpha))
    assert verify(GOLDEN / "pi0", "--inputs", str(GOLDEN / "pi0/vectors.npz")) == 2
    printed = capsys.readouterr()
    assert "part at 'layer 0 keys'" in printed.err
    assert printed.out.splitlines()[2].startswith("✗ layer 0 keys")


def test_a_number_that_is_none_agrees_with_nothing() -> None:
    good = {"a": np.zeros(3, np.float32), "b": np.ones(3, np.float32)}
    bad = good | {"b": np.array([1, np.nan, 1], np.float32)}
    beyond = first_beyond(compare(bad, good, 1e-4))
    assert beyond is not None and beyond.name == "b"


def test_a_device_that_jax_has_not_is_refused_with_its_mend() -> None:
    with pytest.raises(CheckpointError, match="no device 'cuda:7'") as error:
        start_jax("cuda:7")
    assert "jax[cuda12]" in error.value.do


def test_jax_on_the_cpu_of_a_machine_with_a_gpu_is_not_silent() -> None:
    assert "jax[cuda12]==0.7.2" in silent_cpu("cpu", True, "0.7.2")
    assert silent_cpu("cpu", False, "0.7.2") == silent_cpu("gpu", True, "0.7.2") == ""


@pytest.mark.parametrize(
    ("numpy", "needs", "error", "says"),
    [
        ("1.26.4", "numpy>=2.0", "", "needs numpy 2.0 or newer"),
        ("2.0.0", "", "TypeError: asarray() got an unexpected keyword 'copy'", "too old for it"),
        (
            "2.3.1",
            "",
            "ImportError: numpy.core.multiarray failed to import",
            "compiled for another",
        ),
        ("2.2.6", "numpy>=2.0", "AttributeError: no attribute 'xla_client'", "does not start"),
    ],
)
def test_an_unfit_pair_of_jax_and_numpy_comes_with_its_exact_mend(
    numpy: str, needs: str, error: str, says: str
) -> None:
    problem = pair_problem("0.7.2", numpy, needs, error)
    assert problem is not None
    assert says in " ".join(problem[:2]) and install_again(*EXTRAS) in problem[2]
    assert all(each in problem[2] for each in RANGES)


def test_a_fit_pair_is_no_problem_and_the_mend_is_what_the_project_asks_for() -> None:
    assert pair_problem("0.7.2", "2.2.6", "numpy>=2.0", "") is None
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert all(f'"{wanted}"' in project for wanted in RANGES)


def _apart(found: Any, expected: Any) -> float:
    return float(np.abs(np.asarray(found, np.float32) - np.asarray(expected, np.float32)).max())
