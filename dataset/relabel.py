"""`robotd dataset relabel NAME --episodes a-b --task TEXT --success yes|no|none --note TEXT`.

The task is what LeRobot and the policies read, so its tables are written anew. Success and notes
are robotd's and lie beside the episodes; a note of "" takes one away.
"""

import argparse
import time
from typing import Any

import msgspec

from daemon.cli.main import add_json
from dataset.consent import add_consent, agreed
from dataset.numbers import numbers_in, words
from dataset.place import dataset_at
from dataset.settled import settled
from robotd.errors import StateError

_SUCCESS = {"yes": True, "no": False, "none": None}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    parser.add_argument("--episodes", required=True, metavar="INDEX[,a-b]", help="which, from 0")
    parser.add_argument("--task", metavar="TEXT", help="what the arm was to do")
    parser.add_argument("--success", choices=tuple(_SUCCESS), help="how it went")
    parser.add_argument("--note", metavar="TEXT", help="anything else")
    add_consent(parser, "relabel without asking")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import catalog, edits
    from daemon.recorder.schema import check_task
    from daemon.recorder.sidecar import Relabel

    root = settled(dataset_at(args.dataset, editable=True))
    numbers = numbers_in(args.episodes)
    edits.check_numbers(numbers, len(catalog.read_info(root).lengths), root)
    says: dict[str, Any] = {}
    if args.success is not None:
        says["success"] = _SUCCESS[args.success]
    if args.note is not None:
        says["note"] = args.note
    if args.task is not None:
        check_task(args.task)
    elif not says:
        raise StateError(
            "Nothing was said of these episodes.",
            "None of --task, --success and --note was given.",
            "Give one: robotd dataset relabel NAME --episodes 3-5 --success no.",
        )
    parts = [f"task {args.task!r}"] if args.task is not None else []
    parts += [f"{name} {getattr(args, name)!r}" for name in says]
    about = f"{words(numbers)}: {', '.join(parts)}"
    if not agreed(args, f"Relabel {about} in {root}?"):
        return 1
    commit = edits.relabel(root, numbers, args.task or "", Relabel(**says), about, time.time_ns)
    if args.json:
        found = {"relabelled": sorted(numbers), "change": commit.journal_id}
        print(msgspec.json.encode(found).decode())
    else:
        print(f"{about}. Back again: robotd dataset undo {args.dataset}")
    return 0
