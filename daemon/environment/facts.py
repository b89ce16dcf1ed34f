"""What the probes found, as plain data: the judges read nothing else.

`error` is what went wrong inside a probe in its own words; empty where nothing did. A version is
empty where the package is not installed.
"""

import msgspec


class Stdio(msgspec.Struct, frozen=True, kw_only=True):
    """Encodings of a Python started in this environment, its output not a terminal."""

    stdout: str
    stderr: str
    filesystem: str
    variables: dict[str, str] = {}


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """NVIDIA's driver. `devices` are the kernel's, seen without the driver's library; `names` and
    `driver` what nvidia-smi says; `visible` is CUDA_VISIBLE_DEVICES, None where it is not set."""

    devices: int = 0
    names: tuple[str, ...] = ()
    driver: str = ""
    visible: str | None = None
    wsl: bool = False
    error: str = ""


class Torch(msgspec.Struct, frozen=True, kw_only=True):
    """`built` are the architectures in this build (`sm_90`, `compute_90`), `capabilities` those of
    the GPUs it sees (major, minor); `cuda` the version it was built for, empty without. `tf32` is
    what NVIDIA_TF32_OVERRIDE says; empty where it is not set."""

    version: str = ""
    cuda: str = ""
    available: bool = False
    built: tuple[str, ...] = ()
    capabilities: tuple[tuple[int, int], ...] = ()
    tf32: str = ""
    error: str = ""


class Jax(msgspec.Struct, frozen=True, kw_only=True):
    """`needs_numpy` is JAX's own requirement; `plugin` the CUDA plugin's version."""

    version: str = ""
    numpy: str = ""
    needs_numpy: str = ""
    plugin: str = ""
    backend: str = ""
    devices: int = 0
    error: str = ""


class Gl(msgspec.Struct, frozen=True, kw_only=True):
    """One backend that was tried. `renderer` is what the driver calls itself."""

    backend: str
    renderer: str = ""
    error: str = ""


class Video(msgspec.Struct, frozen=True, kw_only=True):
    """LeRobot's two decoders."""

    torchcodec: str = ""
    torchcodec_error: str = ""
    av: str = ""
    av_error: str = ""


class Pins(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from the lock file: (package, installed, locked). `lock` is the file's path,
    empty where robotd was not installed from its folder; `no_sync` is UV_NO_SYNC being set."""

    lock: str = ""
    differ: tuple[tuple[str, str, str], ...] = ()
    no_sync: bool = False


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """Where checkpoints go, and the memory they are loaded into (bytes; 0 where not known)."""

    folder: str
    filesystem: str = ""
    free_bytes: int = 0
    memory_bytes: int = 0
    memory_free_bytes: int = 0


class Hub(msgspec.Struct, frozen=True, kw_only=True):
    """`token` says where it comes from, empty where there is none; `variables` those that are set
    of the ones that change what the hub's client does."""

    client: str = ""
    token: str = ""
    variables: dict[str, str] = {}


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """A probe that brought nothing back: it hung, died or raised."""

    how: str
