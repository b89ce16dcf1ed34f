"""`python -m sim.plant --runtime DIR --options JSON`: serve a virtual SO-101 until told to stop.

Prints `READY` on one line when its devices are there. Ends on SIGTERM, on SIGINT, or when its
parent is gone.
"""

import argparse
import signal
import sys
from pathlib import Path

from robotd.errors import RobotdError
from sim.plant.options import decode_options
from sim.plant.server import PlantServer


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sim.plant", description="A virtual SO-101.")
    parser.add_argument("--runtime", type=Path, required=True, help="the robot's runtime folder")
    parser.add_argument("--options", default="{}", help="PlantOptions as JSON")
    arguments = parser.parse_args()
    stopped = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        server = PlantServer(arguments.runtime, decode_options(arguments.options))
    except RobotdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    try:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        server.serve(lambda: stopped)
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
