"""`robotd ckpt verify P --against jax`: robotd's torch path beside the JAX reference, on this machine.

Both read the same checkpoint, each its own way, and are shown the same pictures, words, state and
noise. The largest difference of every stage is printed; beyond the tolerance the exit status is 2.
"""

import argparse
import sys

import msgspec
import numpy as np

from policies.checkpoint.container import Container, open_container
from policies.jax_reference.from_container import read_tree
from policies.jax_reference.parity import (
    TOLERANCES,
    Array,
    Stage,
    compare,
    first_beyond,
    jax_stages,
    torch_stages,
)
from policies.jax_reference.parity_inputs import Shown, made_up, recorded
from policies.jax_reference.sampler import JaxSampler
from policies.jax_reference.starting import start_jax
from robotd.errors import CheckpointError

_HORIZON = 50
"""Of everything published; only used where a checkpoint does not say its own."""
BEYOND = 2


def run(args: argparse.Namespace) -> int:
    """Print the table (or JSON); exit status 0 when every stage agrees, else 2.

    `args` has `path`, `json`, `lora_alpha` and those of `options.add_options`.
    Raises CheckpointError for a checkpoint that is no Pi0, or where JAX cannot start.
    """
    container = open_container(args.path, lora_alpha=args.lora_alpha)
    kind = container.pi0_kind
    shown = (
        recorded(args.inputs)
        if args.inputs is not None
        else made_up(kind, container.dims, container.horizon[0] or _HORIZON, args.seed)
    )
    half = args.dtype == "bf16"
    started = start_jax(args.device)
    _tell(started.notice)
    rounded = _rounded() if args.dtype == "f32" else ""
    _tell(f"torch: {args.device}, {args.dtype}{rounded}; {started.words}; {shown.words}")
    # One after the other: both at once would need twice the memory.
    ours = _torch(container, shown, args)
    tree, alpha = read_tree(container)
    jax_sampler = JaxSampler(
        tree, started, half=half, lora_alpha=alpha, source=str(container.path), told=_tell
    )
    reference = jax_stages(jax_sampler, shown.inputs, shown.noise, args.steps)
    stages = compare(ours, reference, TOLERANCES[args.dtype])
    if args.steps in shown.recorded:
        expected = {"actions": np.asarray(shown.recorded[args.steps], np.float32)}
        for name, own in (("torch", ours), ("jax", reference)):
            (against,) = compare(own, expected, TOLERANCES[args.dtype])
            stages.append(
                Stage(
                    f"{name} against the recording",
                    against.difference,
                    against.size,
                    against.tolerance,
                )
            )
    return report(stages, args.json, str(container.path), kind)


def report(stages: list[Stage], as_json: bool, path: str, kind: str) -> int:
    """Say how the stages compare. Exit status 2 when one is beyond its tolerance."""
    beyond = first_beyond(stages)
    if as_json:
        said = {
            "path": path,
            "kind": kind,
            "agrees": beyond is None,
            "beyond": beyond.name if beyond is not None else None,
            "tolerance": stages[0].tolerance,
            "stages": [
                {
                    "name": stage.name,
                    "difference": stage.difference,
                    "size": stage.size,
                    "relative": stage.relative,
                    "within": stage.within,
                }
                for stage in stages
            ],
        }
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    else:
        sys.stdout.write("\n".join(_line(stage) for stage in stages) + "\n")
    if beyond is None:
        _tell(f"{path}: torch and JAX agree in all {len(stages)} stages")
        return 0
    _tell(
        str(
            CheckpointError(
                f"{path}: torch and JAX part at {beyond.name!r}: {beyond.relative:.2e}, allowed "
                f"{beyond.tolerance:g}.",
                "The checkpoint was converted wrongly, or one of the two computes wrongly on this "
                "device (try --device cpu: where it agrees there, it is the device).",
                "Do not run it. Please report it with this table.",
            )
        )
    )
    return BEYOND


def _rounded() -> str:
    import torch

    from policies.device import keep_float32

    return f" ({keep_float32(torch) or 'without TF32'})"


def _torch(container: Container, shown: Shown, args: argparse.Namespace) -> dict[str, Array]:
    import torch

    from policies.pi0.sampler import load_sampler

    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    sampler = load_sampler(
        container.pi0_tensors(),
        container.pi0_kind,
        container.dims,
        device=device,
        dtype=torch.bfloat16 if args.dtype == "bf16" else torch.float32,
        mode="off",
        name=str(container.path),
    )
    return torch_stages(sampler, shown.inputs, shown.noise, args.steps)


def _line(stage: Stage) -> str:
    mark = "  " if stage.within else "✗ "
    return (
        f"{mark}{stage.name:28} {stage.difference:9.2e}  of {stage.size:9.3g}  "
        f"relative {stage.relative:.2e}"
    )


def _tell(words: str) -> None:
    if words:
        sys.stderr.write(words + "\n")
