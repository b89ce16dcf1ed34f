"""`robotd dataset undo NAME`: take back the last change: a delete, relabel, compact, tag or keep."""

import argparse
import time

import msgspec

from daemon.cli.main import add_json
from dataset.consent import add_consent, agreed
from dataset.place import dataset_at
from robotd.errors import StateError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    add_consent(parser, "undo without asking")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import dataset as recorded
    from daemon.recorder import edits
    from daemon.recorder.history import changes
    from daemon.recorder.transaction import Commit, read_commits

    def said(change: Commit) -> str:
        if change.kind == "keep":
            return f"the recording of episode {change.episode_index} ({change.rows} frames)"
        return f"{change.verb} ({change.about})"

    root = dataset_at(args.dataset, editable=True)
    done = changes(read_commits(root))
    if not done:
        raise StateError(
            f"There is nothing to undo in {root}.",
            "robotd changed nothing in it, or everything was undone.",
            "robotd dataset info shows what it holds.",
        )
    last = done[-1]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(last.wall_ns / 1e9))
    if not agreed(args, f"Undo {said(last)} of {when} in {root}?"):
        return 1
    if last.kind == "keep":
        commit = recorded.remove_last(root, journal_id=last.journal_id)
    else:
        commit = edits.undo(root, last, time.time_ns)
    if args.json:
        found = {"undone": last.journal_id, "what": said(last), "change": commit.journal_id}
        print(msgspec.json.encode(found).decode())
    else:
        print(f"Undone: {said(last)}.")
    return 0
