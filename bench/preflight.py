"""`robotd bench preflight`: how many bad chunks the twin catches, how many good ones it refuses, how long it takes.

Bad chunks (`bench.bad_chunks`) that touch something are bad because a plant says so (`bench.chunk_truth`): what it does
not press on hard enough is no part of the count, and is told. Good ones (`bench.good_chunks`) are those of episodes
that succeeded. The judge is the twin as it runs beside an arm, told what the simulated robot's profile tells it, with
time enough to finish; how long it took is a figure of its own.
"""

import argparse
import collections
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MUST_CATCH = 0.99
MUST_PASS = 1999 / 2000
MUST_TAKE_MS = 10.0
PRESS_N = 8.0
"""A sustained press that counts: what a stalled lift (2.94 N.m) gives at full reach (0.35 m). Good chunks press with
1.3 N at most. Between the two lie presses that friction, droop and lag hide from any model: they count on neither side
and are reported."""

TRIES = 60
"""Candidates for each chunk that is wanted, at most."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bad", type=int, default=1400, help="bad chunks, of seven classes")
    parser.add_argument("--good", type=int, default=2000, help="good chunks, expert's and ACT's")
    parser.add_argument(
        "--gate", type=int, default=40, help="chunks of each class for the gate alone"
    )
    parser.add_argument("--policy", type=Path, help="another checkpoint than the shipped ACT")
    parser.add_argument("--seed", type=int, default=0, help="of the bad chunks")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on the standard output"
    )


@dataclass(slots=True)
class ClassCount:
    """One class of bad chunks. The last four are candidates that the plant did not call bad, and why."""

    name: str
    n: int = 0
    caught: int = 0
    rate: float = 0.0
    at_least: float = 0.0  # Wilson's 95 %
    reasons: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    gate_tried: int = 0
    gate_alone: int = 0  # of those, made harmless by the gate without the twin
    near_misses: int = 0  # pressed, but less than counts
    harmless: int = 0  # touched nothing
    began_pressed: int = 0


@dataclass(slots=True)
class GoodCount:
    """Good chunks of one origin."""

    origin: str
    n: int = 0
    refused: int = 0
    refusals: list[str] = field(default_factory=list)


def run(args: argparse.Namespace) -> int:
    from bench.preflight_judge import Judge
    from learning.demo import SHIPPED_POLICY

    began_s = time.monotonic()
    say = _Progress()
    pools = _pools(args, args.policy or SHIPPED_POLICY, say)
    judge = Judge()
    good = []
    for chunks in pools:
        count = GoodCount(chunks[0].origin if chunks else "none")
        for chunk in chunks:
            count.n += 1
            words = judge.good(chunk)
            if words is not None:
                count.refused += 1
                count.refusals.append(f"seed {chunk.seed} at {chunk.at_s:.1f} s: {words}")
        good.append(count)
        say(f"{count.n} good chunks of the {count.origin} judged, {count.refused} refused")
    everything = [chunk for chunks in pools for chunk in chunks]
    bad = list(_bad(args, everything, judge, say))
    result = _result(good, bad, judge.wall_ms, judge.cpu_ms)
    result["seconds"] = round(time.monotonic() - began_s, 1)
    if args.json:
        print(json.dumps(result))
    else:
        print(_text(result, good, bad))
    return 0 if result["passed"] else 1


def _pools(args: argparse.Namespace, policy: Path, say: "_Progress") -> tuple[list[Any], list[Any]]:
    from bench.good_chunks import good_chunks

    return good_chunks(
        args.good, policy, lambda origin, kept: say(f"collecting: {kept} chunks of the {origin}")
    )


def _bad(
    args: argparse.Namespace, pool: list[Any], judge: Any, say: "_Progress"
) -> Iterator[ClassCount]:
    from bench.bad_chunks import CONTACT_CLASSES, NUMBER_CLASSES, numbers

    each = math.ceil(args.bad / (len(CONTACT_CLASSES) + len(NUMBER_CLASSES)))
    for name in CONTACT_CLASSES:
        count = _contacts(name, pool, each, args, judge)
        say(f"{name}: {count.caught} of {count.n} caught")
        yield _rated(count)
    for name in NUMBER_CLASSES:
        count = ClassCount(name)
        for bad in numbers(pool, name, args.seed):
            _take(count, bad.how, judge.bad(bad))
            if count.gate_tried < args.gate:
                count.gate_tried += 1
                count.gate_alone += judge.gate_acts(bad)
            if count.n == each:
                break
        say(f"{name}: {count.caught} of {count.n} caught")
        yield _rated(count)


def _contacts(
    name: str, pool: list[Any], each: int, args: argparse.Namespace, judge: Any
) -> ClassCount:
    """Chunks that the plant says press on what the class is named for."""
    from bench.bad_chunks import PRESSES, contact_candidates

    count = ClassCount(name)
    for tried, bad in enumerate(contact_candidates(pool, name, args.seed)):
        if count.n == each or tried == TRIES * each:
            break
        plant = judge.plant(bad.chunk.plant)
        if not plant.near(bad.chunk.goals_rad, PRESSES[name]):
            continue
        standing = plant.stand(bad.chunk.applied_rad[-1])
        if standing.force_n > 0.0:
            count.began_pressed += 1
            continue
        pressed = plant.roll(bad.chunk.plan(0), PRESS_N)
        if pressed.kind is None:
            count.near_misses += pressed.force_n > 0.0
            count.harmless += pressed.force_n == 0.0
            continue
        if pressed.kind not in PRESSES[name]:
            continue
        words = judge.standing(bad, standing)
        _take(count, f"{bad.how}, {pressed.kind} after {pressed.after_s:.1f} s", words)
        if count.gate_tried < args.gate:
            count.gate_tried += 1
            plant.stand(bad.chunk.applied_rad[-1])
            through = plant.roll(bad.chunk.plan(0), PRESS_N, judge.gate(standing))
            count.gate_alone += through.kind is None
    return count


def _take(count: ClassCount, how: str, reason: str | None) -> None:
    count.n += 1
    if reason is None:
        count.missed.append(how)
    else:
        count.caught += 1
        count.reasons[reason] = count.reasons.get(reason, 0) + 1


def _rated(count: ClassCount) -> ClassCount:
    from learning.evaluate import wilson

    count.rate = count.caught / count.n if count.n else 0.0
    count.at_least = wilson(count.caught, count.n)[0]
    return count


def _result(
    good: list[GoodCount], bad: list[ClassCount], wall_ms: list[float], cpu_ms: list[float]
) -> dict[str, Any]:
    from learning.evaluate import wilson

    n_bad, caught = sum(c.n for c in bad), sum(c.caught for c in bad)
    n_good, refused = sum(c.n for c in good), sum(c.refused for c in good)
    cpu, wall = _times(cpu_ms), _times(wall_ms)
    return {
        "bad": {
            "n": n_bad,
            "caught": caught,
            "rate": round(caught / n_bad, 5) if n_bad else None,
            "at_least": round(wilson(caught, n_bad)[0], 5),
            "press_n": PRESS_N,
            "classes": {each.name: asdict(each) for each in bad},
        },
        "good": {
            "n": n_good,
            "refused": refused,
            "rate": round(refused / n_good, 6) if n_good else None,
            "at_most": round(wilson(refused, n_good)[1], 6),
            "origins": {each.origin: asdict(each) for each in good},
        },
        "verdict_ms_100_steps": {"cpu": cpu, "wall": wall},
        "passed": bool(
            n_bad
            and n_good
            and caught >= MUST_CATCH * n_bad
            and refused <= n_good * (1 - MUST_PASS)
            and cpu["p99"] <= MUST_TAKE_MS
        ),
    }


def _times(values_ms: list[float]) -> dict[str, Any]:
    ranked = sorted(values_ms) or [0.0]
    last = len(ranked) - 1
    return {
        "n": len(values_ms),
        "p50": round(ranked[last // 2], 2),
        "p99": round(ranked[math.ceil(last * 0.99)], 2),
        "max": round(ranked[last], 2),
    }


def _text(result: dict[str, Any], good: list[GoodCount], bad: list[ClassCount]) -> str:
    lines = [
        "bad chunks      n  caught    rate  at least   the gate alone   candidates that were not bad",
    ]
    for each in bad:
        others = (
            f"{each.near_misses} pressed less, {each.harmless} not at all, "
            f"{each.began_pressed} began pressed"
            if each.near_misses or each.harmless or each.began_pressed
            else "bad by construction"
        )
        lines.append(
            f"{each.name:12} {each.n:4} {each.caught:7} {each.rate:7.2%} {each.at_least:9.2%} "
            f"{each.gate_alone:7} of {each.gate_tried:<4}   {others}"
        )
        lines += [f"    missed: {how}" for how in each.missed]
    total = result["bad"]
    lines.append(
        f"{'all':12} {total['n']:4} {total['caught']:7} {total['rate'] or 0:7.2%} "
        f"{total['at_least']:9.2%}   a press counts from {PRESS_N:g} N"
    )
    for count in good:
        lines.append(f"good chunks of the {count.origin}: {count.refused} of {count.n} refused")
        lines += [f"    {refusal}" for refusal in count.refusals]
    times = result["verdict_ms_100_steps"]
    for name, each in times.items():
        lines.append(
            f"verdict on 100 steps, {name}: p50 {each['p50']} ms, p99 {each['p99']} ms, "
            f"max {each['max']} ms (n = {each['n']})"
        )
    most = collections.Counter[str]()
    for each in bad:
        most.update(each.reasons)
    lines.append(
        "refused because: " + ", ".join(f"{words} ({n})" for words, n in most.most_common())
    )
    lines.append(
        f"{'passed' if result['passed'] else 'FAILED'} in {result['seconds']:.0f} s: must catch "
        f"{MUST_CATCH:.0%} of them all, refuse 1 in 2,000 at most, take {MUST_TAKE_MS:g} ms of a core (p99)"
    )
    return "\n".join(lines)


class _Progress:
    """What is being done, on the error stream, at most once every two seconds for the same thing."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def __call__(self, words: str) -> None:
        now_s = time.monotonic()
        if not words.startswith("collecting") or now_s - self._last_s > 2.0:
            self._last_s = now_s
            print(words, file=sys.stderr, flush=True)
