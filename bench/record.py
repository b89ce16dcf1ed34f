"""`robotd bench record`: what becomes of every picture, how soon the next episode can begin, and what it costs.

robotd's recorder process and LeRobot's dataset writer record the same numbered pictures of two cameras
(640x480, 30 Hz) beside a 120 Hz loop, onto the same disk, one after the other. Afterwards both datasets
are decoded and every row is asked which picture it shows.
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from bench.machine import describe
from bench.rig import Rig, helper, rig
from robotd.errors import ConfigError
from robotd.installed import install_again

_EPISODE_S = 10.0
_FEWEST = 2  # episodes: the second one is recorded while the first is saved
_ENDING_S = 900.0
_COUNTS = ("frames", "frames_lost", "frames_shifted", "repeated")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=_seconds, default=20.0, help="recorded on each side")
    parser.add_argument("--against", choices=["lerobot"], help="record the same with LeRobot too")
    parser.add_argument(
        "--streaming-only",
        action="store_true",
        help="leave out LeRobot's default, which takes long",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 2.0 <= seconds <= 3600.0:
        raise argparse.ArgumentTypeError("2 to 3600 seconds")
    return seconds


def run(args: argparse.Namespace) -> int:
    if args.against and importlib.util.find_spec("lerobot") is None:
        raise ConfigError(
            "LeRobot is not installed here, so there is nothing to compare with.",
            "This is the light install.",
            f"Install the other half: {install_again('policy')}; or leave out --against.",
        )
    from bench.recording import robotd as record_robotd
    from bench.recording.lerobot import SETTINGS

    episodes = max(_FEWEST, round(args.seconds / _EPISODE_S))
    report: dict[str, Any] = {"machine": describe(), "seconds": args.seconds, "episodes": episodes}
    with rig() as place:
        _said(f"robotd: {args.seconds:g} s in {episodes} episodes")
        report |= record_robotd.measure(place, args.seconds, episodes)
        if args.against:
            settings = SETTINGS[:1] if args.streaming_only else SETTINGS
            found = {name: _lerobot(place, name, args.seconds, episodes) for name in settings}
            report["lerobot"] = found[SETTINGS[0]] | {"settings": found}
    print(json.dumps(report)) if args.json else _print(report)
    return 0


def _lerobot(place: Rig, setting: str, seconds: float, episodes: int) -> dict[str, Any]:
    from bench.recording.feeders import Feeders
    from bench.recording.judge import Verdict, judge
    from bench.recording.lerobot import Options, Told, numbers_in
    from bench.recording.scene import CAMERAS, FPS

    _said(f"LeRobot, {setting}: {seconds:g} s")
    runtime = place.runtime / f"lerobot-{setting}"
    runtime.mkdir()
    options = Options(
        setting=setting,
        rings={camera: str(runtime / f"frames-{camera}") for camera in CAMERAS},
        root=str(place.folder / f"lerobot-{setting}"),
        out=str(place.folder / f"told-{setting}.json"),
        fps=FPS,
        episode_s=seconds / episodes,
        episodes=episodes,
    )
    feeders = Feeders(place, runtime)
    encoded = msgspec.json.encode(options).decode()
    with feeders.running(), helper(place.folder, "bench.recording.lerobot", (encoded,)) as writer:
        writer.ready()
        writer.finish(_ENDING_S)
    told = msgspec.json.decode(Path(options.out).read_bytes(), type=Told)
    taken = {camera: feeders.fed(camera).numbers for camera in CAMERAS}
    verdicts = judge(Path(options.root), taken, numbers_in)
    return {
        "save_s": round(max(told.saves_s), 3),
        "cpu_s_per_camera_s": round(told.cpu_s / (told.rows / FPS * len(CAMERAS)), 4),
        **sum(verdicts.values(), Verdict()).as_json(),
        "late_rows": told.late_rows,
        "loop_missed": feeders.fed("loop").missed,
    }


def _said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def table(report: dict[str, Any]) -> list[str]:
    """The result as lines of the docs' page."""
    stopped, loop = report["stopped_for_a_second"], report["loop"]
    lines = [
        f"{report['seconds']:g} s in {report['episodes']} episodes on each side, encoder "
        f"{report['encoder']}; loop {loop['scheduler']}, {loop['missed']} of {loop['ticks']} ticks "
        "missed:",
        "",
        "| | next episode after, ms | frames | lost | shifted | repeated | CPU s a camera second |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in _sides(report).items():
        lines.append(
            f"| {name} | {_after_ms(figures):g} | "
            + " | ".join(f"{figures[key]:g}" for key in (*_COUNTS, "cpu_s_per_camera_s"))
            + " |"
        )
    return [
        *lines,
        "",
        f"A keep is answered, its episode safe, after {report['keep_to_saved_ms']:g} ms. The whole "
        f"recorder stopped for a second: {stopped['frames_lost']} frames lost, "
        f"{stopped['frames_shifted']} shifted, {stopped['repeated']} repeated.",
    ]


def _sides(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    settings = report.get("lerobot", {}).get("settings", {})
    return {"robotd": report} | {f"LeRobot 0.6.1, {name}": each for name, each in settings.items()}


def _after_ms(figures: dict[str, Any]) -> float:
    """LeRobot's next episode begins when the last one is saved."""
    if "save_s" in figures:
        return round(float(figures["save_s"]) * 1e3, 1)
    return float(figures["keep_to_ready_ms"])


def _print(report: dict[str, Any]) -> None:
    print("\n".join(table(report)))
