"""Which device a policy runs on, in torch's words."""

import os
from typing import Any

from robotd.errors import CheckpointError


def choose_device(torch: Any, wanted: str) -> str:
    """Torch's name of the device after trying it; `auto` is the GPU where there is one.

    Raises CheckpointError.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:  # what torch raises without CUDA or with a typo
        raise CheckpointError(
            f"There is no device {wanted!r} to run the policy on: {error}",
            "The GPU is not there, its driver is too old for this torch, or the name is wrong.",
            "Set policy.device to auto or cpu, or look at nvidia-smi.",
        ) from error
    return wanted


def keep_float32(torch: Any) -> str:
    """Let float32 products on a GPU be float32 products; what prevents it, in words, else empty.

    TF32 keeps 10 of float32's 23 bits, so two implementations of one network agree to 1e-3 at best.
    Torch's default is not to use it, but LeRobot's Pi0 and its trainer switch it on for their whole
    process, which may be this one. NVIDIA's own variable stands above what a program says.
    """
    torch.set_float32_matmul_precision("highest")
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "1":
        return "NVIDIA_TF32_OVERRIDE=1 makes TF32 of it"
    return ""
