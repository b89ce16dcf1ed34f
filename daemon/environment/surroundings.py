"""Judgement on what surrounds the model: drawing, video, text output, pins, room, hub. Pure,
but for the line that installs."""

from daemon.environment.facts import Gl, Hub, Lost, Pins, Room, Stdio, Video
from daemon.environment.finding import Finding, error, ok, warning
from robotd.installed import install_again, uv_pip

_GB = 1e9
_PI0_BYTES = int(7.1e9)
"""A Pi0 in bfloat16: 7.0 GB on disk as in memory; its JAX container about as much."""
_SOFTWARE = ("llvmpipe", "softpipe", "swrast")
_EPHEMERAL = ("overlay", "overlayfs", "tmpfs", "ramfs")
_TRUE = ("1", "true", "yes", "on")


def judge_gl(tried: tuple[Gl | Lost, ...], wanted: str, egl_device: str) -> Finding:
    """Whether the twin can draw. `wanted` is MUJOCO_GL, `egl_device` MUJOCO_EGL_DEVICE_ID."""
    works = next((each for each in tried if isinstance(each, Gl) and not each.error), None)
    if egl_device and not egl_device.strip().isdigit():
        return error(
            "gl",
            f"MUJOCO_EGL_DEVICE_ID is {egl_device!r}, which is no device number.",
            "It was copied from CUDA_VISIBLE_DEVICES, or has a list in it.",
            "unset MUJOCO_EGL_DEVICE_ID, or give one number: 0 is the first GPU.",
        )
    if works is None:
        said = "; ".join(_said(each) for each in tried)
        if egl_device and "MUJOCO_EGL_DEVICE_ID" in said:
            return error(
                "gl",
                f"MUJOCO_EGL_DEVICE_ID is {egl_device}, and EGL has no such device ({said}).",
                "EGL counts its devices by itself: in a container or with CUDA_VISIBLE_DEVICES "
                "there are fewer than nvidia-smi shows.",
                "unset MUJOCO_EGL_DEVICE_ID, or set it to 0.",
            )
        return error(
            "gl",
            f"Nothing can be drawn off screen here ({said}).",
            f"MUJOCO_GL={wanted} forces a backend that does not work."
            if wanted
            else "Mesa's libraries for drawing off screen are not installed.",
            "unset MUJOCO_GL"
            if wanted
            else "On Debian or Ubuntu: sudo apt-get install libegl1 libgl1 libgl1-mesa-dri",
        )
    if any(word in works.renderer.lower() for word in _SOFTWARE):
        return ok("gl", f"{works.backend}: {works.renderer} (in software; slow, but right)")
    return ok("gl", f"{works.backend}: {works.renderer or 'works'}")


def judge_video(video: Video | Lost) -> Finding:
    if isinstance(video, Lost):
        return error(
            "video",
            f"The video decoders could not be tried: {video.how}.",
            "The FFmpeg libraries of the system and of torchcodec do not get on.",
            f"{uv_pip('uninstall', 'torchcodec')}: LeRobot then decodes with PyAV, which has its own.",
        )
    if not video.av or video.av_error:
        return error(
            "video",
            f"PyAV cannot be used: {video.av_error or 'it is not installed'}.",
            "The environment is not robotd's, or was changed after it was made.",
            f"Put it back: {install_again(reinstall='av')}",
        )
    if video.torchcodec and video.torchcodec_error:
        return warning(
            "video",
            f"torchcodec {video.torchcodec} does not load: "
            f"{' '.join(video.torchcodec_error.split())[:160]}.",
            "It needs the FFmpeg of the system, in a version it knows (4 to 8). LeRobot 0.6 decodes "
            "with PyAV then; its streaming datasets and older releases fail at the first picture.",
            f"sudo apt-get install ffmpeg, or {uv_pip('uninstall', 'torchcodec')} (PyAV is used then), or "
            "give LeRobot --dataset.video_backend=pyav.",
        )
    if not video.torchcodec:
        return ok("video", f"PyAV {video.av}")
    return ok("video", f"torchcodec {video.torchcodec}, PyAV {video.av}")


