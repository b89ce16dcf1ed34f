"""Checkpoints that are here: robotd's cache and the hub's own, with size, kind and who uses them."""

import argparse
import sys
from typing import TYPE_CHECKING

import msgspec

from policies.pulling.manifest import store_root
from policies.pulling.room import gigabytes

if TYPE_CHECKING:
    from policies.pulling.shelf import Kept


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from policies.pulling.shelf import kept

    found = kept()
    if args.json:
        sys.stdout.write(msgspec.json.encode([_row(each) for each in found]).decode() + "\n")
    elif not found:
        sys.stdout.write(
            f"nothing was pulled (robotd ckpt pull NAME puts it into {store_root()})\n"
        )
    else:
        sys.stdout.write("\n".join(_line(each) for each in found) + "\n")
        total = sum(each.here_bytes for each in found)
        sys.stdout.write(f"{len(found)} checkpoints, {gigabytes(total)}\n")
    return 0


def _row(each: "Kept") -> dict[str, object]:
    return {
        "name": each.name,
        "revision": each.revision,
        "asked": each.asked,
        "kind": each.kind,
        "cache": each.cache,
        "path": str(each.path),
        "size_bytes": each.size_bytes,
        "here_bytes": each.here_bytes,
        "complete": each.complete,
        "pulled_at": each.pulled_at,
        "used_by": list(each.used_by),
    }


def _line(each: "Kept") -> str:
    state = "" if each.complete else f"  {100 * each.here_bytes // max(1, each.size_bytes)} % here"
    cache = "" if each.cache == "robotd" else "  in the hub's cache"
    used = f"  used by {', '.join(each.used_by)}" if each.used_by else ""
    return (
        f"{each.name}@{each.revision[:12]}  {each.kind or '-'}  {gigabytes(each.size_bytes)}"
        f"{state}{cache}{used}\n  {each.path}"
    )
