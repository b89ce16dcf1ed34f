"""`robotd dataset info NAME`: what one dataset holds."""

import argparse

import msgspec

from daemon.cli.main import add_json
from robotd import paths


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="owner/name, or a folder")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import catalog

    found = catalog.read_info(catalog.dataset_root(paths.lerobot_home(), args.dataset))
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
