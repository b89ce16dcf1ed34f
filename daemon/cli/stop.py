"""Park where the way is clear, let the arm down slowly, close every file, end the daemon."""

import argparse

from daemon.cli.main import add_name
from daemon.cli.start import stop_daemon
from robotd.client import choose_instance


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)


def run(args: argparse.Namespace) -> int:
    name = choose_instance(args.name).name
    print(f"Stopping {name}: parking, then letting the arm down …", flush=True)
    stop_daemon(name)
    print(f"{name} has stopped.")
    return 0
