"""Hundreds of episodes in one dataset: does saving stay quick, does LeRobot still open it.

The episodes are short and their pictures small, so that what is measured is the work an episode
costs beside its frames. The same content is written by LeRobot itself, and both are opened by
LeRobot, with an empty cache and again; robotd's before and after `compact`.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.figures import ratio
from bench.machine import describe

ROWS, FPS, SIDE = 10, 15, 64
_COMPARED = 10  # episodes at each end: one alone would be chance
_PROGRESS = 100


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--episodes", type=_episodes, default=500)
    parser.add_argument("--folder", type=Path, help="where (default: the disk of temporary files)")
    parser.add_argument("--without-lerobot", action="store_true", help="publishing and compacting")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _episodes(text: str) -> int:
    episodes = int(text)
    if not 2 * _COMPARED <= episodes <= 100_000:
        raise argparse.ArgumentTypeError(f"{2 * _COMPARED} to 100000")
    return episodes


def run(args: argparse.Namespace) -> int:
    from daemon.recorder import edits

    report: dict[str, Any] = {"machine": describe(), "episodes": args.episodes, "rows": ROWS}
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        root = folder / "robotd"
        wall_s, cpu_s = _publish(root, folder / "journals", args.episodes)
        report["publish"], report["publish_cpu"] = ends(wall_s), ends(cpu_s)
        report["files_before"] = edits.file_count(root)
        if not args.without_lerobot:
            from bench import scale_lerobot

            _said("LeRobot opens it as it was recorded")
            report["open"] = {"recorded": scale_lerobot.opened(root, folder, args.episodes)}
        _said("compact")
        began = time.perf_counter()
        edits.compact(root, time.time_ns)
        report["compact_s"] = round(time.perf_counter() - began, 2)
        report["files_after"] = edits.file_count(root)
        if not args.without_lerobot:
            report["open"]["compacted"] = scale_lerobot.opened(root, folder, args.episodes)
            _said(f"LeRobot writes {args.episodes} episodes itself")
            theirs = folder / "lerobot"
            report["lerobot_save"] = ends(scale_lerobot.written(theirs, args.episodes))
            report["open"]["lerobot"] = scale_lerobot.opened(theirs, folder, args.episodes)
            for kind in ("first_s", "again_s"):
                compacted, written = (report["open"][n][kind] for n in ("compacted", "lerobot"))
                report[f"ratio_open_{kind}"] = ratio(compacted, written)
    print(json.dumps(report) if args.json else "\n".join(table(report)))
    return 0


def ends(durations_s: Sequence[float]) -> dict[str, float | None]:
    """The median of the first ten and of the last ten, in ms, and the last over the first."""
    first = statistics.median(durations_s[:_COMPARED]) * 1e3
    last = statistics.median(durations_s[-_COMPARED:]) * 1e3
    return {"first_ms": round(first, 1), "last_ms": round(last, 1), "ratio": ratio(last, first)}


def table(report: dict[str, Any]) -> list[str]:
    """The report as lines of a page."""
    publish, cpu = report["publish"], report["publish_cpu"]
    lines = [
        f"{report['episodes']} episodes of {report['rows']} rows, one {SIDE}x{SIDE} camera; "
        "median of the first ten and of the last ten:",
        "",
        "| | first ms | last ms | last over first |",
        "|---|---|---|---|",
        f"| robotd publishes | {publish['first_ms']} | {publish['last_ms']} | {publish['ratio']} |",
        f"| … its CPU | {cpu['first_ms']} | {cpu['last_ms']} | {cpu['ratio']} |",
    ]
    if "lerobot_save" in report:
        save = report["lerobot_save"]
        lines += [
            f"| LeRobot 0.6.1 saves | {save['first_ms']} | {save['last_ms']} | {save['ratio']} |",
            "",
            "| opened by LeRobot | empty cache s | again s |",
            "|---|---|---|",
        ]
        lines += [
            f"| {name} | {each['first_s']} | {each['again_s']} |"
            for name, each in report["open"].items()
        ]
    return [
        *lines,
        "",
        f"compact: {report['compact_s']} s, {report['files_before']} files became "
        f"{report['files_after']}.",
    ]


def _publish(root: Path, journals: Path, episodes: int) -> tuple[list[float], list[float]]:
    """The seconds that publishing each episode took, and those of CPU; one content for all."""
    from daemon.recorder import dataset
    from daemon.recorder.stored import read_manifest, save_manifest

    journals.mkdir()
    first = _journal(journals / "first", root)
    durations: list[float] = []
    cpu: list[float] = []
    for number in range(episodes):
        journal = journals / f"{number:06d}"
        shutil.copytree(first, journal)
        manifest = read_manifest(journal)
        save_manifest(journal, msgspec.structs.replace(manifest, journal_id=journal.name))
        began, cpu_began = time.perf_counter(), time.process_time()
        dataset.publish(journal)
        durations.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)
        shutil.rmtree(journal)
        if (number + 1) % _PROGRESS == 0:
            _said(f"{number + 1} episodes, the last in {durations[-1] * 1e3:.0f} ms")
    return durations, cpu


def _journal(folder: Path, root: Path) -> Path:
    """A kept journal of one short episode."""
    from daemon.recorder.journal import EpisodeJournal
    from daemon.recorder.schema import Evidence, Row, machine_stamp

    spec = spec_of(root)
    journal = EpisodeJournal.create(folder, spec, started=machine_stamp())
    for number in range(ROWS):
        values, frame = row_of(number)
        evidence = Evidence(number, number, values.astype(float), values.astype(float))
        journal.append(Row(values, values, spec.task, evidence), {"overhead": frame})
    journal.close(kept=True)
    return folder


def spec_of(root: Path) -> Any:
    """The robot whose episodes these are."""
    from daemon.recorder.schema import CameraSpec, EpisodeSpec, joint_feature_names

    return EpisodeSpec(
        dataset_root=str(root),
        repo_id="bench/scale",
        fps=FPS,
        robot_type="so_follower",
        task="put the block into the bowl",
        state_names=joint_feature_names(),
        action_names=joint_feature_names(),
        cameras=(CameraSpec("overhead", SIDE, SIDE),),
    )


def row_of(number: int) -> tuple[Any, Any]:
    """State (and action) float32 [6] in degrees and the picture uint8 [H, W, 3] of a row."""
    import numpy as np

    values = np.arange(6, dtype=np.float32) + np.float32(30 * np.sin(number / 9))
    frame = np.full((SIDE, SIDE, 3), 90, np.uint8)
    frame[number % SIDE] = 255
    return values, frame


def _said(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
