"""How near robotd's Pi0 comes to what the GPU can do, beside LeRobot's eager one in the same run.

Both have the published dimensions and random weights: time and memory do not depend on their
values. Without a GPU nothing is measured and nothing is claimed.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.policy_bound import GPUS, bound_ms, gpu_called, stages
from policies.failing import give_back_memory
from policies.pi0.placing import memory_need, released, tensor_shapes

VIEWS, PROMPT, HORIZON, STEPS = 2, 48, 50, 10
_WARM_UP, _ROUNDS = 5, 30
_STD = 0.02

PUBLISHED = {
    "realtime-vla, RTX 4090, 2 views (arXiv 2510.26742)": 27.3,
    "openpi, RTX 4090, 3 views (arXiv 2410.24164)": 73.0,
}
"""ms a chunk, as others measured them on their machines."""

Said = Callable[[str], None]


def bounds() -> dict[str, Any]:
    """The least time of one chunk on each card that is known here, stage by stage, in ms."""
    dims = released("pi0")
    work = stages(dims, views=VIEWS, prompt=PROMPT, chunk=HORIZON, steps=STEPS)
    return {
        gpu.name: {stage.name: round(stage.bound_ms(gpu), 2) for stage in work}
        | {"total": round(sum(stage.bound_ms(gpu) for stage in work), 2)}
        for gpu in GPUS
    }


def measure(against: bool, said: Said) -> dict[str, Any]:
    """The GPU's part of the report; on a machine without one it says that nothing is claimed."""
    import torch

    need = memory_need("pi0", released("pi0"), itemsize=2, views=VIEWS, prompt=PROMPT)
    report: dict[str, Any] = {
        "what": f"{VIEWS} views, prompt {PROMPT}, chunk {HORIZON}, {STEPS} steps, bf16",
        "published_ms": PUBLISHED,
        "bounds_ms": bounds(),
        "weights_gb": round(need.weights / 1e9, 2),
    }
    if not torch.cuda.is_available():
        return report | {"gpu": None, "claim": "no GPU here: nothing claimed"}
    name = torch.cuda.get_device_name()
    gpu = gpu_called(name)
    report["gpu"] = name
    said(f"robotd's Pi0 on {name}")
    report["robotd"] = _ours(torch)
    give_back_memory()
    if against:
        said("LeRobot's PI0Policy, eager, in the same run")
        report["lerobot_eager"] = _lerobot(torch)
        report["times_faster"] = _ratio(report["lerobot_eager"], report["robotd"])
    if gpu is not None:
        least = bound_ms(
            released("pi0"), gpu, views=VIEWS, prompt=PROMPT, chunk=HORIZON, steps=STEPS
        )
        report["bound_ms"] = round(least, 2)
        report["over_bound"] = round(report["robotd"]["p50_ms"] / least, 3)
    return report


def _ratio(theirs: dict[str, Any], ours: dict[str, Any]) -> float:
    return round(float(theirs["p50_ms"]) / float(ours["p50_ms"]), 2)


def _ours(torch: Any) -> dict[str, Any]:
    from policies.pi0.sampler import load_sampler
    from policies.pi0.sampling import NetworkInputs

    dims = released("pi0")
    tensors = {
        name: torch.empty(shape, dtype=torch.bfloat16, device="cuda").normal_(std=_STD).to("cpu")
        for name, shape in tensor_shapes("pi0", dims).items()
    }
    sampler = load_sampler(
        tensors, "pi0", dims, device="cuda", dtype=torch.bfloat16, mode="auto", name="random"
    )
    del tensors
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    loaded = torch.cuda.memory_allocated()
    random = np.random.default_rng(0)
    inputs = NetworkInputs(
        pixels=random.uniform(-1, 1, (VIEWS, 3, dims.image_size, dims.image_size)).astype("f4"),
        views=np.ones(VIEWS, np.bool_),
        ids=random.integers(1, dims.vocabulary, PROMPT),
        words=np.ones(PROMPT, np.bool_),
        state=np.zeros(dims.state, np.float32),
    )
    noise = random.normal(size=(1, HORIZON, dims.action)).astype(np.float32)

    def chunk() -> None:
        sampler.sample(sampler.prepare(inputs), noise, STEPS, None)

    found = _timed(torch, chunk) | {"acceleration": sampler.acceleration}
    peak = torch.cuda.max_memory_allocated()
    return found | {
        "weights_gb": round(loaded / 1e9, 2),
        "peak_gb": round(peak / 1e9, 2),
        "peak_over_weights": round(peak / loaded, 3),
    }


def _lerobot(torch: Any) -> dict[str, Any]:
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.pi0.configuration_pi0 import PI0Config
    from lerobot.policies.pi0.modeling_pi0 import PI0Policy

    picture = PolicyFeature(FeatureType.VISUAL, (3, 224, 224))
    vector = PolicyFeature(FeatureType.STATE, (32,))
    names = [f"observation.images.view{number}" for number in range(VIEWS)]
    config = PI0Config(
        input_features={"observation.state": vector, **dict.fromkeys(names, picture)},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (32,))},
        chunk_size=HORIZON,
        n_action_steps=HORIZON,
        num_inference_steps=STEPS,
        dtype="bfloat16",
        device="cuda",
        compile_model=False,
    )
    with torch.device("cuda"):
        policy = PI0Policy(config).eval()
    policy.to("cuda")
    batch = {name: torch.rand(1, 3, 224, 224, device="cuda") for name in names}
    batch["observation.state"] = torch.zeros(1, 32, device="cuda")
    batch["observation.language.tokens"] = torch.ones(1, PROMPT, dtype=torch.long, device="cuda")
    mask = torch.ones(1, PROMPT, dtype=torch.bool, device="cuda")
    batch["observation.language.attention_mask"] = mask
    torch.cuda.reset_peak_memory_stats()

    def chunk() -> None:
        policy.predict_action_chunk(dict(batch)).to("cpu")

    return _timed(torch, chunk) | {"peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2)}


def _timed(torch: Any, chunk: Callable[[], None]) -> dict[str, Any]:
    """p50 and the most of a whole chunk, device synchronised; never of a queue."""
    for _ in range(_WARM_UP):
        chunk()
    took_ms = []
    for _ in range(_ROUNDS):
        torch.cuda.synchronize()
        began_ns = time.monotonic_ns()
        chunk()
        torch.cuda.synchronize()
        took_ms.append((time.monotonic_ns() - began_ns) / 1e6)
    return {"p50_ms": round(statistics.median(took_ms), 2), "max_ms": round(max(took_ms), 2)}
