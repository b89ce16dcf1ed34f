"""`robotd bench probe`: faults planted into good checkpoints, one at a time; how many the probe names.

Each fault is in the files of a copy (`bench.probing.faults`) and goes through the real loading path. A probe is right
when its top cause is the planted one. The good ones are probed too, at several sets of moments: no alarm is right.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MUST_FIND = 35 / 36
MUST_TAKE_S = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="where checkpoints and recordings are kept")
    parser.add_argument("--episodes", type=int, default=40, help="to train the image ACT on")
    parser.add_argument("--held", type=int, default=10, help="recorded episodes to probe on")
    parser.add_argument("--steps", type=int, default=800, help="of the image ACT's training")
    parser.add_argument("--frames", type=int, default=150, help="moments of each probe")
    parser.add_argument("--only", default="", help="checkpoints whose name has this")
    parser.add_argument("--fault", default="", help="faults whose name has this")


@dataclass(frozen=True, slots=True)
class Case:
    """One probe. `expected` is empty for a good checkpoint; `cause` what the probe named first."""

    checkpoint: str
    fault: str
    expected: tuple[str, ...]
    cause: str
    outcome: str
    right: bool
    error: float
    evidence: str
    wall_s: float
    cpu_s: float


def run(args: argparse.Namespace) -> int:
    from robotd.paths import cache_dir

    began_s = time.monotonic()
    folder = args.folder or cache_dir() / "bench-probe"
    say = _to_stderr
    cases = list(_cases(args, folder, say))
    result = _result(cases)
    result["seconds"] = round(time.monotonic() - began_s, 1)
    print(json.dumps(result) if args.json else _text(result, cases))
    return 0 if result["passed"] else 1


def _to_stderr(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _cases(args: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> Iterator[Case]:
    from bench.probing.checkpoints import checkpoints
    from bench.probing.faults import FAULTS

    for good in checkpoints(folder, args.episodes, args.held, args.steps, say, args.only):
        for seed in range(3):
            yield _told(
                probed(good.name, "", good.policy, good.dataset, {}, args.frames, seed), say
            )
        for fault in FAULTS:
            if args.fault in fault.name and good.takes(fault.needs):
                yield _told(faulty(good, fault, args.frames), say)


def faulty(good: Any, fault: Any, frames: int) -> Case:
    """Plant one fault into copies and probe them."""
    from bench.probing.faults import planted

    scratch = Path(tempfile.mkdtemp(prefix="robotd-probe-"))
    try:
        bad = planted(fault, good.policy, good.dataset, scratch)
        found = probed(good.name, fault.name, bad.policy, bad.dataset, bad.rename, frames, 0)
    finally:
        shutil.rmtree(scratch)
    right = found.cause in fault.causes and found.outcome == "fail"
    return Case(**asdict(found) | {"expected": fault.causes, "right": right})


def probed(
    name: str, fault: str, policy: Path, dataset: Path, rename: Any, frames: int, part: int
) -> Case:
    """One probe as `robotd probe` makes it, but for the time budget: moments are counted instead, so that a busy
    machine gives the same verdict."""
    from learning.probe import probe_model
    from policies.model import ModelOptions, load_model
    from policies.probe.recorded import open_recording

    wall_s, cpu_s = time.monotonic(), time.process_time()
    model = load_model(policy, ModelOptions(device="cpu", threads=1))
    report = probe_model(
        model,
        str(policy),
        open_recording(str(dataset)),
        rename=rename,
        frames=frames - part,  # other moments
        seconds=3600.0,
    )
    top = report.findings[0] if report.findings else None
    return Case(
        checkpoint=name,
        fault=fault,
        expected=(),
        cause=report.cause,
        outcome=report.outcome,
        right=report.outcome == "pass",
        error=round(report.error, 3),
        evidence=top.evidence if top else "",
        wall_s=round(time.monotonic() - wall_s, 2),
        cpu_s=round(time.process_time() - cpu_s, 2),
    )


def _told(case: Case, say: Callable[[str], None]) -> Case:
    what = case.fault or "good"
    mark = "right" if case.right else "WRONG"
    say(
        f"{mark}: {case.checkpoint}: {what}: {case.outcome} {case.cause} (error {case.error:.2f}, "
        f"{case.cpu_s:.0f} s of CPU) {case.evidence}"
    )
    return case


def _result(cases: list[Case]) -> dict[str, Any]:
    faults = [case for case in cases if case.fault]
    good = [case for case in cases if not case.fault]
    right, alarms = sum(case.right for case in faults), sum(not case.right for case in good)
    by_checkpoint = {
        name: {
            "faults": sum(case.checkpoint == name for case in faults),
            "right": sum(case.checkpoint == name and case.right for case in faults),
        }
        for name in dict.fromkeys(case.checkpoint for case in cases)
    }
    longest = max((case.cpu_s for case in cases), default=0.0)
    return {
        "faults": len(faults),
        "right": right,
        "good": len(good),
        "false_alarms": alarms,
        "checkpoints": by_checkpoint,
        "cpu_s": {"longest": longest},
        "wall_s": {"longest": max((case.wall_s for case in cases), default=0.0)},
        "cases": [asdict(case) for case in cases],
        "passed": bool(faults)
        and right >= MUST_FIND * len(faults)
        and not alarms
        and longest <= MUST_TAKE_S,
    }


def _text(result: dict[str, Any], cases: list[Case]) -> str:
    lines = [f"{'checkpoint':40}{'fault':40}{'named':24}{'error':>8}{'CPU s':>8}"]
    for case in cases:
        mark = "" if case.right else "   WRONG"
        lines.append(
            f"{case.checkpoint:40}{case.fault or 'none':40}{case.cause or 'nothing':24}"
            f"{case.error:8.2f}{case.cpu_s:8.1f}{mark}"
        )
    lines.append(
        f"{result['right']} of {result['faults']} faults named, {result['false_alarms']} alarms on "
        f"{result['good']} good ones; {result['cpu_s']['longest']:.0f} s of CPU at most"
    )
    return "\n".join(lines)
