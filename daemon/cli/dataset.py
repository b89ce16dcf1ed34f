"""Datasets where LeRobot looks for them: list all, look into one, decide on what was interrupted.

robotd dataset list
robotd dataset info NAME
robotd dataset recover [--keep ID|all [--into NAME]] [--discard ID|all]
"""

import argparse
from typing import Any

import msgspec

from daemon.cli.main import add_json, add_name
from robotd import paths
from robotd.client import Robot
from robotd.errors import DatasetError, StateError
from robotd.messages import DecideInterrupted, ListInterrupted

_SAVE_TIMEOUT_S = 120.0
_LIST_TIMEOUT_S = 20.0


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True)
    add_json(verbs.add_parser("list", help="every dataset on this machine"))
    info = verbs.add_parser("info", help="what one dataset holds")
    info.add_argument("dataset", help="owner/name, or a folder")
    add_json(info)
    recover = verbs.add_parser("recover", help="episodes that were interrupted or not saved")
    verdict = recover.add_mutually_exclusive_group()
    verdict.add_argument("--keep", metavar="ID", help="save this one (or all) into its dataset")
    verdict.add_argument("--discard", metavar="ID", help="throw this one (or all) away")
    recover.add_argument("--into", metavar="NAME", help="with --keep: save it into this dataset")
    add_name(recover)
    add_json(recover)


def run(args: argparse.Namespace) -> int:
    return {"list": _list, "info": _info, "recover": _recover}[args.verb](args)


def _info(args: argparse.Namespace) -> int:
    from daemon.recorder import catalog

    found = catalog.read_info(catalog.dataset_root(paths.lerobot_home(), args.dataset))
    if args.json:
        print(msgspec.json.encode(found).decode())
    else:
        for name, value in msgspec.structs.asdict(found).items():
            print(f"{name:14} {_text(value)}")
    return 0


def _list(args: argparse.Namespace) -> int:
    from daemon.recorder import catalog

    home = paths.lerobot_home()
    summaries = catalog.list_datasets(home)
    if args.json:
        print(msgspec.json.encode(summaries).decode())
        return 0
    if not summaries:
        print(f"No datasets in {home}. Record one: robotd record --task TEXT, or robotd demo.")
    for each in summaries:
        print(f"{each.repo_id:40} {each.episodes:5} episodes {each.frames:8} frames {each.fps} fps")
    return 0


def _recover(args: argparse.Namespace) -> int:
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


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(["", *(f"  {key}: {item}" for key, item in value.items())])
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
