"""Software stop: no goal passes, the arm freezes and is let down; again: limp now.

It goes through shared memory, past the daemon's broker, and works also when the daemon is dead and
only control still holds the arm. It is not an emergency stop: the plug is. With several robots and
no --name it stops all of them.
"""

import argparse
import os
import time
from pathlib import Path

from daemon.cli.main import add_name
from daemon.guard.report import ReportReader
from robotd import paths
from robotd.errors import DaemonError
from robotd.stop_all import Press, counters, press_all


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)


def run(args: argparse.Namespace) -> int:
    name = args.name or os.environ.get("ROBOTD_NAME")
    roots = paths.runtime_roots()
    folders = counters(roots, name)
    if not folders:
        there = ", ".join(sorted({each.name for each in counters(roots)})) or "none"
        raise DaemonError(
            f"No robot{f' named {name!r}' if name else ''} has a software stop to press here "
            f"(there is: {there}).",
            "None was started, or it runs as another user.",
            "To stop an arm that moves now: pull the plug of the servo supply.",
        )
    pressed = press_all(folders)
    for folder, press in zip(folders, pressed, strict=True):
        print(_words(press, folder), flush=True)
    if any(press.state is None for press in pressed):
        return 1
    print("The plug is the emergency stop. When it is safe: robotd clear.")
    return 0


def _words(press: Press, runtime: Path) -> str:
    if press.error:
        return f"{press.name}: the software stop cannot be pressed ({press.error}): PULL THE PLUG"
    if press.state is None and _guard_has(runtime):
        return (
            f"{press.name}: pressed; control does not answer, and the guard is letting the arm down. "
            "If it moves all the same: PULL THE PLUG"
        )
    if press.state is None:
        return f"{press.name}: pressed, but control does not answer: PULL THE PLUG"
    return (
        f"{press.name}: software stop, control is in {press.state.name.lower()}. "
        "Pressed again while stopped: limp at once."
    )


def _guard_has(runtime: Path) -> bool:
    """Whether the arm is in the guard's hands, or about to be."""
    reader = ReportReader(runtime)
    report = reader.read(time.monotonic_ns())
    reader.close()
    return report is not None and report.state.at_work
