"""`robotd dataset compact NAME`: join the files of single episodes into files of LeRobot's sizes.

Nothing is encoded again and no frame changes. It may run while episodes are recorded into the
dataset; its own work steps back behind everybody else's.
"""

import argparse
import os
import time

import msgspec

from daemon.cli.main import add_json
from dataset.place import dataset_at
from dataset.settled import settled

_NICENESS = 10


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import edits

    root = settled(dataset_at(args.dataset, editable=True))
    os.nice(_NICENESS)
    before = edits.file_count(root)
    commit = edits.compact(root, time.time_ns)
    after = edits.file_count(root)
    if args.json:
        change = "" if commit is None else commit.journal_id
        found = {"files_before": before, "files_after": after, "change": change}
        print(msgspec.json.encode(found).decode())
    elif commit is None:
        print(f"{before} files: there is nothing to join.")
    else:
        print(f"{before} files became {after}. Back again: robotd dataset undo {args.dataset}")
    return 0
