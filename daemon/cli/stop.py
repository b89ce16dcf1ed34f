"""Park where the way is clear, let the arm down slowly, close every file, end the daemon."""

import argparse
import sys

from daemon.cli.main import add_json, add_name
from daemon.cli.session import printable
from daemon.cli.start import stop_daemon
from robotd.client import choose_instance


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    name = choose_instance(args.name).name
    told = sys.stderr if args.json else sys.stdout
    print(f"Stopping {name}: parking, then letting the arm down …", file=told, flush=True)
    stop_daemon(name, lambda message: print(f"  {message}", file=told, flush=True))
    print(printable({"name": name, "stopped": True}) if args.json else f"{name} has stopped.")
    return 0
