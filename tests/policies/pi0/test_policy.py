"""A tiny Pi0 as a policy: from any container the same, on this robot like an ACT, never a guess."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from config.schema import Config
from policies.border import load_calibrations
from policies.checkpoint.container import open_container
from policies.checkpoint.evidence import amend_sidecar
from policies.checkpoint.pi0_layout import Pi0Kind
from policies.device import keep_float32
from policies.loaded import load_policy
from policies.model import ModelOptions, load_model
from policies.observation import Observation
from policies.pi0 import loading
from policies.pi0.placing import memory_need, refuse_what_does_not_fit, released
from policies.pi0.policy import Pi0Policy
from policies.pi0.sampling import Guide, NetworkInputs
from policies.rtc import Leftover
from robotd.errors import CheckpointError
from robotd.policy_channel import Load

from ..checkpoint import tiny_pi0
from ..conftest import FEATURE_NAMES

pytestmark = pytest.mark.timeout(900)  # torch, LeRobot and JAX are imported on a busy machine

TASK = "put the block into the bowl"
GIGA = 1e9


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same tiny Pi0 in its six containers. Do not write into them."""
    root, values = tmp_path_factory.mktemp("tiny"), tiny_pi0.arrays()
    return {name: write(root / name, values) for name, write in tiny_pi0.CONTAINERS.items()}


def loaded(folder: Path, tokenizer: Path, **options: Any) -> Pi0Policy:
    wanted = ModelOptions(
        device="cpu", tokenizer=str(tokenizer), embodiment="so101", seed=0, **options
    )
    policy = load_model(folder, wanted)
    assert isinstance(policy, Pi0Policy)
    return policy


def seen(policy: Pi0Policy, views: int = 3, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        key: rng.integers(0, 256, (28, 28, 3), np.uint8) for key in policy.settings.views[:views]
    }
    values[policy.settings.state_key] = rng.normal(0, 0.5, 32).astype(np.float32)
    return values


@pytest.mark.parametrize("kind", ["pi0", "pi05"])
def test_six_containers_give_the_same_actions(
    kind: Pi0Kind, tmp_path: Path, tokenizer_file: Path
) -> None:
    """Un-normalised they differ by openpi's epsilon, a millionth of the deviation. The folders'
    names say nothing."""
    chunks, raw = {}, {}
    values = tiny_pi0.arrays(kind)
    for name, write in tiny_pi0.CONTAINERS.items():
        folder = write(tmp_path / "pi0_and_pi05" / name, values)
        amend_sidecar(folder, prompt_tokens=200)
        policy = loaded(folder, tokenizer_file)
        assert policy.kind == kind and policy.chunk == tiny_pi0.HORIZON
        noise = np.random.default_rng(5).standard_normal((10, 32), np.float32)
        chunks[name] = policy.predict(seen(policy), TASK, noise=noise)
        assert policy.raw is not None
        raw[name] = policy.raw.actions
    assert len(chunks) == 6
    for name in chunks:
        np.testing.assert_allclose(raw[name], raw["openpi-torch"], atol=1e-5, err_msg=name)
        np.testing.assert_allclose(chunks[name], chunks["openpi-torch"], atol=1e-5, err_msg=name)


def test_what_another_model_did_to_float32_in_this_process_is_undone(
    tmp_path: Path, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LeRobot's Pi0 switches TF32 on for its whole process when it is made."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        folder = tiny_pi0.write_openpi_torch(tmp_path / "tiny", tiny_pi0.arrays())
        loaded(folder, tokenizer_file)
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)
    assert keep_float32(torch) == ""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    assert "NVIDIA_TF32_OVERRIDE" in keep_float32(torch)