def judge_stdio(stdio: Stdio | Lost) -> Finding:
    if isinstance(stdio, Lost):
        return error(
            "stdio",
            f"Python could not be started again: {stdio.how}.",
            "The environment of this shell breaks Python (PYTHONHOME, PYTHONPATH).",
            "unset PYTHONHOME PYTHONPATH",
        )
    wrong = [each for each in (stdio.stdout, stdio.stderr) if not _utf8(each)]
    if not wrong:
        return ok("stdio", "UTF-8")
    cause = ", ".join(f"{name}={value}" for name, value in stdio.variables.items())
    return error(
        "stdio",
        f"Python writes in {wrong[0]}, not UTF-8.",
        "A library that prints a check mark while it loads a policy fails at that print, and one "
        f"that swallows it goes on with random weights. Set here: {cause or 'nothing'}.",
        "export PYTHONUTF8=1 (and unset PYTHONIOENCODING)",
    )


def judge_pins(pins: Pins | Lost) -> Finding:
    if isinstance(pins, Lost):
        return warning(
            "pins",
            f"The lock file could not be compared: {pins.how}.",
            "uv.lock was edited, or is being written.",
            "In robotd's folder: uv lock --check",
        )
    if not pins.lock:
        return ok("pins", "installed without a lock file")
    if not pins.differ:
        return ok("pins", "as in uv.lock")
    named = ", ".join(f"{name} {here} (locked {lock})" for name, here, lock in pins.differ)
    if pins.no_sync:
        return ok("pins", f"other than uv.lock, and UV_NO_SYNC keeps it so: {named}")
    return warning(
        "pins",
        f"Installed is other than uv.lock says: {named}.",
        "It was installed by hand (another torch for this GPU, say). The next plain `uv run` or "
        "`uv sync` sets it back without a word.",
        "Keep it: export UV_NO_SYNC=1 (or uv run --no-sync). Go back: uv sync.",
    )


def judge_room(room: Room | Lost) -> list[Finding]:
    """Two findings: the disk that checkpoints go to, and memory."""
    if isinstance(room, Lost):
        why = "The cache folder's disk does not answer."
        return [error("disk", f"It could not be looked at: {room.how}.", why, "Look: df -h, dmesg")]
    free = f"{room.free_bytes / _GB:.1f} GB free in {room.folder}"
    if room.free_bytes < _PI0_BYTES:
        disk = warning(
            "disk",
            f"{free}: too little for a Pi0 ({_PI0_BYTES / _GB:.0f} GB).",
            "The disk is full, or the cache lies on a small partition.",
            "See what may go: robotd ckpt list. Or put the cache elsewhere: XDG_CACHE_HOME.",
        )
    elif room.filesystem in _EPHEMERAL:
        disk = warning(
            "disk",
            f"{free}, on {room.filesystem}: what is pulled is gone with the container"
            + (" and takes its memory." if room.filesystem.endswith("mpfs") else "."),
            "This is a container, and the cache is inside of it.",
            "Mount a disk and point XDG_CACHE_HOME (and HF_HOME) there.",
        )
    else:
        disk = ok("disk", free)
    if not room.memory_bytes:
        return [disk]
    memory = f"{room.memory_free_bytes / _GB:.1f} of {room.memory_bytes / _GB:.1f} GB free"
    if room.memory_free_bytes < _PI0_BYTES:
        return [
            disk,
            warning(
                "memory",
                f"{memory}: a Pi0 in bfloat16 needs {_PI0_BYTES / _GB:.0f} GB to be read.",
                "Other programs have it, or the machine is small.",
                "Close them, or run the policy elsewhere: robotd serve-policy there, ws://… here.",
            ),
        ]
    return [disk, ok("memory", memory)]


def judge_hub(hub: Hub | Lost) -> Finding:
    if isinstance(hub, Lost):
        return warning(
            "hub",
            f"The hub's client could not be tried: {hub.how}.",
            "huggingface_hub is damaged.",
            f"Install it again: {install_again('policy', reinstall='huggingface-hub')}",
        )
    if not hub.client:
        return ok("hub", "no client installed (it comes with the policy and upload extras)")
    said = "".join(f"; {name}={value}" for name, value in hub.variables.items())
    offline = [n for n, v in hub.variables.items() if "OFFLINE" in n and v.lower() in _TRUE]
    if offline:
        return warning(
            "hub",
            f"{' and '.join(offline)} set: nothing can be pulled, only what is cached is found.",
            "It was set for a machine without network, or for one run in this shell.",
            f"unset {' '.join(offline)}",
        )
    if not hub.token:
        return ok("hub", f"no token: gated models (PaliGemma's tokenizer) stay closed{said}")
    return ok("hub", f"token from {hub.token}{said}")


def _utf8(encoding: str) -> bool:
    return encoding.lower().replace("-", "").replace("_", "") in ("utf8", "utf8sig")


def _said(each: Gl | Lost) -> str:
    return each.how if isinstance(each, Lost) else f"{each.backend}: {each.error}"
