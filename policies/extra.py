"""What a person is told when the policy extra is not installed (the light set has no torch)."""

from robotd.errors import CheckpointError


def extra_missing(error: ImportError) -> CheckpointError:
    """The error for a checkpoint that cannot be loaded because `error` says a package is absent."""
    return CheckpointError(
        f"No policy can be loaded: {error}.",
        "robotd was installed without the policy extra (the light set, without torch).",
        "Install it, in robotd's folder: uv sync --extra policy (about 3 GB). Then load again.",
    )
