"""One life of the uploader, in a process of its own that may be killed at any instant."""

import logging
import os
import sys
from pathlib import Path

import msgspec

from bench.crashing.fork import serve
from daemon.recorder.info import TASKS
from uploads.installed import prepare_environment
from uploads.patience import Patience

_PATIENCE = Patience(first_s=0.002, longest_s=0.02)
"""Back-off as in earnest, a thousand times quicker."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Run until nothing is left; `kill_after_s` below 0 is never. The process's id goes to `pid`."""

    pid: str
    kill_after_s: float = -1.0


def live(order: Order) -> None:
    """Work on the queue as `python -m uploads` does."""
    from uploads.worker import run_uploader

    Path(order.pid).write_text(str(os.getpid()))
    run_uploader(_PATIENCE)


def warm(place: Path) -> None:
    """Import what every life needs."""
    logging.basicConfig(level=logging.ERROR)
    prepare_environment()
    import huggingface_hub.file_download
    import huggingface_hub.lfs
    import huggingface_hub.utils.tqdm
    import pyarrow.parquet

    import uploads.worker
    from daemon.recorder import layout
    from uploads.hub import trusted

    trusted()
    (place / "meta").mkdir()
    layout.write_tasks(place / TASKS, ["warm"])
    layout.read_tasks(place)  # pyarrow imports pandas for it, where that is installed
    del huggingface_hub, pyarrow, uploads


if __name__ == "__main__":
    sys.exit(serve(live, Order, warm, sys.argv[1:]))
