"""Options that several verbs of `robotd ckpt` share."""

import argparse
import sys
from pathlib import Path


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """PATH and what its files cannot say."""
    parser.add_argument(
        "path", type=Path, metavar="PATH", help="a checkpoint's folder, or a training run's"
    )
    parser.add_argument("--asset", default="", metavar="ID", help="which of openpi's assets/ is it")
    parser.add_argument(
        "--lora-alpha", type=float, metavar="N", help="alpha of its LoRA (openpi's own: the rank)"
    )


def say(text: str) -> None:
    """A line on stdout."""
    sys.stdout.write(text + "\n")