def test_the_jax_reference_can_take_the_place_of_torch(
    tiny: dict[str, Path], tokenizer_file: Path
) -> None:
    """Under real-time chunking, too, and what it compiles is told once, before any run."""
    chunks, guided, told = [], [], []
    for backend in ("torch", "jax"):
        policy = loaded(tiny["orbax-released"], tokenizer_file, backend=backend, told=told.append)
        noise = np.random.default_rng(6).standard_normal((10, 32), np.float32)
        chunks.append(policy.predict(seen(policy), TASK, noise=noise))
        before = np.linspace(-1, 1, 6 * 32, dtype=np.float32).reshape(6, 32)
        left = Leftover(before, delay_steps=2, horizon=5)
        guided.append(policy.predict(seen(policy), TASK, noise=noise, leftover=left))
    np.testing.assert_allclose(chunks[0], chunks[1], atol=1e-4)
    np.testing.assert_allclose(guided[0], guided[1], atol=1e-4)
    assert np.abs(guided[1] - chunks[1]).max() > 0.01
    compiled = [words.split(" for")[0] for words in told if words.startswith("compil")]
    assert compiled == ["compiling", "compiled"]


@pytest.mark.parametrize("container", ["openpi-torch", "lerobot-g3"])
def test_a_pi0_moves_this_robot_through_the_same_door_as_an_act(
    tiny: dict[str, Path],
    container: str,
    tokenizer_file: Path,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = tiny[container]
    if container.startswith("lerobot"):
        folder = six_joints(tmp_path)
    request = Load(
        path=str(folder),
        task=TASK,
        tokenizer=str(tokenizer_file),
        embodiment="so101" if container.startswith("openpi") else "",
        rename={
            "observation.images.base_0_rgb": "overhead",
            "observation.images.left_wrist_0_rgb": "wrist",
        }
        if container.startswith("lerobot")
        else {},
    )
    policy = load_policy(request, config, load_calibrations(config))
    assert policy.model.kind == "pi0" and set(policy.fit.cameras) == {"overhead", "wrist"}
    values = {
        "observation.state": policy.border.state((2045, 2080, 2057, 1965, 2098, 2600)),
        "observation.images.overhead": np.zeros((64, 64, 3), np.uint8),
        "observation.images.wrist": np.full((64, 64, 3), 200, np.uint8),
    }
    chunk = policy.predict(Observation(0, 1, 0, values))
    assert chunk.shape == (10, 6) and np.isfinite(chunk).all()
    assert policy.timings.infer_ns > 0
    policy.reset()
    again = policy.predict(Observation(0, 1, 0, values))
    assert np.abs(again - chunk).max() > 1e-6, "another chunk starts from another noise"


def six_joints(folder: Path) -> Path:
    """LeRobot's container with this robot's six joints and two cameras in its config.json."""
    made = tiny_pi0.write_lerobot(folder / "six", tiny_pi0.arrays(), "g3")
    path = made / "config.json"
    content = json.loads(path.read_text())
    content["input_features"]["observation.state"]["shape"] = [6]
    content["output_features"]["action"]["shape"] = [6]
    del content["input_features"]["observation.images.right_wrist_0_rgb"]
    path.write_text(json.dumps(content))
    for file in made.glob("policy_*_step_*.safetensors"):
        save_file({name: value[:6].copy() for name, value in load_file(file).items()}, file)
    return made


def test_a_view_that_is_not_there_is_masked(tiny: dict[str, Path], tokenizer_file: Path) -> None:
    """Not black and seen: what the masked picture would show changes nothing."""
    policy = loaded(tiny["orbax-released"], tokenizer_file)
    noise = policy.draw()[0]
    values = seen(policy, views=2)
    without = policy.predict(values, TASK, noise=noise)
    black = {**values, policy.settings.views[2]: np.zeros((28, 28, 3), np.uint8)}
    assert np.abs(policy.predict(black, TASK, noise=noise) - without).max() > 1e-4
    inputs = policy.inputs(black, TASK)
    masked = replace(inputs, views=np.array([True, True, False]))
    chunk = policy.sampler.sample(policy.sampler.prepare(masked), noise[None], 10, None)
    np.testing.assert_allclose(policy.settings.action.back(chunk)[0], without, atol=1e-5)
    with pytest.raises(CheckpointError, match="shown no picture"):
        policy.predict({"state": values["state"]}, TASK)


def test_lerobots_relative_actions_become_absolute_but_for_the_gripper(
    tmp_path: Path, tokenizer_file: Path
) -> None:
    """`use_relative_actions` of LeRobot 0.6: the whole chunk relative to the one state."""
    folder = tiny_pi0.write_lerobot(tmp_path / "g3", tiny_pi0.arrays(), "g3")
    absolute = loaded(folder, tokenizer_file)
    names = [*FEATURE_NAMES, *(f"other_{index}.pos" for index in range(26))]
    content = json.loads((folder / "config.json").read_text())
    content |= {"use_relative_actions": True, "relative_exclude_joints": ["gripper"]}
    (folder / "config.json").write_text(json.dumps(content | {"action_feature_names": names}))
    relative = loaded(folder, tokenizer_file)
    values, noise = seen(relative), relative.draw()[0]
    state = np.where(np.arange(32) == 5, 0.0, values["observation.state"])
    wanted = absolute.predict(values, TASK, noise=noise) + state
    np.testing.assert_allclose(relative.predict(values, TASK, noise=noise), wanted, atol=1e-6)
    assert relative.raw is not None and relative.raw.state is not None
    np.testing.assert_allclose(relative.raw.state, state, atol=1e-6)


def test_a_seed_repeats_an_episode(tiny: dict[str, Path], tokenizer_file: Path) -> None:
    runs = []
    for _ in range(2):
        policy = loaded(tiny["openpi-torch"], tokenizer_file)
        policy.reset()
        runs.append([policy.predict(seen(policy), TASK) for _ in range(2)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0][0] - runs[0][1]).max() > 1e-4


def test_a_chunk_goes_on_from_what_is_left_of_the_last(
    tiny: dict[str, Path], tokenizer_file: Path
) -> None:
    """Also where actions are relative to a state that has moved on since."""
    policy = loaded(tiny["openpi-torch"], tokenizer_file)
    policy.relative_to_state(np.array([True] * 5 + [False]))
    before = seen(policy)
    first = policy.predict(before, TASK) + moved(policy, before)
    assert policy.raw is not None
    now = {**before, "state": before["state"] + 0.3}
    left = Leftover(policy.raw.actions[2:], 4, 8, state=policy.raw.state)
    noise = policy.draw()[0]
    free = policy.predict(now, TASK, noise=noise) + moved(policy, now)
    held = policy.predict(now, TASK, noise=noise, leftover=left) + moved(policy, now)
    jump, naive = (
        np.abs(held - shifted(first))[:4, :6].max(),
        np.abs(free - shifted(first))[:4, :6].max(),
    )
    assert jump < naive / 3


def moved(policy: Pi0Policy, values: dict[str, Any]) -> np.ndarray:
    """What an embodiment adds to relative actions."""
    offset = np.zeros(32)
    offset[:5] = values["state"][:5]
    return offset


def shifted(chunk: np.ndarray) -> np.ndarray:
    return np.concatenate([chunk[2:], chunk[-2:]])


class SleepingSampler:
    """A network that takes 50 ms for every chunk and gives the noise back."""

    device, acceleration = "cpu", "none"

    def prepare(self, inputs: NetworkInputs) -> NetworkInputs:
        return inputs

    def synchronize(self) -> None:
        pass

    def pulled(self, values: np.ndarray) -> np.ndarray:
        return values

    def sample(
        self, prepared: Any, noise: np.ndarray, steps: int, guide: Guide | None
    ) -> np.ndarray:
        time.sleep(0.05)
        return noise


def test_only_the_networks_own_time_is_called_inference(
    tiny: dict[str, Path], tokenizer_file: Path
) -> None:
    real = loaded(tiny["openpi-torch"], tokenizer_file)
    policy = Pi0Policy(real.settings, SleepingSampler(), real.tokenizer, real.evidence, seed=0)
    began_ns = time.monotonic_ns()
    policy.predict(seen(policy), TASK)
    took_ns = time.monotonic_ns() - began_ns
    parts = policy.timings
    assert parts.infer_ns >= 50_000_000
    assert parts.preprocess_ns > 0 and parts.post_ns > 0
    assert parts.overhead_ns + parts.infer_ns <= took_ns


def test_what_does_not_fit_is_refused_with_figures_before_it_is_read(
    tiny: dict[str, Path], tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = memory_need("pi0", released("pi0"), itemsize=2, views=3, prompt=48)
    half = memory_need("pi0", released("pi0"), itemsize=2, views=2, prompt=48)
    assert 5.0 * GIGA < half.device < need.device < 6.5 * GIGA < need.weights * 1.25
    with pytest.raises(CheckpointError, match=r"needs 5\.\d GB on cuda .* 4\.0 GB are free"):
        refuse_what_does_not_fit(
            need, device="cuda", free_device=int(4 * GIGA), free_host=int(64 * GIGA), name="x"
        )
    refuse_what_does_not_fit(
        need, device="cuda", free_device=int(7 * GIGA), free_host=int(16 * GIGA), name="x"
    )
    monkeypatch.setattr(loading, "free_memory", lambda: 1000)
    with pytest.raises(CheckpointError, match="GB of this computer's memory"):
        loaded(tiny["openpi-torch"], tokenizer_file)


def test_a_task_that_the_model_cannot_read_to_its_end_is_refused(
    tiny: dict[str, Path], tokenizer_file: Path
) -> None:
    policy = loaded(tiny["openpi-torch"], tokenizer_file)
    with pytest.raises(CheckpointError, match=r"tokens too long .* reads 24"):
        policy.predict(seen(policy), "put the block into the bowl " * 9)


def test_nothing_is_loaded_without_a_tokenizer(
    tiny: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "OPENPI_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(CheckpointError, match="no tokenizer"):
        load_model(tiny["openpi-torch"], ModelOptions(device="cpu", embodiment="so101"))


def test_weights_that_are_not_all_there_are_never_replaced_by_random_ones(
    tiny: dict[str, Path], tokenizer_file: Path
) -> None:
    import torch

    from policies.pi0.sampler import load_sampler

    container = open_container(tiny["openpi-torch"])
    tensors = container.pi0_tensors()
    del tensors["action_out_proj.bias"]
    with pytest.raises(CheckpointError, match=r"missing: action_out_proj\.bias"):
        load_sampler(tensors, "pi0", container.dims, device="cpu", dtype=torch.float32)


def test_how_pictures_were_padded_comes_from_who_wrote_the_checkpoint(
    tiny: dict[str, Path], tokenizer_file: Path, tmp_path: Path
) -> None:
    found = {name: loaded(folder, tokenizer_file).settings.pad for name, folder in tiny.items()}
    assert found == {
        "openpi-torch": "openpi",
        "lerobot-g1": "lerobot03",
        "lerobot-g2": "lerobot04",
        "lerobot-g3": "lerobot06",
        "orbax-released": "openpi",
        "orbax-training": "openpi",
    }
    own = tiny_pi0.write_openpi_torch(tmp_path / "own", tiny_pi0.arrays())
    amend_sidecar(own, image_pad="lerobot04")
    assert loaded(own, tokenizer_file).settings.pad == "lerobot04"


def test_a_gpu_that_runs_out_of_memory_ends_in_words(
    tiny: dict[str, Path], tokenizer_file: Path
) -> None:
    import torch

    policy = loaded(tiny["openpi-torch"], tokenizer_file)

    def exhausted(*_args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    policy.sampler._prefix = exhausted  # type: ignore[attr-defined]
    with pytest.raises(CheckpointError, match="was not enough: CUDA out of memory") as caught:
        policy.predict(seen(policy), TASK)
    assert "nvidia-smi" in caught.value.do


def test_what_a_gpu_cannot_do_is_left_out_and_said(
    tiny: dict[str, Path], tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that refuses to capture: first what was compiled goes, then the graphs."""
    from policies.pi0 import network, sampler

    policy = loaded(tiny["openpi-torch"], tokenizer_file, compile="full")
    assert policy.sampler.acceleration == "as written: full needs a GPU"
    noise = policy.draw()[0]
    wanted = policy.predict(seen(policy), TASK, noise=noise)

    class Refusing:
        def __init__(self, *_args: Any) -> None:
            raise RuntimeError("operation not permitted when stream is capturing\n...")

    torchs: Any = policy.sampler
    torchs._graphs, torchs.acceleration = True, "compiled"
    torchs._prefix = torchs._velocity = None
    monkeypatch.setattr(sampler, "_Captured", Refusing)
    monkeypatch.setattr("torch.cuda.synchronize", lambda _device: None)
    np.testing.assert_allclose(policy.predict(seen(policy), TASK, noise=noise), wanted, atol=1e-6)
    assert "no CUDA graph (operation not permitted" in torchs.acceleration
    assert torchs._prefix is network.prefix
