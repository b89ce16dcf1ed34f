"""All probes, each in a child with a time limit, side by side; what they found in one place.

A child that hangs is a finding like any other: a GPU's driver that does not answer is found this
way. stdio is probed with its output into a pipe, as a program's load messages are in a service.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from daemon.environment.facts import Gl, Gpu, Hub, Jax, Lost, Pins, Room, Stdio, Torch, Video
from daemon.environment.probes import GL

TIMEOUT_S = 90.0
"""Importing torch takes twenty seconds from a slow disk; nothing healthy takes a minute and a half."""

Ask = Callable[[str], bytes | Lost]
"""Runs the probe of that name; its answer, or how it was lost."""


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, or how the probe was lost. `gl` has every backend that was tried."""

    stdio: Stdio | Lost
    gpu: Gpu | Lost
    torch: Torch | Lost
    jax: Jax | Lost
    gl: tuple[Gl | Lost, ...]
    gl_wanted: str
    egl_device: str
    video: Video | Lost
    pins: Pins | Lost
    room: Room | Lost
    hub: Hub | Lost


def survey(ask: Ask | None = None) -> Survey:
    """Run every probe. Takes as long as the slowest of them."""
    ask = ask_child if ask is None else ask
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    backends = (wanted,) if wanted else _platform_backends()
    names = ["stdio", "gpu", "torch", "jax", "video", "pins", "room", "hub"]
    with ThreadPoolExecutor(max_workers=2) as pool:
        answers = dict(
            zip(
                [*names, *(GL + each for each in backends)],
                pool.map(ask, [*names, *(GL + each for each in backends)]),
                strict=True,
            )
        )
    return Survey(
        stdio=_read(answers["stdio"], Stdio),
        gpu=_read(answers["gpu"], Gpu),
        torch=_read(answers["torch"], Torch),
        jax=_read(answers["jax"], Jax),
        gl=tuple(_read(answers[GL + each], Gl) for each in backends),
        gl_wanted=wanted,
        egl_device=os.environ.get("MUJOCO_EGL_DEVICE_ID", ""),
        video=_read(answers["video"], Video),
        pins=_read(answers["pins"], Pins),
        room=_read(answers["room"], Room),
        hub=_read(answers["hub"], Hub),
    )


def ask_child(name: str, timeout_s: float = TIMEOUT_S) -> bytes | Lost:
    """The probe in a child of its own. Killed when it does not come back."""
    command = [sys.executable, "-m", "daemon.environment.probes", name]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return Lost(how=f"it did not come back within {timeout_s:g} s")
    if done.returncode < 0:
        return Lost(how=f"it died of signal {-done.returncode}")
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return Lost(how=f"it ended with {done.returncode}: {''.join(last)[:300]}")
    return done.stdout


def _read[Found: msgspec.Struct](answer: bytes | Lost, kind: type[Found]) -> Found | Lost:
    if isinstance(answer, Lost):
        return answer
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.DecodeError as error:
        return Lost(how=f"it answered nonsense: {error}")


def _platform_backends() -> tuple[str, ...]:
    """What robotd tries, in its order (`sim.model.render`)."""
    return ("cgl", "glfw") if sys.platform == "darwin" else ("egl", "osmesa", "glfw")
