"""The uploader's process: behind everything else of this machine, deaf to a hang-up.

`python -m uploads` works on the queue until nothing is left. Started by `robotd upload` and by
`robotd.uploading.wake_uploader`; by systemd as `robotd upload work`. Never by hand.
"""

import argparse
import contextlib
import ctypes
import logging
import os
import platform
import signal
import sys

from robotd.errors import StateError
from uploads.installed import check_installed, prepare_environment
from uploads.patience import Patience

_NICE = 19
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IOPRIO_WHO_PROCESS, _IOPRIO_IDLE = 1, 3 << 13  # linux/ioprio.h: class 3 is idle, shifted by 13


def main(argv: list[str]) -> int:
    """Run the uploader; returns the exit status."""
    patience = Patience()
    parser = argparse.ArgumentParser(prog="python -m uploads", description=__doc__)
    parser.add_argument("--first-wait-s", type=float, default=patience.first_s)
    parser.add_argument("--longest-wait-s", type=float, default=patience.longest_s)
    parser.add_argument(
        "--waits", action="store_true", help="while another one runs, and go on with what it leaves"
    )
    args = parser.parse_args(argv)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stand_back()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        check_installed()
    except StateError as error:
        logging.error("%s", error)
        return error.exit_code
    prepare_environment()
    from uploads.worker import run_uploader

    return run_uploader(Patience(args.first_wait_s, args.longest_wait_s), waits=args.waits)


def stand_back() -> None:
    """Take the lowest priority for the processor and, on Linux, the idle class for the disk."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    number = _IOPRIO_SET.get(platform.machine())
    if sys.platform == "linux" and number is not None:
        ctypes.CDLL(None, use_errno=True).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_IDLE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
