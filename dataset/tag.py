"""`robotd dataset tag NAME [TAG]`: a name for the dataset as it is, to come back to; or list them.

The name stands in the dataset's commit records, and `robotd dataset undo NAME --to TAG` takes back
everything since. The tags of a format's version (v3.0), by which LeRobot loads from the hub, are
put there by the upload, when every file was verified.
"""

import argparse
import re
import time

import msgspec

from daemon.cli.main import add_json
from dataset.place import dataset_at
from dataset.settled import settled
from robotd.errors import StateError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"v\d+\.\d+")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    parser.add_argument("tag", nargs="?", help="the name; without it the tags are listed")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import swap
    from daemon.recorder.history import tags
    from daemon.recorder.source import read_source
    from daemon.recorder.transaction import read_commits

    root = settled(dataset_at(args.dataset, editable=True))
    if args.tag is not None:
        check_tag(args.tag)
        if args.tag in tags(read_commits(root)):
            raise StateError(
                f"{root} has a tag {args.tag} already.",
                "It was given before; a tag stays where it is.",
                "Choose another name.",
            )
        read_source(root)  # a name is for a dataset that can be read
        swap.put_tag(root, args.tag, time.time_ns())
    given = tags(read_commits(root))
    if args.json:
        found = [
            {"tag": name, "frames": commit.total_frames, "wall_ns": commit.wall_ns}
            for name, commit in given.items()
        ]
        print(msgspec.json.encode({"tags": found}).decode())
        return 0
    for name, commit in given.items():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(commit.wall_ns / 1e9))
        print(f"{name:24} {when}  {commit.total_frames} frames")
    if not given:
        print("No tags. Give one: robotd dataset tag NAME TAG")
    return 0


def check_tag(name: str) -> None:
    """Raise StateError for what is no name, or the hub's own."""
    if _VERSION.fullmatch(name):
        raise StateError(
            f"{name} is the tag of a version of LeRobot's format, on the hub.",
            "LeRobot loads the commit that it stands on, so it must not stand on an unverified one.",
            "robotd upload puts it there when every file was verified.",
        )
    if not _NAME.fullmatch(name):
        raise StateError(
            f"{name!r} is not a name for a tag.",
            "A tag is letters, digits and . _ -, at most 100 of them.",
            "Choose another name, for example before-cleaning.",
        )
