"""`robotd dataset list`: every dataset under LeRobot's home, a line each."""

import argparse

import msgspec

from daemon.cli.main import add_json
from dataset.settled import settle_all
from robotd import paths


def configure(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import catalog
    from daemon.recorder.gathered import offer

    home = paths.lerobot_home()
    settle_all(home)
    summaries = catalog.list_datasets(home)
    if args.json:
        print(msgspec.json.encode(summaries).decode())
        return 0
    if not summaries:
        print(f"No datasets in {home}. Record one: robotd record --task TEXT, or robotd demo.")
    for each in summaries:
        print(f"{each.repo_id:40} {each.episodes:5} episodes {each.frames:8} frames {each.fps} fps")
        if said := offer(each.repo_id, each.joinable_files):
            print(f"  {said}")
    return 0
