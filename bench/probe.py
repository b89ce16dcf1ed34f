"""`robotd bench probe`: faults planted into good checkpoints, one at a time; how many the probe names.

Each fault is in the files of a copy (`bench.probing.faults`) and goes through the real loading path. A probe is right
when its top cause is the planted one. The good ones are probed too, at several sets of moments: no alarm is right.

Rules are written on what they are then judged on, so there are rounds: another one has other demonstrations to probe
on and checkpoints trained from another seed. A rule that was changed in round 0 is judged in a round that it never saw.
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

from robotd.errors import CheckpointError, ConfigError

MUST_FIND = 35 / 36
MUST_TAKE_S = 60.0
_GOOD_ONES = 3  # probes of each good checkpoint, at other moments


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="where checkpoints and recordings are kept")
    parser.add_argument("--episodes", type=int, default=20, help="to train the image ACTs on")
    parser.add_argument("--held", type=int, default=8, help="recorded episodes to probe on")
    parser.add_argument("--steps", type=int, default=500, help="of the image ACTs' training")
    parser.add_argument("--frames", type=int, default=120, help="moments of each probe")
    parser.add_argument(
        "--round", type=int, default=0, help="another one: other seeds of training and recording"
    )
    parser.add_argument("--only", default="", help="checkpoints whose name has this")
    parser.add_argument("--fault", default="", help="faults whose name has this")
    parser.add_argument(
        "--part", type=_part, default=(0, 1), metavar="K/N", help="every Nth probe, from the Kth on"
    )
    parser.add_argument(
        "--with",
        dest="earlier",
        action="append",
        default=[],
        type=Path,
        metavar="RESULT",
        help="count the cases of another run (of --only, --part) of this round too; may be repeated",
    )


def _part(text: str) -> tuple[int, int]:
    number, of = (int(each) for each in text.split("/"))
    if not 1 <= number <= of:
        raise ValueError(text)
    return number - 1, of


@dataclass(frozen=True, slots=True)
class Case:
    """One probe. `expected` is empty for a good checkpoint; `cause` what the probe named first. The times are those of
    loading and probing, on one thread; the first of a process has its imports too."""

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
    from bench import machine
    from robotd.paths import cache_dir

    on = machine.describe()
    began_s = time.monotonic()
    folder = args.folder or cache_dir() / "bench-probe"
    cases = [each for file in args.earlier for each in _earlier(file, args.round)]
    cases += _cases(args, folder, _to_stderr)
    result = _result(cases) | {
        "machine": on,
        "round": args.round,
        "episodes": args.episodes,
        "held": args.held,
        "steps": args.steps,
        "frames": args.frames,
        "seconds": round(time.monotonic() - began_s, 1),
    }
    print(json.dumps(result) if args.json else _text(result, cases))
    return 0 if result["passed"] else 1


def _earlier(file: Path, number: int) -> list[Case]:
    """The cases of an earlier result. Raises ConfigError for one of another round."""
    import msgspec

    try:
        report = json.loads(file.read_bytes())
        if report["round"] != number:
            raise ValueError(f"it is of round {report['round']}")
        return msgspec.convert(report["cases"], list[Case])
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{file} cannot be counted: {error}.",
            "It is no result of `robotd bench probe --json`, or of another round.",
            f"Make it: robotd bench probe --round {number} --only NAME --json > {file}",
        ) from error


def _to_stderr(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _cases(args: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> Iterator[Case]:
    from bench.probing.checkpoints import Made, checkpoints
    from bench.probing.faults import FAULTS

    made = Made(folder, args.episodes, args.held, args.steps, args.round)
    for good in checkpoints(made, say, args.only):
        faults = [each for each in FAULTS if args.fault in each.name and good.takes(each.needs)]
        first, step = args.part
        for wanted in [*range(_GOOD_ONES), *faults][first::step]:
            if isinstance(wanted, int):
                found = probed(good.name, "", good.policy, good.dataset, {}, args.frames, wanted)
            else:
                found = faulty(good, wanted, args.frames)
            yield _told(found, say)


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
    machine gives the same verdict. A checkpoint that does not load is the cause `refused`."""
    from learning.probe import probe_model
    from policies.model import ModelOptions, load_model
    from policies.recording import open_recording

    wall_s, cpu_s = time.monotonic(), time.process_time()
    try:
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
        cause, outcome, error = report.cause, report.outcome, report.error
        evidence = top.evidence if top else ""
    except CheckpointError as refusal:
        cause, outcome, error, evidence = "refused", "fail", 0.0, refusal.what
    return Case(
        checkpoint=name,
        fault=fault,
        expected=(),
        cause=cause,
        outcome=outcome,
        right=outcome == "pass",
        error=round(error, 3),
        evidence=evidence,
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
    longest = max((case.cpu_s for case in cases), default=0.0)
    return {
        "faults": len(faults),
        "right": right,
        "good": len(good),
        "false_alarms": alarms,
        "checkpoints": {
            name: _of([case for case in cases if case.checkpoint == name])
            for name in dict.fromkeys(case.checkpoint for case in cases)
        },
        "cpu_s": {"longest": longest},
        "wall_s": {"longest": max((case.wall_s for case in cases), default=0.0)},
        "cases": [asdict(case) for case in cases],
        "passed": bool(faults)
        and right >= MUST_FIND * len(faults)
        and not alarms
        and longest <= MUST_TAKE_S,
    }


def _of(cases: list[Case]) -> dict[str, Any]:
    """One checkpoint's share. `error`: of the good one, the middle of its probes."""
    faults = [case for case in cases if case.fault]
    good = [case for case in cases if not case.fault]
    errors = sorted(case.error for case in good)
    return {
        "faults": len(faults),
        "right": sum(case.right for case in faults),
        "good": len(good),
        "false_alarms": sum(not case.right for case in good),
        "error": errors[len(errors) // 2] if errors else None,
        "cpu_s": max(case.cpu_s for case in cases),
    }


def table(report: dict[str, Any]) -> list[str]:
    """The section of the docs' page."""
    lines = [
        f"Round {report['round']}: image ACTs of {report['episodes']} demonstrations and "
        f"{report['steps']} steps, {report['held']} other demonstrations to probe on, "
        f"{report['frames']} moments a probe, one thread.",
        "",
        "| | faults | right cause | good ones probed | alarms | error when good | CPU of a probe |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, each in (*report["checkpoints"].items(), ("all", report)):
        error = f"{each['error']:.2f}" if each.get("error") is not None else ""
        cpu_s = each["cpu_s"] if isinstance(each["cpu_s"], float) else each["cpu_s"]["longest"]
        lines.append(
            f"| {name} | {each['faults']} | {each['right']} | {each['good']} | "
            f"{each['false_alarms']} | {error} | ≤ {cpu_s:.1f} s |"
        )
    wrong = [
        f"{case['checkpoint']}, {case['fault'] or 'good'}: {case['cause'] or 'nothing'}"
        for case in report["cases"]
        if not case["right"]
    ]
    return [*lines, "", f"Named wrongly: {'; '.join(wrong) or 'none'}."]


def _text(result: dict[str, Any], cases: list[Case]) -> str:
    lines = [f"{'checkpoint':48}{'fault':40}{'named':24}{'error':>8}{'CPU s':>8}"]
    for case in cases:
        mark = "" if case.right else "   WRONG"
        lines.append(
            f"{case.checkpoint:48}{case.fault or 'none':40}{case.cause or 'nothing':24}"
            f"{case.error:8.2f}{case.cpu_s:8.1f}{mark}"
        )
    lines.append(
        f"{result['right']} of {result['faults']} faults named, {result['false_alarms']} alarms on "
        f"{result['good']} good ones; {result['cpu_s']['longest']:.0f} s of CPU at most"
    )
    return "\n".join(lines)
