"""Options that several verbs of `robotd ckpt` share."""

import argparse
import sys
from pathlib import Path


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """PATH and what its files cannot say."""
    add_path(parser)
    parser.add_argument("--asset", default="", metavar="ID", help="which of openpi's assets/ is it")
    parser.add_argument(
        "--lora-alpha", type=float, metavar="N", help="alpha of its LoRA (openpi's own: the rank)"
    )


def add_path(parser: argparse.ArgumentParser) -> None:
    """PATH alone."""
    parser.add_argument(
        "path",
        metavar="PATH",
        help="a checkpoint's folder, a training run's, or the name of one that was pulled",
    )


def resolve(args: argparse.Namespace) -> Path:
    """`args.path` as the folder it stands for, from now on. Raises CheckpointError."""
    from policies.pulling.shelf import local_folder

    args.path = local_folder(str(args.path))
    folder: Path = args.path
    return folder


def say(text: str) -> None:
    """A line on stdout."""
    sys.stdout.write(text + "\n")
