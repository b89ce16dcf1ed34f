"""The runs behind `robotd bench tick`, put together into its JSON."""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import bare, lerobot_side, real_arm, robotd_side
from bench.figures import ratio, spread
from bench.line_workers import hurried
from bench.machine import describe
from bench.rig import BARE_PRIORITY, LINE_PRIORITY, Rig, helper, rig
from drivers import framer
from drivers.registers import TELEMETRY_LENGTH
from robotd.clock import NS_PER_S
from robotd.errors import ConfigError

Said = Callable[[str], None]
_DEFAULT_HZ = 120
_PATIENCE_S = 30.0
_WIRE_NS = framer.sync_read_duration_ns(TELEMETRY_LENGTH, 6)


def make(args: argparse.Namespace, said: Said) -> dict[str, Any]:
    """Run what was asked for and return the report."""
    return {"machine": describe()} | _make(args, said)


def _make(args: argparse.Namespace, said: Said) -> dict[str, Any]:
    if args.robot is not None:
        _refuse_with_a_robot(args)
        hz, measured = real_arm.measure(args.robot, args.seconds, args.yes, said)
        return _head(args, hz) | figures(measured, _WIRE_NS)
    hz = args.hz or _DEFAULT_HZ
    with rig() as place, hurried(LINE_PRIORITY) as workers:
        if args.bare:
            return _head(args, hz) | {"bare": _bare_alone(place, hz, args.seconds, said)}
        work = robotd_side.Work(hz, args.seconds, "encode" in args.load, "policy" in args.load)
        report = _head(args, hz) | figures(robotd_side.measure(place, work, said), _WIRE_NS)
        if args.against is not None:
            report |= compared(report, lerobot_side.measure(place, work, said))
        report["schedulers"]["line_workers"] = workers.scheduler
    return report


def _head(args: argparse.Namespace, hz: int) -> dict[str, Any]:
    return {"hz": hz, "seconds": args.seconds, "load": list(args.load)}


def figures(measured: robotd_side.Measured, wire_ns: int) -> dict[str, Any]:
    """robotd's figures beside the bare loop's. `work_p50_us`: what a tick takes beyond the time that
    the wire is busy with its telemetry at 1 Mbaud; `overhead_p50_us`: beyond the time that the line
    took to answer, by the wire recorder (the plant's own lateness is not robotd's). On a real wire
    there is no recorder: then control's own stamps are judged, and there is no such overhead."""
    kept = measured.kept
    recorded = "wire_recorder" in measured.schedulers
    overhead = {"overhead_p50_us": spread(measured.beyond_wire_ns).p50_us} if recorded else {}
    work = spread(kept.work_ns)
    return {
        "measured_by": "wire recorder" if recorded else "control",
        "missed": kept.missed,
        **kept.errors.as_json(),
        "work_p50_us": round(work.p50_us - wire_ns / 1e3, 1) if work.samples else 0.0,
        **overhead,
        "wire_us": wire_ns / 1e3,
        "stages": {
            stage: {"p50_us": each.p50_us, "p99_us": each.p99_us}
            for stage, each in kept.stages.items()
        },
        "unmatched": kept.unmatched,
        "bare": {"missed": measured.bare_missed, **measured.bare.as_json()},
        "ratio_p99": ratio(kept.errors.p99_us, measured.bare.p99_us),
        "slices": measured.slices,
        "schedulers": measured.schedulers,
    }


def compared(ours: dict[str, Any], settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """LeRobot's settings, its best by p99, and how many times larger its p99 is than robotd's."""
    best = min(settings.values(), key=lambda each: float(each["p99_us"]))
    return {
        "lerobot": {"settings": settings, "p99_us": best["p99_us"], "max_us": best["max_us"]},
        "ratio_lerobot_best": ratio(best["p99_us"], ours["p99_us"]),
        "ratio_lerobot_default": ratio(settings["default"]["p99_us"], ours["p99_us"]),
    }


def _bare_alone(place: Rig, hz: int, seconds: float, said: Said) -> dict[str, Any]:
    said(f"the bare loop alone, {seconds:g} s")
    start_ns = time.monotonic_ns() + NS_PER_S
    slices = ((start_ns, start_ns + round(seconds * NS_PER_S)),)
    out = place.folder / "bare.json"
    arguments = ("--hz", str(hz), "--priority", str(BARE_PRIORITY), "--out", str(out))
    with helper(place.folder, "bench.bare", (*arguments, "--slices", json.dumps(slices))) as loop:
        scheduler = loop.ready()
        loop.finish(seconds + _PATIENCE_S)
    stamped = json.loads(out.read_text())
    judged = bare.judge(np.asarray(stamped["stamps"], np.int64), slices, hz)
    return {"missed": stamped["missed"], **judged.as_json(), "scheduler": scheduler}


def _refuse_with_a_robot(args: argparse.Namespace) -> None:
    """Raise ConfigError for what a real arm cannot be measured with."""
    given = [
        name
        for name, there in (
            ("--load", bool(args.load)),
            ("--against", args.against is not None),
            ("--bare", args.bare),
            ("--hz", args.hz is not None),
        )
        if there
    ]
    if given:
        raise ConfigError(
            f"{given[0]} does not go with --robot.",
            "Loads and LeRobot are measured on the virtual arm, where both have the same wire, and a "
            "real arm's rate stands in its configuration.",
            f"Leave out {', '.join(given)}, or leave out --robot.",
        )
