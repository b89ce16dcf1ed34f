"""`robotd ckpt convert PATH --to lerobot|openpi`: the same policy in the other one's files."""

import argparse
import sys
from pathlib import Path

from policies.checkpoint.verbs.options import add_checkpoint, say


def configure(parser: argparse.ArgumentParser) -> None:
    add_checkpoint(parser)
    parser.add_argument("--to", required=True, choices=("lerobot", "openpi"))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")


def run(args: argparse.Namespace) -> int:
    from policies.checkpoint.convert import convert

    made = convert(
        args.path,
        args.to,
        args.out.expanduser(),
        lora_alpha=args.lora_alpha,
        asset_id=args.asset,
    )
    sys.stderr.write(f"{made.kind} for {args.to}, {len(made.tensors)} tensors\n")
    say(str(made.path))
    return 0
