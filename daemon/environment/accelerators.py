"""Judgement on what computes: driver, torch, JAX. Pure, but for the line that installs.

The two that cost most time are silent: a torch that was not built for this GPU fails at its first
kernel, and a JAX without its CUDA plugin computes on the CPU and says nothing.
"""

from daemon.environment.facts import Gpu, Jax, Lost, Torch
from daemon.environment.finding import Finding, error, ok, warning
from robotd.installed import install_again, uv_pip
from robotd.jax_pair import pair_problem

_OLDEST_DRIVER = {"11": (450, 80), "12": (525, 60), "13": (580, 65)}
"""The oldest Linux driver that runs programs of a CUDA major version (NVIDIA's table of minor
version compatibility)."""


def _torch_again() -> str:
    return uv_pip("install", "--reinstall", "--torch-backend=auto", "torch", "torchvision")


def judge_driver(gpu: Gpu | Lost, torch: Torch | Lost) -> Finding:
    if isinstance(gpu, Lost):
        return error(
            "driver",
            f"nvidia-smi could not be asked: {gpu.how}.",
            "The driver hangs: a GPU fell off the bus, or an update replaced it while running.",
            "Look at: dmesg | grep -i nvrm. Restart the machine.",
        )
    if gpu.error:
        mismatch = "mismatch" in gpu.error.lower()
        return error(
            "driver",
            f"nvidia-smi fails: {_line(gpu.error)}.",
            "The driver was updated and the old one still runs."
            if mismatch
            else "The kernel module is not loaded (a new kernel, secure boot), or the GPU is gone.",
            "Restart the machine."
            if mismatch
            else "sudo modprobe nvidia, and read dmesg; else install the driver again.",
        )
    if not gpu.names:
        if gpu.devices:
            return error(
                "driver",
                f"The kernel has {gpu.devices} NVIDIA device(s), and nvidia-smi is not there.",
                "A container without the driver's tools: it was started without the GPU runtime.",
                "Start it with --gpus all (or the driver's capability `utility`).",
            )
        return ok("driver", "no NVIDIA GPU: policies run on the CPU")
    if gpu.visible is not None and gpu.visible.strip() in ("", "-1"):
        return warning(
            "driver",
            f"CUDA_VISIBLE_DEVICES is {gpu.visible!r}: the GPU ({gpu.names[0]}) is hidden.",
            "It was set for another program in this shell.",
            "unset CUDA_VISIBLE_DEVICES",
        )
    cuda = torch.cuda if isinstance(torch, Torch) else ""
    oldest = _OLDEST_DRIVER.get(cuda.partition(".")[0])
    if oldest is not None and _numbers(gpu.driver) < oldest:
        return error(
            "driver",
            f"Driver {gpu.driver} is too old for torch's CUDA {cuda}.",
            f"CUDA {cuda.partition('.')[0]} needs driver {oldest[0]}.{oldest[1]} or newer.",
            f"Update the driver, or take a torch for it: {_torch_again()}",
        )
    return ok("driver", f"{', '.join(gpu.names)}; driver {gpu.driver}")


