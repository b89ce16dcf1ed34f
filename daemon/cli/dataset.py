"""Datasets where LeRobot looks for them: list all, or look into one.

robotd dataset list
robotd dataset info NAME
"""

import argparse

import msgspec

from daemon.cli.main import add_json
from robotd import paths


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True)
    add_json(verbs.add_parser("list", help="every dataset on this machine"))
    info = verbs.add_parser("info", help="what one dataset holds")
    info.add_argument("dataset", help="owner/name, or a folder")
    add_json(info)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import catalog

    home = paths.lerobot_home()
    if args.verb == "info":
        found = catalog.read_info(catalog.dataset_root(home, args.dataset))
        if args.json:
            print(msgspec.json.encode(found).decode())
        else:
            for name, value in msgspec.structs.asdict(found).items():
                print(f"{name:14} {_text(value)}")
        return 0
    summaries = catalog.list_datasets(home)
    if args.json:
        print(msgspec.json.encode(summaries).decode())
        return 0
    if not summaries:
        print(f"No datasets in {home}. Record one: robotd record --task TEXT, or robotd demo.")
    for each in summaries:
        print(f"{each.repo_id:40} {each.episodes:5} episodes {each.frames:8} frames {each.fps} fps")
    return 0


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(["", *(f"  {key}: {item}" for key, item in value.items())])
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
