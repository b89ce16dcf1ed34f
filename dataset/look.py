"""`robotd dataset info NAME|FOLDER`: what one dataset holds."""

import argparse

import msgspec

from daemon.cli.main import add_json
from dataset.place import dataset_at
from dataset.settled import settled


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import catalog

    found = catalog.read_info(settled(dataset_at(args.dataset)))
    if args.json:
        print(msgspec.json.encode(found).decode())
    else:
        for name, value in msgspec.structs.asdict(found).items():
            print(f"{name:14} {_text(value)}")
    return 0


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(["", *(f"  {key}: {item}" for key, item in value.items())])
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
