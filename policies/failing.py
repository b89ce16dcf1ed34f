"""What a policy raised while it was loaded or inferred, in words for the person at the robot.

torch is not imported here: its errors are known by their names, so that a process without it
(replay) can use the same words.
"""

import gc
import sys

from robotd.errors import CheckpointError, RobotdError

_OUT_OF_MEMORY = "OutOfMemoryError"  # torch.OutOfMemoryError, torch.cuda's older name for it
_OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory", "RESOURCE_EXHAUSTED")


def inference_failed(error: Exception) -> RobotdError:
    """Why no chunk came of an observation. A RobotdError has its own words."""
    return _in_words(error, "The policy failed while it inferred a chunk")


def loading_failed(error: Exception) -> RobotdError:
    """Why a checkpoint could not be made a policy. A RobotdError has its own words."""
    return _in_words(error, "The policy failed while it was loaded and warmed up")


def _in_words(error: Exception, what: str) -> RobotdError:
    if isinstance(error, RobotdError):
        return error
    said = str(error).strip().splitlines()
    first = said[0] if said else type(error).__name__
    if out_of_memory(error):
        return CheckpointError(
            f"{what}: there is not enough memory ({first}).",
            "The model with its activations is larger than what is free on the GPU (or in RAM on a "
            "CPU); another program holds memory there (nvidia-smi lists them).",
            "End the other program, use a smaller checkpoint or bf16, or policy.device: cpu. "
            "`robotd ckpt inspect` says what a checkpoint needs.",
        )
    return CheckpointError(
        f"{what}: {type(error).__name__}: {first}",
        "Its processors, shapes or device do not fit what the robot gives; or it is a fault of "
        "robotd.",
        "`robotd logs policy` has the whole story. `robotd ckpt verify` checks the checkpoint.",
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that caused it, says that memory ran out."""
    cause: BaseException | None = error
    while cause is not None:
        names = {each.__name__ for each in type(cause).__mro__}
        text = str(cause)
        if _OUT_OF_MEMORY in names or isinstance(cause, MemoryError):
            return True
        if isinstance(cause, RuntimeError) and any(each in text for each in _OUT_OF_MEMORY_WORDS):
            return True
        cause = cause.__cause__
    return False


def give_back_memory() -> None:
    """Free what nothing refers to any more, on the GPU too: torch keeps freed blocks for itself."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
