"""Remove a checkpoint that was pulled, from robotd's cache or the hub's. Asks first."""

import argparse
import sys

import msgspec

from policies.pulling.room import gigabytes
from robotd.errors import StateError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="NAME, NAME@REVISION or its folder")
    parser.add_argument("--yes", action="store_true", help="remove without asking")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Exit status 1 when the person said no."""
    from policies.pulling.shelf import find, remove

    found = find(args.name)
    if found.used_by:
        raise StateError(
            f"{found.name} is loaded by robotd {', '.join(found.used_by)}.",
            "A running robot plays it.",
            f"Load another policy there, or stop it: robotd stop --name {found.used_by[0]}",
        )
    if not args.yes and not _agreed(
        f"Remove {found.name}@{found.revision[:12]} ({gigabytes(found.here_bytes)}) from "
        f"{found.path}? [y/N] "
    ):
        return 1
    remove(found)
    if args.json:
        said = {"removed": str(found.path), "freed_bytes": found.here_bytes}
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    else:
        sys.stdout.write(f"removed; {gigabytes(found.here_bytes)} free\n")
    return 0


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise StateError(
            "Nobody can be asked whether it may go.",
            "The input is no terminal.",
            "Say so beforehand: robotd ckpt rm NAME --yes",
        )
    sys.stderr.write(question)
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False
