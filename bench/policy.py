"""A policy on the arm: stalls and jumps at chunk seams, the loop's time beside inference, and what a
chunk costs.

Seams are counted in virtual time, where a chunk takes exactly the time that is asked for: control,
gate, executor and twin are the daemon's own. The loop's p99 is measured in real time on the wire.
Speed of a large model is measured where there is a GPU, and nowhere else.
"""

import argparse
import json
import sys
from typing import Any

LATENCIES_MS = (0, 50, 100, 200, 300)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run, virtual or real")
    parser.add_argument(
        "--latency-ms",
        type=float,
        nargs="+",
        default=LATENCIES_MS,
        metavar="MS",
        help="what a chunk takes (default: 0 50 100 200 300)",
    )
    parser.add_argument("--against", choices=("lerobot",), help="LeRobot's own loop and model too")
    parser.add_argument(
        "--no-tick", action="store_true", help="leave out the loop's p99: it starts a daemon twice"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from bench import policy_report

    if not 5.0 <= args.seconds <= 600.0 or not all(0 <= ms <= 2_000 for ms in args.latency_ms):
        from robotd.errors import ConfigError

        raise ConfigError(
            "These numbers cannot be measured with.",
            "A run of less than five seconds has no seams, one of ten minutes says no more than one "
            "of one, and a chunk of more than two seconds outlasts itself.",
            "Give --seconds within 5 and 600 and --latency-ms within 0 and 2000.",
        )
    report = policy_report.make(args, _said)
    print(json.dumps(report) if args.json else text(report))
    return 1 if "tick_failed" in report else 0


def _said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def text(report: dict[str, Any]) -> str:
    """The report as a person reads it in a terminal."""
    lines = [f"seams at {report['fps']} Hz, {report['n_action_steps']} actions of each chunk"]
    lines.append(f"  {'policy':10} {'chunk':>7} {'seams':>6} {'stalls':>7} {'longest':>9}  jump")
    for row in report["seams"]:
        ours, naive = row["robotd"], row["naive"]
        lines.append(
            f"  {row['policy']:10} {row['inference_ms']:>4g} ms {ours['seams']:>6} "
            f"{ours['stalls']:>7} {ours['longest_ms']:>6g} ms  {ours['jump_deg']:g} deg, "
            f"naive {naive['jump_deg']:g}"
        )
        if "lerobot" in row:
            theirs = row["lerobot"]
            lines.append(
                f"  {'  LeRobot':10} {'':>7} {'':>6} {theirs['stalls']:>7} "
                f"{theirs['longest_ms']:>6g} ms"
            )
    for name, ratio in report["jump_ratio"].items():
        lines.append(f"  {name}: jump over that of naive switching {ratio:g}")
    for each in report["overhead"]:
        pictures = ", ".join(each["pictures"]) or "no pictures"
        lines.append(
            f"our path of a chunk, {each['kind']}, {pictures}: p50 "
            f"{each['ours']['p50_us'] / 1e3:g} ms, p99 {each['ours']['p99_us'] / 1e3:g} ms; "
            f"its forward {each['forward']['p50_us'] / 1e3:g} ms"
        )
    tick = report.get("tick")
    if tick is not None:
        lines.append(
            f"loop's period error p99: {tick['without']['p99_us']:g} µs without inference, "
            f"{tick['with']['p99_us']:g} with; over the bare loop beside it "
            f"{tick['without']['ratio_p99']:g} and {tick['with']['ratio_p99']:g}"
        )
    if "tick_failed" in report:
        lines.append(f"loop's period error p99: not measured: {report['tick_failed']}")
    gpu = report["gpu"]
    if gpu["gpu"] is None:
        lines.append(gpu["claim"])
    else:
        lines.append(f"{gpu['gpu']}, {gpu['what']}: {gpu['robotd']['p50_ms']:g} ms")
        if "over_bound" in gpu:
            lines.append(f"  least possible {gpu['bound_ms']:g} ms: {gpu['over_bound']:g} times it")
        if "times_faster" in gpu:
            lines.append(
                f"  LeRobot eager {gpu['lerobot_eager']['p50_ms']:g} ms: {gpu['times_faster']:g} "
                "times faster"
            )
        lines.append(f"  peak memory {gpu['robotd']['peak_over_weights']:g} times the weights")
    return "\n".join(lines)


def table(report: dict[str, Any]) -> list[str]:
    """The report as lines of the benchmarks page."""
    against = any("lerobot" in row for row in report["seams"])
    lines = [
        f"{report['seconds']:g} s of virtual time each, rows at {report['fps']} Hz, "
        f"{report['n_action_steps']} actions of each chunk:",
        "",
        "| policy | a chunk takes, ms | seams | stalls | mean jump, deg | naive, deg |"
        + (" LeRobot's stalls | longest, ms |" if against else ""),
        "|---|---|---|---|---|---|" + ("---|---|" if against else ""),
    ]
    for row in report["seams"]:
        ours, theirs = row["robotd"], row.get("lerobot")
        lines.append(
            f"| {row['policy']}, {row['actions_hz']} Hz | {row['inference_ms']:g} | "
            f"{ours['seams']} | {ours['stalls']} | {ours['jump_deg']:g} | "
            f"{row['naive']['jump_deg']:g} |"
            + ("" if theirs is None else f" {theirs['stalls']} | {theirs['longest_ms']:g} |")
        )
    ratios = (f"{name} {ratio:g}" for name, ratio in report["jump_ratio"].items())
    lines += ["", f"Jump over that of naive switching: {', '.join(ratios)}."]
    for each in report["overhead"]:
        forward = each["forward"]
        lines.append(
            f"Our path of a chunk ({each['kind']}, {', '.join(each['pictures']) or 'no pictures'}): "
            f"p50 {each['ours']['p50_us'] / 1e3:.2f} ms, p99 {each['ours']['p99_us'] / 1e3:.2f} ms"
            + (
                f" beside a forward of {forward['p50_us'] / 1e3:.1f} ms."
                if forward["samples"]
                else "."
            )
        )
    if "tick" in report:
        without, beside = report["tick"]["without"], report["tick"]["with"]
        lines.append(
            f"Loop's p99 over the bare loop's beside it: {without['ratio_p99']:g} without "
            f"inference, {beside['ratio_p99']:g} with (the bare loop's own: "
            f"{without['bare']['p99_us'] / 1e3:.1f} and {beside['bare']['p99_us'] / 1e3:.1f} ms)."
        )
    gpu = report["gpu"]
    if gpu["gpu"] is None:
        return [*lines, f"{gpu['claim'].capitalize()}."]
    lines.append(f"{gpu['gpu']}, {gpu['what']}: {gpu['robotd']['p50_ms']:g} ms a chunk.")
    return lines