def judge_torch(torch: Torch | Lost, gpu: Gpu | Lost) -> Finding:
    if isinstance(torch, Lost):
        return error(
            "torch",
            f"torch could not be tried: {torch.how}.",
            "Its CUDA libraries and the driver do not get on, or the memory ran out.",
            f"Try it alone: python -c 'import torch'. Install it again: {_torch_again()}",
        )
    if not torch.version:
        return warning(
            "torch",
            "torch is not installed: no policy can be loaded.",
            "robotd was installed without the policy extra.",
            f"Install it: {install_again('policy')}",
        )
    if torch.error and not torch.available and not torch.cuda:
        return error(
            "torch",
            f"torch {torch.version} cannot be imported: {_line(torch.error)}.",
            "A shared library is missing, or parts of two versions are mixed.",
            _torch_again(),
        )
    there = isinstance(gpu, Gpu) and bool(gpu.names)
    if not there:
        return ok("torch", f"torch {torch.version} on the CPU")
    if not torch.cuda:
        return error(
            "torch",
            f"torch {torch.version} was built without CUDA: policies run on the CPU, beside a GPU.",
            "The CPU wheel was installed, as some indexes give it first.",
            _torch_again(),
        )
    if not torch.available:
        return error(
            "torch",
            f"torch {torch.version} (CUDA {torch.cuda}) sees no GPU: {_line(torch.error)}.",
            "The driver is older than its CUDA, CUDA_VISIBLE_DEVICES hides the GPU, or the user "
            "may not open /dev/nvidia*.",
            f"See `driver` above; else: {_torch_again()}",
        )
    for capability in torch.capabilities:
        if not runs_on(torch.built, capability):
            name = f"sm_{capability[0]}{capability[1]}"
            return error(
                "torch",
                f"torch {torch.version} has no code for this GPU ({name}; it was built for "
                f"{', '.join(torch.built)}).",
                "The GPU is newer than this build (or older than it still supports): the first "
                "kernel fails with `no kernel image`.",
                _torch_again(),
            )
    if torch.tf32 == "1":
        return warning(
            "torch",
            f"torch {torch.version}, CUDA {torch.cuda}: every float32 product is rounded to TF32.",
            "NVIDIA_TF32_OVERRIDE=1 is set, which stands above what any program asks for; a policy "
            "in float32 then differs from its original by 1e-3.",
            "unset NVIDIA_TF32_OVERRIDE",
        )
    return ok("torch", f"torch {torch.version}, CUDA {torch.cuda}, built for this GPU")


def runs_on(built: tuple[str, ...], capability: tuple[int, int]) -> bool:
    """Whether a build with these architectures runs on a GPU of this capability.

    Binary code runs on its own major version from its minor version on; `compute_…` (PTX) is
    compiled by the driver for everything newer. NVIDIA: CUDA Programming Guide, "Compatibility".
    """
    for each in built:
        kind, _, digits = each.partition("_")
        number = digits.rstrip("af")  # sm_90a runs on 9.0 alone
        if not number.isdigit():
            continue
        major, minor = int(number[:-1]), int(number[-1])
        if digits != number:
            if (major, minor) == capability:
                return True
        elif kind == "compute":
            if (major, minor) <= capability:
                return True
        elif major == capability[0] and minor <= capability[1]:
            return True
    return False


def judge_jax(jax: Jax | Lost, gpu: Gpu | Lost) -> list[Finding]:
    """Two findings: the pair with numpy, and where it computes."""
    if isinstance(jax, Lost):
        lost = error(
            "jax",
            f"JAX could not be tried: {jax.how}.",
            "Its CUDA plugin and the driver do not get on (known with WSL2), or memory ran out.",
            "Try it on the CPU: JAX_PLATFORMS=cpu python -c 'import jax; print(jax.devices())'",
        )
        return [lost]
    if not jax.version:
        return [ok("jax", "not installed; only --against jax and --backend jax need it")]
    problem = pair_problem(jax.version, jax.numpy, jax.needs_numpy, jax.error)
    if problem is not None:
        return [error("jax", *problem)]
    pair = ok("jax", f"jax {jax.version} with numpy {jax.numpy}")
    if jax.backend == "cpu" and isinstance(gpu, Gpu) and gpu.names:
        return [
            pair,
            warning(
                "jax device",
                f"JAX computes on the CPU, though there is a GPU ({gpu.names[0]}).",
                f"Its CUDA plugin {jax.plugin} does not start."
                if jax.plugin
                else "jax was installed without its CUDA plugin; it says nothing about that.",
                uv_pip("install", f"jax[cuda12]=={jax.version}"),
            ),
        ]
    return [pair, ok("jax device", f"{jax.devices} × {jax.backend}")]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _line(text: str) -> str:
    return " ".join(text.split())[:240].rstrip(".") or "it does not say why"
