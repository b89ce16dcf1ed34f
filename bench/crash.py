"""`robotd bench crash`: kill the recorder, the power and the disk at seeded moments; is anything lost?

Lock-step lives (bench.crashing.chain) strike at a chosen change of the file system; a few real-time ones
(bench.crashing.daemon) kill the processes of a whole daemon in turn. After each crash everything is
recovered as a new start does it, and read with LeRobot's own loader.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import describe
from robotd.errors import ConfigError

if TYPE_CHECKING:
    from bench.crashing.chain import Kill

_MEMORY = Path("/dev/shm")

type Say = Callable[[str], None]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=_count, default=200, help="crashes (default 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chain", type=int, help="live only this chain: one that failed before")
    parser.add_argument(
        "--daemon",
        type=int,
        default=1,
        metavar="ROUNDS",
        help="rounds in which each process of a real daemon is killed in turn (default 1)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1_000_000:
        raise argparse.ArgumentTypeError("1 to 1000000")
    return number


def run(args: argparse.Namespace) -> int:
    """Exit code 1 when anything was lost, or did not behave."""
    if not hasattr(os, "pidfd_open"):
        raise ConfigError(
            "Crashes cannot be measured on this system.",
            "Lives are forked, watched and killed as Linux does it.",
            "Run it on Linux (or in WSL2).",
        )
    machine = describe()
    report = measure(args.kills, args.seed, _said, chain=args.chain, rounds=args.daemon)
    report = {"machine": machine} | report
    print(json.dumps(report) if args.json else table(report))
    return 1 if report["failures"] else 0


def _said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(
    kills: int,
    seed: int,
    say: Say,
    *,
    chain: int | None = None,
    rounds: int = 0,
    prepare: Path | None = None,
) -> dict[str, Any]:
    """Strike `kills` times and look; the report as JSON-able values.

    `prepare` is a Python file that is run in the process that lives are forked from: a test breaks
    the recorder there, to see that it is noticed. The first failure then ends the run.
    """
    began_s = time.monotonic()
    os.environ["HF_HUB_OFFLINE"] = "1"  # before LeRobot is imported: nothing here asks the network
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="robotd-crash-", dir=memory))
    try:
        tally = _Tally(folder, say)
        if chain is None and rounds:
            tally.daemons(seed, rounds, kills)
        tally.chains(kills, seed, chain, prepare)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tally.report() | {"seed": seed, "wall_s": round(time.monotonic() - began_s, 1)}


class _Tally:
    """Adds up what the crashes cost."""

    def __init__(self, folder: Path, say: Say) -> None:
        from bench.crashing.check import Reader

        say("importing LeRobot")
        self._folder = folder
        self._say = say
        self._reader = Reader(folder / "lerobot-cache")
        self._kills: list[Kill] = []
        self._saved = 0
        self._max_loss_s = 0.0

    def daemons(self, seed: int, rounds: int, kills: int) -> None:
        """Kill the processes of a real daemon in turn."""
        from bench.crashing.daemon import VICTIMS, Daemons

        daemons = Daemons(self._reader, seed, self._say)
        daemons.live(min(rounds * len(VICTIMS), kills))
        self._add(daemons.kills, daemons.saved, daemons.max_unsaved_loss_s)

    def _add(self, kills: Sequence["Kill"], saved: int, max_unsaved_loss_s: float) -> None:
        self._kills += kills
        self._saved += saved
        self._max_loss_s = max(self._max_loss_s, max_unsaved_loss_s)
        for kill in kills:
            for what in kill.wrong:
                self._say(f"chain {kill.chain}, {kill.kind} in {kill.where}: {what}")

    def chains(self, kills: int, seed: int, only: int | None, prepare: Path | None) -> None:
        """Live chain after chain until there were `kills` crashes; or the one that is named."""
        from bench.crashing.chain import CHAIN_KILLS, World
        from bench.crashing.fork import zygote

        number = 0 if only is None else only
        began_s = told_s = time.monotonic()
        first = len(self._kills)
        with zygote(self._folder, "bench.crashing.life", prepare) as warm:
            while len(self._kills) < kills:
                world = World(warm, self._reader, self._folder, seed, number)
                left = kills - len(self._kills)
                lived = world.live(CHAIN_KILLS if only is not None else left)
                self._add(lived.kills, lived.saved, lived.max_unsaved_loss_s)
                number += 1
                now_s = time.monotonic()
                if now_s - told_s > 5.0:
                    told_s, done = now_s, len(self._kills) - first
                    left_s = (now_s - began_s) / max(done, 1) * (kills - len(self._kills))
                    self._say(f"{len(self._kills)} of {kills}, {left_s:.0f} s left")
                if only is not None or (prepare and any(each.wrong for each in lived.kills)):
                    break

    def report(self) -> dict[str, Any]:
        kinds = dict.fromkeys(kill.kind for kill in self._kills)
        return {
            "kills": len(self._kills),
            "saved": self._saved,
            "saved_lost": sum(kill.lost for kill in self._kills),
            "max_unsaved_loss_s": round(self._max_loss_s, 3),
            "dataset_loads": self._reader.loads,
            "kinds": {kind: self._of(kind) for kind in kinds},
            "during": dict(Counter(kill.where.split(" ")[0] for kill in self._kills).most_common()),
            "failures": [
                {
                    "chain": kill.chain,
                    "kill": kill.number,
                    "kind": kill.kind,
                    "where": kill.where,
                    "wrong": kill.wrong,
                }
                for kill in self._kills
                if kill.wrong
            ],
        }

    def _of(self, kind: str) -> dict[str, int]:
        kills = [kill for kill in self._kills if kill.kind == kind]
        return {
            "kills": len(kills),
            "saved_lost": sum(kill.lost for kill in kills),
            "failures": sum(bool(kill.wrong) for kill in kills),
        }


def page(report: dict[str, Any]) -> list[str]:
    """The report's lines on the page of the docs."""
    lines = [
        f"{report['kills']} crashes, seed {report['seed']}, in {report['wall_s']:.0f} s: "
        f"{report['saved']} episodes saved, {report['saved_lost']} of them lost; at most "
        f"{report['max_unsaved_loss_s']:g} s lost of a running one; {report['dataset_loads']} "
        f"loads by LeRobot; {len(report['failures'])} crashes not survived.",
        "",
        "| | crashes | saved episodes lost | not survived |",
        "|---|---|---|---|",
    ]
    return lines + [
        f"| {kind} | {each['kills']} | {each['saved_lost']} | {each['failures']} |"
        for kind, each in report["kinds"].items()
    ]


def table(report: dict[str, Any]) -> str:
    """The report for a person."""
    lines = [
        f"{report['kills']} crashes, {report['saved']} episodes saved, {report['saved_lost']} of them"
        f" lost; at most {report['max_unsaved_loss_s']:.2f} s of a running one;"
        f" {report['dataset_loads']} loads by LeRobot"
    ]
    lines += [
        f"  {kind}: {each['kills']}, of which {each['failures']} not survived"
        for kind, each in report["kinds"].items()
    ]
    lines += [
        f"robotd bench crash --seed {report['seed']} --chain {each['chain']}: {each['kind']} in"
        f" {each['where']}: {'; '.join(each['wrong'])}"
        for each in report["failures"]
    ]
    return "\n".join([*lines, f"in {report['wall_s']:.0f} s"])
