"""How well the loop keeps time: the intervals between goal writes on the wire, beside a bare loop of
the same run and, on request, LeRobot on the same wire.

Both sides are judged by one measure: a process above control's priority passes every byte between
the servos and whoever moves them and stamps each goal write; the error of a period is the
difference of two stamps less the period.
"""

import argparse
import json
import sys
from typing import Any

RATES_HZ = (120, 250)
LOADS = ("encode", "policy")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=30.0, help="of measurement, each side")
    parser.add_argument(
        "--hz", type=int, choices=RATES_HZ, help="120 (default), or 250; a real arm has its own"
    )
    parser.add_argument(
        "--load",
        type=_loads,
        default=(),
        metavar="encode,policy",
        help="two 640x480 streams being encoded, the shipped ACT on the CPU, or both",
    )
    parser.add_argument("--bare", action="store_true", help="only the bare loop, without a robot")
    parser.add_argument("--against", choices=("lerobot",), help="LeRobot on the same wire too")
    parser.add_argument("--robot", metavar="NAME", help="a configured real arm; it moves by 5 deg")
    parser.add_argument("--yes", action="store_true", help="with --robot: take the arm, unasked")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _loads(text: str) -> tuple[str, ...]:
    chosen = tuple(each for each in text.split(",") if each)
    wrong = [each for each in chosen if each not in LOADS]
    if wrong:
        raise argparse.ArgumentTypeError(f"no load {wrong[0]!r}; there are: {', '.join(LOADS)}")
    return chosen


def run(args: argparse.Namespace) -> int:
    from bench import tick_report

    if not 1.0 <= args.seconds <= 3_600.0:
        from robotd.errors import ConfigError

        raise ConfigError(
            f"--seconds {args.seconds:g} cannot be measured.",
            "A second is the least that says something about p99; an hour is the longest.",
            "Give a number within 1 and 3600; 30 is the default.",
        )
    report = tick_report.make(args, _said)
    if args.json:
        print(json.dumps(report))
    else:
        _print(report)
    return 0


def _said(line: str) -> None:
    """Progress, beside the result."""
    print(line, file=sys.stderr, flush=True)


def _print(report: dict[str, Any]) -> None:
    print(
        f"{report['hz']} Hz, {report['seconds']:g} s, load: {', '.join(report['load']) or 'none'}"
    )
    print(f"  {'':34} {'missed':>7} {'p50':>9} {'p99':>9} {'p99.9':>9} {'max':>9}  µs")
    if "p50_us" in report:
        _row("robotd, period error", report)
    _row("bare loop of the same run", report["bare"])
    for name, figures in report.get("lerobot", {}).get("settings", {}).items():
        _row(f"LeRobot, {name}", figures)
    if "work_p50_us" in report:
        print(f"  work beyond wire time, p50: {report['work_p50_us']:g} µs; of a tick, p50/p99:")
        stages = (f"{k} {v['p50_us']:g}/{v['p99_us']:g}" for k, v in report["stages"].items())
        print(f"  {', '.join(stages)} µs")
    for key, of in (
        ("ratio_p99", "bare loop's p99"),
        ("ratio_lerobot_best", "p99 of LeRobot's best setting over robotd's"),
        ("ratio_lerobot_default", "p99 of LeRobot's defaults over robotd's"),
    ):
        if report.get(key) is not None:
            print(f"  {of if of.startswith('p99') else 'p99 over the ' + of}: {report[key]:g}")


def _row(name: str, figures: dict[str, Any]) -> None:
    cells = " ".join(f"{figures[key]:>9g}" for key in ("p50_us", "p99_us", "p999_us", "max_us"))
    print(f"  {name:34} {figures.get('missed', ''):>7} {cells}")
