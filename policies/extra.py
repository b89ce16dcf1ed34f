"""What a person is told when the policy extra is not installed (the light set has no torch)."""

from robotd.errors import CheckpointError
from robotd.installed import install_again


def extra_missing(error: ImportError) -> CheckpointError:
    """The error for a checkpoint that cannot be loaded because `error` says a package is absent."""
    return CheckpointError(
        f"No policy can be loaded: {error}.",
        "robotd was installed without the policy extra (the light set, without torch).",
        f"Install it (about 3 GB): {install_again('policy')}. Then load again.",
    )
