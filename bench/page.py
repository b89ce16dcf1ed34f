"""Puts results into docs/benchmarks.md: `robotd bench tick … --json > RESULT`, then this with RESULT.

Each kind of run has its place on the page, between two comments; what stands between them is
written anew, nothing else. So no figure on the page was typed by hand.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from bench import crash, pace, policy, probe, record, scale, soak, uploads
from robotd.errors import ConfigError

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="files of --json")
    parser.add_argument("--page", type=Path, default=PAGE, help="another page than the docs'")


def run(args: argparse.Namespace) -> int:
    text = _read(args.page)
    for file in args.results:
        try:
            report = json.loads(_read(file))
            place, lines = section(report)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{file} is not the result of a benchmark ({error}).",
                "It is empty because the run failed, or it was made without --json.",
                f"robotd bench tick --json > {file}",
            ) from error
        text = filled(text, place, lines)
        print(f"{place}: filled from {file}")
    args.page.write_text(text)
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.",
            "A typing error, or a run that was never made.",
            "robotd bench tick --json > RESULT makes one.",
        ) from error


def filled(text: str, place: str, lines: list[str]) -> str:
    """The page with `lines` in `place`. Raises ConfigError when the page has no such place."""
    begin, end = f"<!-- begin {place} -->", f"<!-- end {place} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ConfigError(
            f"The page has no place for {place}.",
            "These options are not among those that the page shows.",
            f"Run one of the commands that stand on the page, or add the lines {begin} and {end}.",
        )
    return "\n".join((before + begin, *lines, end + after))


def section(report: dict[str, Any]) -> tuple[str, list[str]]:
    """A report's place on the page and its lines there. Raises KeyError for no report."""
    on = report["machine"]
    head = [
        "",
        f"Measured {on['date']} on {on['cores']} cores of {on['cpu']}, Linux {on['kernel']}, "
        f"Python {on['python']}; load before the run {on['load_1min']:g}.",
        "",
    ]
    if "backends" in report:
        return "bus", [*head, *_bus(report), ""]
    if "keep_to_ready_ms" in report:
        return "record", [*head, *record.table(report), ""]
    if "saved_after_s" in report:
        return "pace", [*head, *pace.table(report), ""]
    if "saved_lost" in report:
        return "crash", [*head, *crash.page(report), ""]
    if "compact_s" in report:
        return "scale", [*head, *scale.table(report), ""]
    if "tags_on_incomplete" in report:
        return "uploads", [*head, *uploads.table(report), ""]
    if "jump_ratio" in report:
        return "policy", [*head, *policy.table(report), ""]
    if "checkpoints" in report:
        return ("probe-fresh" if report["round"] else "probe"), [*head, *probe.table(report), ""]
    if "processes" in report:
        return "soak", [*head, *soak.table(report), ""]
    return "-".join(("tick", str(report["hz"]), *report["load"])), [*head, *_tick(report), ""]


def _tick(report: dict[str, Any]) -> list[str]:
    rows = [("robotd", report), ("bare loop of the same run", report["bare"])]
    settings = report.get("lerobot", {}).get("settings", {})
    rows += [(f"LeRobot 0.6.1, {name}", figures) for name, figures in settings.items()]
    table = [
        f"{report['seconds']:g} s each, schedulers: "
        + ", ".join(f"{name} {how}" for name, how in report["schedulers"].items())
        + ". Period error in µs:",
        "",
        "| | missed | p50 | p99 | p99.9 | max |",
        "|---|---|---|---|---|---|",
    ]
    table += [
        f"| {name} | {each['missed']} | "
        + " | ".join(f"{each[key]:g}" for key in ("p50_us", "p99_us", "p999_us", "max_us"))
        + " |"
        for name, each in rows
    ]
    ratios = [f"p99 over the bare loop's: {report['ratio_p99']:g}"]
    for key, of in (("ratio_lerobot_best", "best setting"), ("ratio_lerobot_default", "defaults")):
        if key in report:
            ratios.append(f"LeRobot's {of} over robotd's p99: {report[key]:g}")
    ratios.append(f"work beyond wire time, p50: {report['work_p50_us']:g} µs")
    if "overhead_p50_us" in report:
        ratios.append(f"beyond the line's own answer, p50: {report['overhead_p50_us']:g} µs")
    return [*table, "", "; ".join(ratios) + "."]


def _bus(report: dict[str, Any]) -> list[str]:
    kinds = {
        f"{name}, wire {wire}, {kind.replace('_', ' ')}": figures
        for name, wires in report["backends"].items()
        for wire, reads in wires.items()
        for kind, figures in reads.items()
        if kind != "scheduler"
    }
    for kind in ("together", "one_after_the_other"):
        if "four_buses" in report:
            kinds[f"four buses {kind.replace('_', ' ')}"] = report["four_buses"][kind]
    table = [
        f"{report['transactions']} transactions of each kind, µs:",
        "",
        "| | p50 | p99 | CPU | servos' values |",
        "|---|---|---|---|---|",
    ]
    return table + [
        f"| {name} | {each['p50_us']:g} | {each['p99_us']:g} | {each['cpu_us']:g} | "
        f"{each['values']:g} |"
        for name, each in kinds.items()
    ]
