"""Whether the hub's client is there (the extra `upload` brings it), and how it is to be imported."""

import os
from importlib.util import find_spec

from robotd.errors import StateError
from robotd.installed import install_again


def check_installed() -> None:
    """Raise StateError when the hub's client is not installed. Imports nothing of it."""
    if find_spec("huggingface_hub") is None:
        raise StateError(
            "Uploading needs huggingface_hub, and it is not installed.",
            "robotd was installed without the extra `upload`.",
            f"Install it: {install_again('upload')}",
        )


def prepare_environment() -> None:
    """What the hub's client reads when it is imported: no Xet, no bars. Call it before that."""
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
