"""The daemon at its work for half an hour: does any process grow, is any tick missed?

A session on the simulated arm in a loop: sway and record for six seconds, keep or throw the episode
away, hold for two. Two cameras of 640x480 at 30 Hz are encoded (see `drivers.cameras.synthetic`).
Each process is looked at in the hold of a round, when nothing is being saved. The first third (at most ten minutes)
does not count: until then rings, caches and the session's list of fifty episodes fill. What a process grew by meanwhile
is told beside its slope.
A fault of the arm (on a busy machine the simulated line may be silent for a moment) is told, cleared, and work goes on.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.growth import LIMIT_MB_PER_HOUR, Sample, judge, sample
from bench.line_workers import hurried
from bench.machine import describe
from bench.rig import LINE_PRIORITY, NAME, Rig, rig
from bench.robotd_side import arm_and_home, sway_about_here
from daemon.cli.start import start_daemon, stop_daemon
from robotd.client import Robot
from robotd.errors import DaemonError, StateError
from robotd.layouts import tick_layout
from robotd.messages import (
    Clear,
    CloseSession,
    DiscardEpisode,
    KeepEpisode,
    OpenSession,
    StartEpisode,
)
from robotd.shm import RingReader

_RECORD_S = 6.0
_HOLD_S = 2.0
_EVERY = 8  # one round of so many is kept, the rest thrown away: half an hour leaves no gigabytes
_KEPT, _STILL_SAVED = 5, 6  # which of them; in the next it may be on its way into the dataset yet
_WARM_UP_S = (
    600.0  # twin and supervisor were flat after nine minutes, of a session's fifty episodes
)
_PATIENCE_S = 60.0
_FAULTS = 20  # of the arm, each cleared by hand as it were; more of them are no work
_ATTEMPTS = 5
_JOINTS = (0, 4)
_SWAY_RAD = 0.35


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=_minutes, default=30.0)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0.2 <= minutes <= 10_080:
        raise argparse.ArgumentTypeError("0.2 minutes to a week (10080)")
    return minutes


def run(args: argparse.Namespace) -> int:
    with rig() as place, hurried(LINE_PRIORITY) as workers:
        report = {"machine": describe()} | _soak(place, args.minutes)
        report["line_workers"] = workers.scheduler
    if args.json:
        print(json.dumps(report))
    else:
        _print(report)
    return 0 if report["good"] is not False else 1


def _soak(place: Rig, minutes: float) -> dict[str, Any]:
    camera = {"device": "synthetic", "width": 640, "height": 480, "fps": 30}
    file = place.folder / f"{NAME}.yaml"
    settings = {
        "extends": "so101-sim",
        "name": NAME,
        "arms": {"arm": {"leader": None}},
        "cameras": {"overhead": camera, "wrist": camera},
        "recording": {"fps": 30},
    }
    file.write_text(json.dumps(settings))
    _said("starting the daemon with its body in MuJoCo")
    start_daemon(NAME, simulated=True, config=str(file))
    try:
        with Robot.connect(NAME) as robot:
            arm_and_home(robot)
            ticks = RingReader(robot.runtime / "ticks", tick_layout(len(robot.instance.joints)))
            missed_before = _missed(ticks)
            samples, faults = _rounds(robot, minutes * 60.0)
            missed = _missed(ticks) - missed_before
            ticks.close()
    finally:
        _said("parking, letting the arm down, ending the daemon")
        stop_daemon(NAME)
    processes = judge(samples, min(_WARM_UP_S, minutes * 20.0))
    if not processes:
        raise DaemonError(
            "No process could be looked at.",
            "This system has no /proc, or hides other processes in it.",
            "Run it on Linux.",
        )
    verdicts = [each["good"] for each in processes.values()]
    return {
        "minutes": minutes,
        "limit_mb_per_hour": LIMIT_MB_PER_HOUR,
        "missed": missed,
        "faults": [asdict(each) for each in faults],
        "processes": processes,
        "good": None if None in verdicts else all(verdicts),
    }


@dataclass(frozen=True, slots=True)
class _Fault:
    """The arm went to fault: when, in whose words, and how loaded the machine was."""

    at_min: float
    words: str
    load: float


def _rounds(robot: Robot, seconds: float) -> tuple[dict[str, list[Sample]], list[_Fault]]:
    """What every process was at the end of each round, and the faults that were cleared on the
    way. Raises DaemonError when there are too many of them."""
    samples: dict[str, list[Sample]] = {}
    faults: list[_Fault] = []
    robot.request(
        OpenSession(dataset="local/robotd_soak", task="soak", episodes=100_000),
        timeout_s=_PATIENCE_S,
    )
    began_s = time.monotonic()
    number = 0
    while (at_s := time.monotonic() - began_s) < seconds:
        _said(f"round {number + 1}, {at_s / 60:.1f} of {seconds / 60:g} min")
        try:
            _round(robot, kept=number % _EVERY == _KEPT)
        except StateError:
            words = robot.status().fault
            if not words:
                raise
            faults.append(_Fault(at_s / 60.0, words, os.getloadavg()[0]))
            _said(f"the arm went to fault: {words} (load {faults[-1].load:.1f})")
            if len(faults) > _FAULTS:
                raise DaemonError(
                    f"The arm went to fault {len(faults)} times in {at_s / 60:.0f} minutes: "
                    f"{words}.",
                    "The machine is too busy for the arm's processes.",
                    "Run it where nothing else does.",
                ) from None
            _go_on(robot)
        saving = number % _EVERY in (_KEPT, _STILL_SAVED)
        looked_at = {} if saving else _processes(robot)
        for name, pid in looked_at.items():
            seen = sample(pid, time.monotonic() - began_s)
            if seen is not None:
                samples.setdefault(name, []).append(seen)
        number += 1
    robot.request(CloseSession(), timeout_s=_PATIENCE_S)
    return samples, faults


def _round(robot: Robot, *, kept: bool) -> None:
    robot.request(StartEpisode(), timeout_s=_PATIENCE_S)
    with sway_about_here(robot, _JOINTS, _SWAY_RAD):
        time.sleep(_RECORD_S)
    robot.request(KeepEpisode() if kept else DiscardEpisode(), timeout_s=_PATIENCE_S)
    time.sleep(_HOLD_S)


def _go_on(robot: Robot) -> None:
    """Do what a person does after a fault: throw the episode away, clear, arm."""
    if robot.status().recording.phase == "recording":
        robot.request(DiscardEpisode(), timeout_s=_PATIENCE_S)
    for attempt in range(_ATTEMPTS):
        try:
            if robot.status().state == "fault":
                robot.request(Clear(), timeout_s=_PATIENCE_S)
            arm_and_home(robot)
            return
        except (StateError, DaemonError):
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(2.0)


def _processes(robot: Robot) -> dict[str, int]:
    """The robot's processes by name."""
    children = msgspec.json.decode(Path(robot.runtime / "children.json").read_bytes())
    return {"supervisor": robot.instance.pid} | {each["name"]: each["pid"] for each in children}


