"""A Pi0 checkpoint becomes a policy: container, settings, memory, weights, tokenizer, in that order.

What can be known without reading gigabytes is looked at first: whether it fits the device, and
whether there is a tokenizer. Needs no network.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from policies.checkpoint.container import Container
from policies.checkpoint.evidence import SIDECAR, find_evidence
from policies.checkpoint.orbax import OrbaxParams
from policies.checkpoint.stats_check import require_statistics
from policies.device import choose_device
from policies.embodiment_choice import choose_embodiment
from policies.extra import extra_missing
from policies.model import Dtype, ModelOptions
from policies.pi0.placing import memory_need, refuse_what_does_not_fit
from policies.pi0.policy import Pi0Policy
from policies.pi0.sampling import Sampler
from policies.pi0.settings import Pi0Settings, read_settings
from policies.pi0.tokenizer import find_tokenizer
from robotd.errors import CheckpointError

_MEMINFO = Path("/proc/meminfo")


def load_pi0(container: Container, options: ModelOptions) -> Pi0Policy:
    """Load an opened Pi0 or Pi0.5. Raises CheckpointError for whatever is wrong with it."""
    require_statistics(container)
    chosen = None
    units, fps = options.units, options.fps
    if container.framework != "lerobot":
        chosen = choose_embodiment(options.embodiment, container.path, container.kind, units)
        units = chosen.units
    settings = read_settings(container, chosen)
    own_fps = chosen.row.fps if chosen and fps is None and container.sidecar.fps is None else None
    evidence = find_evidence(container, fps or own_fps, units)
    if chosen and own_fps:
        evidence = replace(evidence, fps_source=f"embodiment {chosen.name}")
    dims = container.dims
    if not dims.vision_heads:
        raise CheckpointError(
            f"Nothing says how many heads the vision tower of {container.path} has.",
            f"It is {dims.vision_width} wide, not SigLIP So400m's 1152, and torch weights do not tell.",
            f'Say it in {SIDECAR} beside the weights: {{"vision_heads": …}}.',
        )
    tokenizer, tokenizer_path = find_tokenizer(container.path, options.tokenizer, dims.vocabulary)
    sampler = _sampler(container, settings, options)
    files = (*weight_files(container), tokenizer_path)
    if options.num_steps:
        settings = replace(settings, steps=options.num_steps)
    policy = Pi0Policy(
        settings, sampler, tokenizer, evidence, files=files, seed=options.seed, chosen=chosen
    )
    for note in policy.notes:
        options.told(note)
    return policy


def _sampler(container: Container, settings: Pi0Settings, options: ModelOptions) -> Sampler:
    """The network in whichever library was asked for, its memory checked first."""
    try:
        import torch
    except ImportError as error:
        raise extra_missing(error) from error
    torch.set_num_threads(options.threads)
    device = choose_device(torch, options.device)
    dtype = _dtype(torch, options.dtype, device)
    _check_memory(torch, container, settings, device, dtype.itemsize)
    if options.backend == "jax":
        from policies.jax_reference.from_container import load_jax_sampler

        half = None if options.dtype == "auto" else options.dtype == "bf16"
        return load_jax_sampler(
            container, device=options.device, half=half, threads=options.threads, told=options.told
        )
    from policies.pi0.sampler import load_sampler

    return load_sampler(
        container.pi0_tensors(),
        container.pi0_kind,
        container.dims,
        device=device,
        dtype=dtype,
        mode=options.compile,
        name=str(container.path),
    )


def deciding_files(container: Container, tokenizer: str) -> tuple[Path, ...]:
    """Every file that a policy loaded with this tokenizer is made of. Raises CheckpointError where there is none."""
    _, words = find_tokenizer(container.path, tokenizer, container.dims.vocabulary)
    return (*weight_files(container), words)


def weight_files(container: Container) -> tuple[Path, ...]:
    """Every file of a checkpoint that decides what it does, in a fixed order."""
    folder = container.path
    if isinstance(container.store, OrbaxParams):
        files = [p for p in (folder / "params").rglob("*") if p.is_file()]
        files += [container.assets.file] if container.assets.file else []
    else:
        names = (
            "config.json",
            "model.safetensors",
            "policy_*processor*",
            "assets/**/norm_stats.json",
        )
        files = [path for name in names for path in folder.glob(name)]
    files += [folder / SIDECAR] if (folder / SIDECAR).exists() else []
    return tuple(sorted(set(files)))


def _dtype(torch: Any, wanted: Dtype, device: str) -> Any:
    """bf16 on a GPU, as it was trained; f32 on a CPU, where bf16 is emulated and slow."""
    if wanted == "auto":
        wanted = "bf16" if device.startswith("cuda") else "f32"
    return torch.bfloat16 if wanted == "bf16" else torch.float32


def _check_memory(
    torch: Any, container: Container, settings: Pi0Settings, device: str, itemsize: int
) -> None:
    infos = container.tensors.values()
    stored = max((info.nbytes // max(1, info.count) for info in infos), default=4)
    need = memory_need(
        container.pi0_kind,
        container.dims,
        itemsize=itemsize,
        views=len(settings.views),
        prompt=settings.prompt.length,
        stored_itemsize=stored,
    )
    if isinstance(container.store, OrbaxParams):
        # Read whole before a tensor goes to the device; a safetensors file is mapped instead.
        need = replace(need, host=need.host + sum(info.nbytes for info in infos))
    free_device = None
    if device.startswith("cuda"):
        free_device = int(torch.cuda.mem_get_info(device)[0])
    refuse_what_does_not_fit(
        need,
        device=device,
        free_device=free_device,
        free_host=free_memory(),
        name=str(container.path),
    )


def free_memory(meminfo: Path = _MEMINFO) -> int | None:
    """Bytes of memory that a program can still have; None where that cannot be known (macOS)."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
