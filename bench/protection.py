"""False alarms of protection in normal pick and place, and what it catches of real troubles: both, in one run.

A protection that trips for nothing is switched off by its users, one that catches nothing protects nobody. Episodes
run in lock-step in the eight evaluation plants, with the mirror fed every tick and its findings heard by control, as
on the arm.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from bench.rates import upper_95

if TYPE_CHECKING:
    from bench.protection_run import Caught, Quiet

Say = Callable[[str], None]
_TROUBLES_FROM = 500_000  # seeds of their own


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--episodes", type=int, default=100, help="normal ones (default 100)")
    parser.add_argument("--troubles", type=int, default=40, help="episodes with one trouble each")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--source",
        default="scripted",
        metavar="scripted|policy|FOLDER",
        help="who moves the arm: the scripted expert, the shipped ACT, or the policy in a folder",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Exit code 1 when there was a false alarm."""
    if args.episodes < 0 or args.troubles < 0 or args.jobs < 1:
        from robotd.errors import ConfigError

        raise ConfigError(
            "That number of episodes, troubles or processes cannot be run.",
            "Episodes and troubles are 0 or more, processes 1 or more.",
            "Say robotd bench protection --episodes 100 --troubles 40 --jobs 2.",
        )
    report = measure(args, _said)
    print(json.dumps(report) if args.json else table(report))
    return 1 if report["false_alarms"]["episodes"] else 0


def _said(line: str) -> None:
    """Progress, beside the result."""
    print(line, file=sys.stderr, flush=True)


def measure(args: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Run all episodes and troubles; the report as JSON-able values."""
    from bench.protection_run import quiet_episode, troubled_episode
    from bench.troubles import KINDS

    began_s = time.monotonic()
    seeds = range(args.first_seed, args.first_seed + args.episodes)
    first = _TROUBLES_FROM + args.first_seed
    kinds = [(KINDS[k % len(KINDS)], first + k) for k in range(args.troubles)]
    normal = [partial(quiet_episode, seed, args.source) for seed in seeds]
    troubled = [partial(troubled_episode, kind, seed, args.source) for kind, seed in kinds]
    quiet: list[Quiet] = _all(normal, args.jobs, "episodes", say)
    caught: list[Caught] = _all(troubled, args.jobs, "troubles", say)
    return report_of(quiet, caught, args.source) | {"wall_s": round(time.monotonic() - began_s, 1)}


def _all(tasks: Sequence[Callable[[], Any]], jobs: int, what: str, say: Say) -> list[Any]:
    """Do the tasks in `jobs` processes, telling how far it is."""
    done: list[Any] = []
    began_s = time.monotonic()
    told_s = began_s
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) if jobs > 1 else None
    with pool or nullcontext():
        results: Iterable[Any] = (task() for task in tasks)
        if pool is not None:
            results = (future.result() for future in as_completed(map(pool.submit, tasks)))
        for result in results:
            done.append(result)
            now_s = time.monotonic()
            if now_s - told_s > 5.0 or len(done) == len(tasks):
                told_s = now_s
                left_s = (now_s - began_s) / len(done) * (len(tasks) - len(done))
                say(f"{what}: {len(done)} of {len(tasks)}, {left_s / 60:.0f} min left")
    return done


def report_of(quiet: Sequence["Quiet"], caught: Sequence["Caught"], source: str) -> dict[str, Any]:
    """What the episodes say. A false alarm is a fault, or a goal moved back, although nothing was wrong."""
    alarms = [each for each in quiet if each.fault or "goal moved back" in each.warnings]
    warnings: Counter[str] = Counter()
    for each in quiet:
        warnings.update(each.warnings)
    return {
        "source": source,
        "episodes": len(quiet),
        "ticks": sum(each.ticks for each in quiet),
        "outcomes": dict(Counter(each.outcome for each in quiet)),
        "false_alarms": {
            "episodes": len(alarms),
            "upper_95": round(upper_95(len(alarms), len(quiet)), 5),
            "faults": dict(Counter(each.fault for each in quiet if each.fault)),
            "seeds": sorted(each.seed for each in alarms),
        },
        "warnings": dict(warnings),
        "troubles": {
            kind: _catches([each for each in caught if each.kind == kind and each.began])
            for kind in sorted({each.kind for each in caught})
        },
    }


def _catches(caught: Sequence["Caught"]) -> dict[str, Any]:
    noticed = sorted(each.first_s for each in caught if each.first_s >= 0.0)
    return {
        "struck": len(caught),
        "noticed": len(noticed),
        "noticed_p50_s": _rank(noticed, 0.5),
        "noticed_p95_s": _rank(noticed, 0.95),
        "noticed_max_s": _rank(noticed, 1.0),
        "first": dict(Counter(each.first for each in caught if each.first)),
        "faults": dict(Counter(each.fault or "none" for each in caught)),
        "most_load_permille": max((each.most_load_permille for each in caught), default=0),
        "unnoticed_seeds": [each.seed for each in caught if each.first_s < 0.0],
    }


def _rank(ordered: Sequence[float], part: float) -> float:
    return (
        round(ordered[max(0, -(-len(ordered) * part // 1).__int__() - 1)], 3) if ordered else -1.0
    )


def table(report: dict[str, Any]) -> str:
    """The report for a person."""
    alarms = report["false_alarms"]
    lines = [
        f"{alarms['episodes']} false alarms in {report['episodes']} episodes of {report['source']}"
        f" ({report['ticks']} ticks): fewer than {alarms['upper_95']:.2%} at 95 % confidence",
    ]
    lines += [f"  fault {name}: {count}" for name, count in alarms["faults"].items()]
    lines += [f"  warning, {name}: {count}" for name, count in report["warnings"].items()]
    lines += [f"  outcome {name}: {count}" for name, count in report["outcomes"].items()]
    for kind, found in report["troubles"].items():
        lines.append(
            f"{kind}: {found['noticed']} of {found['struck']} noticed, after"
            f" {found['noticed_p50_s']:.2f} s (p50), {found['noticed_max_s']:.2f} s at most;"
            f" pushed with {found['most_load_permille'] / 10:.0f} % at most"
        )
        lines += [f"  first sign, {name}: {count}" for name, count in found["first"].items()]
        lines += [f"  then fault {name}: {count}" for name, count in found["faults"].items()]
    return "\n".join([*lines, f"in {report['wall_s']:.0f} s of machine time"])
