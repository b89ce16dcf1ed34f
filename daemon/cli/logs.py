"""The last lines that robotd's processes wrote. --follow waits for more."""

import argparse
import os
import time
from pathlib import Path

from robotd import paths
from robotd.client import running_instances
from robotd.errors import DaemonError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="which robot (default: the running or the newest one)")
    parser.add_argument("process", nargs="?", help="only this process, for example control")
    parser.add_argument("-n", type=int, default=40, help="lines of each file")
    parser.add_argument("-f", "--follow", action="store_true", help="wait for more lines")


def run(args: argparse.Namespace) -> int:
    files = log_files(args.name or os.environ.get("ROBOTD_NAME"), args.process)
    for file in files:
        lines = file.read_text(errors="replace").splitlines()[-args.n :]
        for line in lines:
            print(f"{file.stem:12} {line}")
    if args.follow:
        _follow(files)
    return 0


def log_files(name: str | None, process: str | None) -> list[Path]:
    """The log files of one robot. Raises DaemonError when there are none."""
    root = paths.state_dir()
    if name is None:
        running = list(running_instances())
        folders = [root / each for each in running] or sorted(
            (each for each in root.glob("*") if (each / "logs").is_dir()),
            key=lambda each: (each / "logs").stat().st_mtime,
        )[-1:]
    else:
        folders = [root / name]
    found = [
        file
        for folder in folders
        for file in sorted((folder / "logs").glob("*.log"))
        if process in (None, file.stem)
    ]
    if not found:
        raise DaemonError(
            "There are no logs.",
            "No daemon of that name has run here, or no process of that name.",
            f"Look into {root}; start one with robotd start --sim.",
        )
    return found


def _follow(files: list[Path]) -> None:
    """Print what is appended, until Ctrl-C."""
    places = {file: file.stat().st_size for file in files}
    while True:
        for file, place in places.items():
            size = file.stat().st_size if file.exists() else 0
            if size < place:
                place = 0  # rotated
            if size > place:
                with file.open(errors="replace") as stream:
                    stream.seek(place)
                    for line in stream:
                        print(f"{file.stem:12} {line}", end="", flush=True)
            places[file] = size
        time.sleep(0.2)
