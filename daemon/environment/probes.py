"""The probes: each looks at one thing in a process of its own and prints what it found as JSON.

Run as `python -m daemon.environment.probes NAME`. Imports are inside, because the import is what is
being tried. Whatever a library prints goes to stderr: stdout is the answer's.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import metadata
from pathlib import Path

import msgspec

from daemon.environment.facts import Gl, Gpu, Hub, Jax, Pins, Room, Stdio, Torch, Video
from robotd import paths

HUB_VARIABLES = (
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
)
_STDIO_VARIABLES = ("PYTHONIOENCODING", "PYTHONUTF8", "LC_ALL", "LC_CTYPE", "LANG")
_PINNED = ("torch", "torchvision", "lerobot", "numpy", "jax", "jaxlib", "transformers", "mujoco")
_SMI_TIMEOUT_S = 20.0


def stdio() -> Stdio:
    return Stdio(
        stdout=sys.stdout.encoding or "",
        stderr=sys.stderr.encoding or "",
        filesystem=sys.getfilesystemencoding(),
        variables=_set(_STDIO_VARIABLES),
    )


def gpu() -> Gpu:
    devices = len([p for p in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", p.name)])
    wsl = Path("/dev/dxg").exists()
    names: list[str] = []
    driver = error = ""
    if shutil.which("nvidia-smi") is not None:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        done = subprocess.run(
            query, capture_output=True, text=True, timeout=_SMI_TIMEOUT_S, check=False
        )
        if done.returncode == 0:
            rows = [line.rsplit(",", 1) for line in done.stdout.splitlines() if "," in line]
            names = [name.strip() for name, _ in rows]
            driver = rows[0][1].strip() if rows else ""
        else:
            error = (done.stdout + done.stderr).strip()
    return Gpu(
        devices=devices,
        names=tuple(names),
        driver=driver,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        wsl=wsl,
        error=error,
    )


def torch() -> Torch:
    version = _version("torch")
    if not version:
        return Torch()
    try:
        import torch as library

        available = bool(library.cuda.is_available())
        error = ""
        count = 0
        try:
            if library.version.cuda:
                library.cuda.init()
            count = library.cuda.device_count() if available else 0
        except (RuntimeError, AssertionError) as why:  # the driver's own words
            error = str(why)
        return Torch(
            version=version,
            cuda=library.version.cuda or "",
            available=available,
            built=tuple(library.cuda.get_arch_list()) if available else (),
            capabilities=tuple(library.cuda.get_device_capability(n) for n in range(count)),
            tf32=os.environ.get("NVIDIA_TF32_OVERRIDE", ""),
            error=error,
        )
    except (ImportError, OSError) as why:  # OSError: a shared library that is not there
        return Torch(version=version, error=f"{type(why).__name__}: {why}")


def jax() -> Jax:
    version = _version("jax")
    if not version:
        return Jax(numpy=_version("numpy"))
    needs = next((n for n in metadata.requires("jax") or () if re.match(r"numpy\b[^;]*$", n)), "")
    plugin = _version("jax-cuda12-plugin") or _version("jax-cuda13-plugin")
    # Three quarters of a GPU would be taken for a look.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    backend = error = ""
    devices = 0
    try:
        import jax as library

        library.random.key(0)
        backend, devices = str(library.default_backend()), len(library.devices())
    # Whatever an unfit pair raises (TypeError, ImportError, AttributeError, …) is what is looked for.
    except Exception as why:  # noqa: BLE001
        error = f"{type(why).__name__}: {why}"
    return Jax(
        version=version,
        numpy=_version("numpy"),
        needs_numpy=needs,
        plugin=plugin,
        backend=backend,
        devices=devices,
        error=error,
    )


def gl(backend: str) -> Gl:
    """Try one of MuJoCo's backends: a context, made current, and its renderer's name."""
    try:
        context = importlib.import_module(f"mujoco.{backend}").GLContext(64, 64)
        context.make_current()
        opengl = importlib.import_module("OpenGL.GL")
        name = opengl.glGetString(opengl.GL_RENDERER)
        context.free()
    # Each backend fails in its own way, and each way is the answer.
    except Exception as why:  # noqa: BLE001
        return Gl(backend=backend, error=f"{type(why).__name__}: {why}"[:400])
    return Gl(backend=backend, renderer=(name or b"").decode(errors="replace"))


def video() -> Video:
    return Video(
        torchcodec=_version("torchcodec"),
        torchcodec_error=_failure("torchcodec.decoders") if _version("torchcodec") else "",
        av=_version("av"),
        av_error=_failure("av") if _version("av") else "",
    )


def pins() -> Pins:
    lock = Path(__file__).parents[2] / "uv.lock"
    no_sync = os.environ.get("UV_NO_SYNC", "").lower() in ("1", "true", "yes", "on")
    if not lock.exists():
        return Pins(no_sync=no_sync)
    locked = {
        each["name"]: str(each["version"])
        for each in tomllib.loads(lock.read_text()).get("package", [])
        if each["name"] in _PINNED and "version" in each
    }
    found = {name: _version(name) for name in locked}
    return Pins(
        lock=str(lock),
        differ=tuple(
            (name, found[name], version)
            for name, version in locked.items()
            if found[name] and found[name].split("+")[0] != version.split("+")[0]
        ),
        no_sync=no_sync,
    )


def room() -> Room:
    folder = paths.cache_dir()
    there = next(each for each in (folder, *folder.parents) if each.exists())
    memory = _meminfo()
    return Room(
        folder=str(folder),
        filesystem=paths.filesystem_of(there),
        free_bytes=shutil.disk_usage(there).free,
        memory_bytes=memory.get("MemTotal", 0),
        memory_free_bytes=memory.get("MemAvailable", 0),
    )


def hub() -> Hub:
    client = _version("huggingface-hub")
    token = ""
    if os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN"):
        token = "HF_TOKEN"
    elif client:
        from huggingface_hub import get_token

        token = "hf auth login" if get_token() else ""
    return Hub(client=client, token=token, variables=_set(HUB_VARIABLES))


def _meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes; nothing where there is none (macOS)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    rows = [line.split() for line in lines]
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3}


def _set(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _failure(module: str) -> str:
    """What importing a module raises; empty when it works."""
    try:
        importlib.import_module(module)
    # A library that is not there comes as OSError or RuntimeError as often as as ImportError.
    except Exception as why:  # noqa: BLE001
        return f"{type(why).__name__}: {why}"[:400]
    return ""


PROBES: dict[str, Callable[[], msgspec.Struct]] = {
    "stdio": stdio,
    "gpu": gpu,
    "torch": torch,
    "jax": jax,
    "video": video,
    "pins": pins,
    "room": room,
    "hub": hub,
}
GL = "gl:"


def main() -> int:
    name = sys.argv[1]
    with redirect_stdout(sys.stderr):
        found = gl(name.removeprefix(GL)) if name.startswith(GL) else PROBES[name]()
    sys.__stdout__.buffer.write(msgspec.json.encode(found))  # type: ignore[union-attr]
    return 0


if __name__ == "__main__":
    sys.exit(main())
