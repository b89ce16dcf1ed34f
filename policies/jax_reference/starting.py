"""Starting JAX in a process that has other work: without its surprises, or with them in words.

JAX takes three quarters of a GPU when it starts, computes on the CPU without a word where its CUDA
plugin is missing, and fails beside the wrong numpy in a way that names neither.
"""

import os
import re
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from robotd import paths
from robotd.errors import CheckpointError
from robotd.installed import install_again, uv_pip
from robotd.jax_pair import EXTRAS, pair_problem


@dataclass(frozen=True, slots=True)
class Started:
    """JAX and the device that is to be used. `notice` is what a person should know of it."""

    jax: Any
    device: Any
    words: str
    notice: str = ""


def start_jax(wanted: str = "auto", threads: int = 0) -> Started:
    """Import JAX for `wanted` (torch's words: auto, cpu, cuda, cuda:1). `threads` bounds the CPU's,
    0 leaves it to JAX; it counts for the first start in a process only.

    Raises CheckpointError with the exact mend where JAX is absent, does not fit its numpy, or has
    not the device that was asked for by name.
    """
    # JAX reads these when it is imported. What a person has set stays.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if threads > 0:
        os.environ.setdefault("PJRT_NPROC", str(threads))
    version, numpy = _version("jax"), _version("numpy")
    if not version:
        raise CheckpointError(
            "JAX is not installed.",
            "robotd was installed without the jax extra: only --against jax and the backend jax "
            "need it.",
            f"Install it: {install_again(*EXTRAS)}",
        )
    error = ""
    library: Any = None
    try:
        library = import_module("jax")
        library.random.key(0)
    # An unfit pair raises TypeError, ImportError or AttributeError from anywhere: see jax_pair.
    except Exception as raised:  # noqa: BLE001
        error = f"{type(raised).__name__}: {raised}"
    problem = pair_problem(version, numpy, _needs_numpy(), error)
    if problem is not None:
        raise CheckpointError(*problem)
    _remember_compilations(library)
    device = _device(library, wanted)
    return Started(library, device, f"jax {version} on {_named(device)}", _notice(device, wanted))


def silent_cpu(platform: str, gpu_present: bool, version: str) -> str:
    """The sentence for a JAX that computes on the CPU of a machine with a GPU; else empty. Pure."""
    if platform != "cpu" or not gpu_present:
        return ""
    return (
        "JAX computes on the CPU, though this machine has an NVIDIA GPU: it was installed without "
        f"its CUDA plugin. {uv_pip('install', f'jax[cuda12]=={version}')}"
    )


def _device(jax: Any, wanted: str) -> Any:
    if wanted == "auto":
        return jax.devices()[0]
    kind, _, number = wanted.partition(":")
    try:
        return jax.devices(kind)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(
            f"JAX has no device {wanted!r} ({why}).",
            "jax was installed without its CUDA plugin, the driver is too old for it, or the name "
            "is wrong.",
            f"{uv_pip('install', f'jax[cuda12]=={jax.__version__}')}, or set policy.device to auto or cpu.",
        ) from error


def _notice(device: Any, wanted: str) -> str:
    if wanted == "cpu":
        return ""
    present = any(re.fullmatch(r"nvidia\d+", p.name) for p in Path("/dev").glob("nvidia*"))
    return silent_cpu(str(device.platform), present, _version("jax"))


def _named(device: Any) -> str:
    kind = str(getattr(device, "device_kind", ""))
    return "the CPU" if device.platform == "cpu" else f"{device.platform} ({kind})"


def _remember_compilations(jax: Any) -> None:
    """Compiling a Pi0 takes most of a minute: once for a machine, not once for a start."""
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(paths.cache_dir() / "jax"))


def _needs_numpy() -> str:
    return next((n for n in metadata.requires("jax") or () if re.match(r"numpy\b[^;]*$", n)), "")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
