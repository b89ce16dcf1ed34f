"""`robotd ckpt inspect PATH`: what a checkpoint is. Reads no weights."""

import argparse

import msgspec

from policies.checkpoint.verbs.options import add_checkpoint, resolve, say


def configure(parser: argparse.ArgumentParser) -> None:
    add_checkpoint(parser)
    parser.add_argument("--tokenizer", default="", help="PaliGemma's tokenizer, a file or folder")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    from policies.checkpoint.describe import describe, lines

    said = describe(
        resolve(args), lora_alpha=args.lora_alpha, asset_id=args.asset, tokenizer=args.tokenizer
    )
    say(msgspec.json.encode(said).decode() if args.json else "\n".join(lines(said)))
    return 0