def _missed(ticks: RingReader) -> int:
    newest = ticks.latest()
    return 0 if newest is None else int(newest["missed_ticks"])


def _said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print(report: dict[str, Any]) -> None:
    print(f"{report['minutes']:g} min, {report['missed']} ticks missed")
    for each in report["faults"]:
        print(f"  fault at {each['at_min']:.1f} min, load {each['load']:.1f}: {each['words']}")
    print(f"  {'':16} {'resident':>10} {'warm-up':>10} {'slope':>20} {'descriptors':>12}")
    for name, each in report["processes"].items():
        resident = "-" if each["resident_mb"] is None else f"{each['resident_mb']:.1f} MB"
        mark = _verdict(each)
        slope = f"{each['slope_mb_per_hour']:+.2f} ± {each['slope_error_mb_per_hour']:.2f} MB/h"
        warm = f"{each['warm_up_mb']:+.1f} MB"
        print(
            f"  {name:16} {resident:>10} {warm:>10} {slope:>20} {each['descriptors']:>12}  {mark}"
        )
    print(f"  limit: {report['limit_mb_per_hour']:g} MB/h a process, and no more descriptors")


def _verdict(process: dict[str, Any]) -> str:
    if process["good"] is None:
        return "too short to say"  # for how far it swings
    if process["good"]:
        return "ok"
    return "GROWS" if process["starts"] == 1 else "STARTED AGAIN"


def table(report: dict[str, Any]) -> list[str]:
    """A result's lines on the page."""
    faults = [
        f"- Fault of the arm after {each['at_min']:.1f} minutes: {each['words']} "
        f"(load {each['load']:.1f})."
        for each in report["faults"]
    ]
    lines = [
        f"{report['minutes']:g} minutes, {report['missed']} ticks missed, faults of the arm: "
        f"{len(faults)}.",
        "",
        *faults,
        *([""] if faults else []),
        "| process | resident MB | swings by, MB | grew while warming up, MB | slope MB/h | "
        "descriptors | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {name} | {each['resident_mb']} | {each['swing_mb']:g} | {each['warm_up_mb']:g} | "
        f"{each['slope_mb_per_hour']:.2f} ± {each['slope_error_mb_per_hour']:.2f} | "
        f"{each['descriptors']} | {_verdict(each)} |"
        for name, each in report["processes"].items()
    ]
