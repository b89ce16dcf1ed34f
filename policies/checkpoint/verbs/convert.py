"""`robotd ckpt convert PATH --to lerobot|openpi`: the same policy in the other one's files."""

import argparse
import sys
from pathlib import Path

from policies.checkpoint.verbs.options import add_checkpoint, resolve, say


def configure(parser: argparse.ArgumentParser) -> None:
    add_checkpoint(parser)
    parser.add_argument("--to", required=True, choices=("lerobot", "openpi"))
    parser.add_argument(
        "--horizon", type=int, metavar="N", help="actions of a chunk, where no file says it"
    )
    parser.add_argument(
        "--embodiment", default="", metavar="NAME|FILE", help="what a Pi0 was trained on, likewise"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")


def run(args: argparse.Namespace) -> int:
    from policies.checkpoint.container import open_container
    from policies.checkpoint.convert import convert
    from policies.pi0.settings import doubts

    path = resolve(args)
    source = open_container(path, lora_alpha=args.lora_alpha, asset_id=args.asset)
    made = convert(
        path,
        args.to,
        args.out.expanduser(),
        lora_alpha=args.lora_alpha,
        asset_id=args.asset,
        horizon=args.horizon or 0,
        embodiment=args.embodiment,
    )
    if args.to == "lerobot" and made.kind == "pi05" and made.sidecar.state_text == "none":
        sys.stderr.write("robotd plays it as it was trained; LeRobot would tell it the state\n")
    if source.is_pi0 and source.release_unsaid:  # from here on it is said as it was taken
        for doubt in doubts(source):
            sys.stderr.write(f"{doubt.what} {doubt.do}\n")
    sys.stderr.write(f"{made.kind} for {args.to}, {len(made.tensors)} tensors\n")
    say(str(made.path))
    return 0
