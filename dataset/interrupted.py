"""`robotd dataset recover`: decide on what was interrupted, or kept and not saved.

robotd dataset recover [--keep ID|all [--into NAME]] [--discard ID|all]
"""

import argparse
from typing import Any

import msgspec

from daemon.cli.main import add_json, add_name
from robotd.client import Robot
from robotd.errors import DatasetError, StateError
from robotd.messages import DecideInterrupted, ListInterrupted

_SAVE_TIMEOUT_S = 120.0
_LIST_TIMEOUT_S = 20.0


def configure(parser: argparse.ArgumentParser) -> None:
    verdict = parser.add_mutually_exclusive_group()
    verdict.add_argument("--keep", metavar="ID", help="save this one (or all) into its dataset")
    verdict.add_argument("--discard", metavar="ID", help="throw this one (or all) away")
    parser.add_argument("--into", metavar="NAME", help="with --keep: save it into this dataset")
    add_name(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List, or decide. Exit status 1 when an episode that was to be kept is still in no dataset."""
    if args.into and not args.keep:
        raise StateError(
            "--into says where to keep an episode, and none is to be kept.",
            "--keep was forgotten.",
            "Give both: robotd dataset recover --keep ID --into NAME.",
        )
    with Robot.connect(args.name) as robot:
        left = robot.request(ListInterrupted(), timeout_s=_LIST_TIMEOUT_S)["interrupted"]
        chosen = args.keep or args.discard
        if chosen is None:
            _show(left, args.json)
            return 0
        ids = [each["journal"] for each in left] if chosen == "all" else [chosen]
        results = [_decide(robot, journal, args) for journal in ids]
    if args.json:
        print(msgspec.json.encode({"decided": results}).decode())
    elif not ids:
        print("Nothing was interrupted, and everything kept is in its dataset.")
    return 1 if args.keep and not all(each["published"] for each in results) else 0


def _decide(robot: Robot, journal: str, args: argparse.Namespace) -> dict[str, Any]:
    request = DecideInterrupted(journal=journal, keep=bool(args.keep), into=args.into or "")
    data = robot.request(request, timeout_s=_SAVE_TIMEOUT_S)
    if not args.json:
        if data["error"]:
            print(DatasetError(data["error"], data["error_likely"], data["error_do"]))
        else:
            word = "saved" if data["published"] else "discarded (its files go when space is needed)"
            print(f"{journal}: {data['frames']} frames {word}")
    return data


def _show(left: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode({"interrupted": left}).decode())
        return
    if not left:
        print("Nothing was interrupted, and everything kept is in its dataset.")
        return
    for each in left:
        size = f"{each['frames']} frames, {each['seconds']:.1f} s"
        print(f"{each['journal']}  {each['state']}  {each['dataset']}  {size}")
        print(f"  task: {each['task']}")
        print(f"  why:  {each['why']}")
        if each["do"]:
            print(f"  do:   {each['do']}")
    print("Decide: robotd dataset recover --keep ID|all [--into NAME], or --discard ID|all")
