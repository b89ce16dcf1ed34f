"""`robotd dataset undo NAME [--to TAG]`: take back the last change, or all since a tag.

A change is a delete, relabel, merge, compact, tag or the recording of an episode.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from daemon.cli.main import add_json
from dataset.consent import add_consent, agreed
from dataset.place import dataset_at
from dataset.settled import settled
from robotd.errors import StateError

if TYPE_CHECKING:
    from daemon.recorder.transaction import Commit


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    parser.add_argument("--to", metavar="TAG", help="everything since this tag was given")
    add_consent(parser, "undo without asking")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder.history import changes
    from daemon.recorder.transaction import read_commits

    root = settled(dataset_at(args.dataset, editable=True))
    chosen = since(changes(read_commits(root)), args.to, root)
    for change in chosen:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(change.wall_ns / 1e9))
        print(f"{when}  {said(change)}", file=sys.stderr)
    if not agreed(args, f"Undo {'these' if len(chosen) > 1 else 'this'} in {root}?"):
        return 1
    for change in chosen:
        take_back(root, change)
    if args.json:
        undone = [{"change": each.journal_id, "what": said(each)} for each in chosen]
        print(msgspec.json.encode({"undone": undone}).decode())
    else:
        print(f"{len(chosen)} undone.")
    return 0


def since(done: Sequence["Commit"], tag: str | None, root: Path) -> list["Commit"]:
    """What is to be taken back, the newest first: the last change, or all after that tag.

    Raises StateError when there is none.
    """
    if tag is None:
        chosen = list(done[-1:])
    else:
        places = [place for place, each in enumerate(done) if each.tag == tag]
        if not places:
            raise StateError(
                f"{root} has no tag {tag}.",
                "It is misspelt, or was undone.",
                "robotd dataset tag NAME lists them.",
            )
        chosen = list(reversed(done[places[-1] + 1 :]))
    if not chosen:
        raise StateError(
            f"There is nothing to undo in {root}.",
            "robotd changed nothing in it, or everything was undone.",
            "robotd dataset info shows what it holds.",
        )
    return chosen


def take_back(root: Path, change: "Commit") -> "Commit":
    """Undo `change`, the last one. Raises StateError or DatasetError, nothing changed."""
    from daemon.recorder import edits
    from daemon.recorder.removal import remove_last

    if change.kind == "keep":
        return remove_last(root, journal_id=change.journal_id)
    return edits.undo(root, change, time.time_ns)


def said(change: "Commit") -> str:
    """A change in words."""
    if change.kind == "keep":
        return f"recording of episode {change.episode_index} ({change.rows} frames)"
    return f"{change.verb} ({change.about})"
