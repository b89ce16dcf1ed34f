"""`robotd dataset delete-episode NAME INDEX[,a-b]`: take episodes out; the rest is renumbered.

What was taken out is kept under `robotd/removed/` until space is needed: robotd dataset undo.
"""

import argparse
import time

import msgspec

from daemon.cli.main import add_json
from dataset.consent import add_consent, agreed
from dataset.numbers import numbers_in, words
from dataset.place import dataset_at
from dataset.settled import settled
from robotd.errors import StateError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    parser.add_argument("episodes", metavar="INDEX[,a-b]", help="which, counted from 0: 3 or 3,7-9")
    add_consent(parser, "delete without asking")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import catalog, edits

    root = settled(dataset_at(args.dataset, editable=True))
    lengths = catalog.read_info(root).lengths
    numbers = numbers_in(args.episodes)
    edits.check_numbers(numbers, len(lengths), root)
    if len(numbers) == len(lengths):
        raise StateError(
            f"{words(numbers)} is all that {root} holds.",
            "A dataset without an episode is none, and LeRobot opens none.",
            f"Remove its folder if you mean that: rm -r {root}",
        )
    frames = sum(lengths[number] for number in numbers)
    asked = f"Delete {words(numbers)} ({frames} frames) of {len(lengths)} in {root}?"
    if not agreed(args, asked):
        return 1
    commit = edits.delete(root, lambda _: numbers, words(numbers), time.time_ns)
    left = len(lengths) - len(numbers)
    if args.json:
        found = {"deleted": sorted(numbers), "left": left, "change": commit.journal_id}
        print(msgspec.json.encode(found).decode())
    else:
        print(
            f"{words(numbers)} deleted; {left} left. Back again: robotd dataset undo {args.dataset}"
        )
    return 0
