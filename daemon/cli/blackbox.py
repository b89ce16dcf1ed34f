"""The black boxes: what led up to a fault, an e-stop or the death of control.

robotd blackbox list
robotd blackbox show            the newest one
robotd blackbox show ID --bus   with what passed over the servo lines around it
robotd blackbox show FOLDER     one that was copied from elsewhere
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from daemon.blackbox.folder import boxes, read_box, read_note
from daemon.blackbox.story import onset_of, tell, words
from daemon.blackbox.wire_words import transactions
from robotd import paths
from robotd.errors import DaemonError

BUS_BEFORE_S, BUS_AFTER_S = 0.1, 0.02


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    listed = actions.add_parser("list", help="the boxes, the newest first")
    shown = actions.add_parser("show", help="the story of one")
    shown.add_argument("box", nargs="?", help="its name, or a folder (default: the newest)")
    shown.add_argument("--bus", action="store_true", help="with the servo lines' bytes, decoded")
    shown.add_argument("--logs", action="store_true", help="with the last log lines")
    for each in (listed, shown):
        each.add_argument("--name", help="of which robot (default: all)")
        each.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    if args.action == "list":
        return _list(args)
    return _show(args)


def box_folders(name: str | None) -> list[Path]:
    """The boxes of one robot, or of all, the newest first."""
    chosen = name or os.environ.get("ROBOTD_NAME")
    root = paths.state_dir()
    robots = [root / chosen] if chosen else sorted(root.glob("*"))
    found = [box for robot in robots for box in boxes(robot / "blackbox")]
    return sorted(found, key=lambda box: box.name, reverse=True)


def _list(args: argparse.Namespace) -> int:
    notes = [(folder, read_note(folder)) for folder in box_folders(args.name)]
    if args.json:
        rows = [
            {"id": note.id, "robot": note.robot, "what": note.what, "folder": str(folder)}
            for folder, note in notes
        ]
        _print(msgspec.json.encode(rows).decode())
        return 0
    for _, note in notes:
        _print(f"{note.id}  {note.robot:12} {note.what}")
    if not notes:
        _print("no black box: nothing has gone wrong here")
    return 0


def _show(args: argparse.Namespace) -> int:
    box = read_box(_chosen(args.box, args.name))
    story = tell(box)
    onset = onset_of(box)
    zero_ns = int(box.ticks[onset]["deadline_ns"]) if box.ticks else box.note.monotonic_ns
    bus: list[dict[str, Any]] = []
    if args.bus:
        window = (zero_ns - int(BUS_BEFORE_S * 1e9), zero_ns + int(BUS_AFTER_S * 1e9))
        bus = [
            {"at_ms": round((stamp_ns - zero_ns) / 1e6, 2), "words": said}
            for stamp_ns, said in transactions(box.bus, box.note.lines, *window)
        ]
    if args.json:
        told = {**msgspec.to_builtins(story), "folder": str(box.folder)}
        _print(msgspec.json.encode({**told, "bus": bus} if args.bus else told).decode())
        return 0
    for line in words(story):
        _print(line)
    if args.bus:
        _print("\nthe servo lines (ms before and after):")
        for each in bus:
            _print(f"  {each['at_ms']:+9.2f}  {each['words']}")
    if args.logs:
        _print("\nthe last log lines:")
        _print((box.folder / "logs.txt").read_text(errors="replace").rstrip())
    _print(f"\nall of it: {box.folder}")
    return 0


def _chosen(name: str | None, robot: str | None) -> Path:
    """The folder of the box that is meant. Raises DaemonError when there is none."""
    if name is not None and (Path(name) / "box.json").exists():
        return Path(name)
    found = [box for box in box_folders(robot) if name in (None, box.name)]
    if found:
        return found[0]
    raise DaemonError(
        f"There is no black box {name}." if name else "There is no black box.",
        "It is one of the twenty newest only, or nothing has gone wrong yet.",
        "See robotd blackbox list.",
    )


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
