"""Reading six servos with robotd's own bus, the vendor's SDK and rustypot, on the virtual arm.

2 and 15 bytes a servo, with a wire at 1 Mbaud and with one that takes no time; then the same with
one silent servo: what is left of the other five, and how long it takes. For the own bus also four
buses at once against one after the other.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from bench.bus_backends import BACKENDS, BLOCK, check_installed
from bench.bus_loop import Options
from bench.machine import describe
from bench.rig import Rig, helper, line, plant, rig
from sim.plant.world_client import WorldClient
from sim.plant.world_messages import ClearFaults, SetFault

WIRES = {"1mbps": False, "zero": True}
"""Name of the wire -> the plant's `zero_time`."""

_SILENT_ID = 3
_FEWER = 5  # a silent servo costs up to 34 ms a transaction
_LINES = ("left_follower", "right_follower", "left_leader", "right_leader")
_PATIENCE_S = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", choices=tuple(BACKENDS), default="own")
    parser.add_argument("--against", choices=("all",), help="the other backends too")
    parser.add_argument("--transactions", type=_count, default=400, help="of each kind")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _count(text: str) -> int:
    count = int(text)
    if not 10 <= count <= 100_000:
        raise argparse.ArgumentTypeError("10 to 100000 transactions")
    return count


def run(args: argparse.Namespace) -> int:
    chosen = list(BACKENDS) if args.against == "all" else [args.backend]
    for name in chosen:
        check_installed(name)
    with rig() as place:
        report: dict[str, Any] = {
            "machine": describe(),
            "transactions": args.transactions,
            "backends": {name: {} for name in chosen},
        }
        for wire in WIRES:
            _said(f"wire {wire}")
            for name, figures in _on_wire(place, wire, chosen, args.transactions).items():
                report["backends"][name][wire] = figures
        if "own" in chosen:
            _said("four buses")
            report["four_buses"] = _four(place, args.transactions)
    if args.json:
        print(json.dumps(report))
    else:
        _print(report)
    return 0


def _said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _on_wire(
    place: Rig, wire: str, chosen: list[str], transactions: int
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with plant(place, _options(zero_time=WIRES[wire])) as runtime:
        device = line(runtime)
        for name in chosen:
            found[name] = _loop(place, name, (device,), transactions)
        world = WorldClient(runtime)
        try:
            world.ask(SetFault(_SILENT_ID, "silent"))
            for name in chosen:
                fewer = max(2, transactions // _FEWER)
                silent = _loop(place, name, (device,), fewer, (BLOCK,))
                found[name]["one_silent"] = silent[f"read_{BLOCK}_bytes"]
            world.ask(ClearFaults())
        finally:
            world.close()
    return found


def _four(place: Rig, transactions: int) -> dict[str, Any]:
    with plant(place, _options(bimanual=True, leader=True)) as runtime:
        devices = tuple(line(runtime, arm) for arm in _LINES)
        return _loop(place, "together", devices, max(10, transactions // _FEWER))


def _options(**options: bool) -> str:
    return json.dumps({"leader": False, "realtime_priority": True, **options})


def _loop(
    place: Rig,
    what: str,
    devices: tuple[Path, ...],
    transactions: int,
    lengths: tuple[int, ...] = (),
) -> dict[str, Any]:
    named = tuple(map(str, devices))
    options = Options(what=what, devices=named, transactions=transactions)
    if lengths:
        options = msgspec.structs.replace(options, lengths=lengths)
    arguments = (msgspec.json.encode(options).decode(),)
    with helper(place.folder, "bench.bus_loop", arguments) as loop:
        figures: dict[str, Any] = json.loads(loop.ready())
        loop.finish(_PATIENCE_S)
    return figures


def _print(report: dict[str, Any]) -> None:
    print(f"{'':38} {'p50':>9} {'p99':>9} {'max':>9} {'CPU':>9}  µs   values of 6")
    for name, wires in report["backends"].items():
        for wire, kinds in wires.items():
            for kind, figures in kinds.items():
                if kind != "scheduler":
                    _row(f"{name}, {wire}, {kind.replace('_', ' ')}", figures)
    for kind in ("together", "one_after_the_other"):
        if "four_buses" in report:
            _row(f"four buses, {kind.replace('_', ' ')}", report["four_buses"][kind])


def _row(name: str, figures: dict[str, Any]) -> None:
    cells = " ".join(f"{figures[key]:>9g}" for key in ("p50_us", "p99_us", "max_us", "cpu_us"))
    print(f"{name:38} {cells}       {figures['values']:g}")
