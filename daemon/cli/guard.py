"""Watch control, and bring the arm down when it is silent or dead. For systemd's own unit.

The daemon starts a guard by itself; this one stands beside it in a unit of its own, so that nothing
that ends the daemon ends the guard. It opens no device and writes nothing while control ticks.
"""

import argparse
import os
import sys

from robotd import paths


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, help="the robot's name")


def run(args: argparse.Namespace) -> int:
    runtime = str(paths.runtime_dir(args.name))
    module = ["-m", "daemon.guard", "--runtime", runtime, "--stay"]
    os.execv(sys.executable, [sys.executable, *module])
