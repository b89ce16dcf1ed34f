"""Which device a policy runs on, in torch's words."""

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
