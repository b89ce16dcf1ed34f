"""What an evaluation came to, as `results.json`: rates with intervals for each variant, pairs compared, one chosen.

The fields are those of policies facts G5. The top level repeats the chosen variant's, so that a program that evaluates
one checkpoint finds its numbers there.
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from learning.evaluation.records import EpisodeRecord
from learning.evaluation.statistics import (
    INTERVAL_METHOD,
    PAIRED_METHOD,
    choose,
    paired,
    wilson,
)
from learning.evaluation.variants import Variant
from sim.tasks.outcome import Outcome, rates

LOOK = ("plant", "person")
"""The judges that say how far an episode came; a gym knows success and failure alone."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation is of, beyond its variants. `source` is `plant`, `arm` or a gym's name; `max_steps` counts
    for a failed episode. `checkpoint_sha` is that of all that decides what a policy does, by path, `config_sha` that of
    the simulated robot's configuration. Not `seeded`: a seed numbers an episode and decides nothing in it."""

    source: str
    task: str
    robotd: str
    scene_sha: str = ""
    max_steps: int
    latency_ms: float | None = None
    grid: tuple[int, int] | None = None
    picture_size: tuple[int, int] | None = None
    checkpoint_sha: dict[str, str] = {}
    config_sha: str = ""
    seeded: bool = True


def results(
    about: About, variants: Sequence[Variant], records: Sequence[EpisodeRecord]
) -> dict[str, Any]:
    """The whole evaluation. A variant without episodes is left out. Raises ValueError when none has any.

    `wall_s` is how long its episodes took one after the other, whoever played them and in however many goes.
    """
    of_each = [[r for r in records if r.variant == number] for number in range(len(variants))]
    each = [
        _variant(about, variant, own) for variant, own in zip(variants, of_each, strict=True) if own
    ]
    played = [number for number, own in enumerate(of_each) if own]
    best = choose([(sum(r.success for r in own), len(own)) for own in of_each if own])
    chosen = each[best]
    return {
        **chosen,
        "source": about.source,
        "task": about.task,
        "git": about.robotd,
        "scene_sha": about.scene_sha,
        "rendered_cameras": sorted({name for record in records for name in record.cameras}),
        "told": next((record.told for record in records if record.told), ""),
        "latency_ms": about.latency_ms,
        "max_steps": about.max_steps,
        "grid": about.grid,
        "picture_size": about.picture_size,
        "methods": {"ci95": INTERVAL_METHOD, "paired": PAIRED_METHOD},
        "chosen": chosen["variant"],
        "why_chosen": _why(each, best),
        "variants": each,
        "paired": _pairs(variants, of_each, played, played[best]),
        "wall_s": round(sum(record.seconds or 0.0 for record in records), 1),
    }


def _variant(about: About, variant: Variant, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    outcomes = [Outcome(record.outcome) for record in records]
    looked = all(record.judged_by in LOOK for record in records)
    found = rates(outcomes, [record.steps for record in records], about.max_steps, looked=looked)
    successes = sum(record.success for record in records)
    low, high = wilson(successes, len(records))
    slips = [record.slips for record in records if record.slips is not None]
    margins = [record.grip_margin for record in records if record.grip_margin is not None]
    load = variant.load
    return {
        "variant": variant.name,
        "ckpt": "" if load is None else load.path,
        "ckpt_sha": "" if load is None else about.checkpoint_sha.get(load.path, ""),
        "ckpt_step": variant.step,
        "n_action_steps": records[0].n_action_steps,
        "mode": "" if load is None else load.mode,
        "ensemble": "" if load is None else load.ensemble,
        "episodes": len(records),
        "successes": successes,
        "success_rate": round(found.success, 4),
        "ci95": [round(low, 4), round(high, 4)],
        "outcomes": dict(sorted(Counter(str(outcome) for outcome in outcomes).items())),
        "pick_rate": _rounded(found.pick),
        "drop_rate": _rounded(found.drop),
        "mean_steps": round(found.mean_steps, 2),
        "seeds": sorted({record.seed for record in records}) if about.seeded else None,
        "rates": asdict(found) | {"successes": successes, "ci95": [round(low, 4), round(high, 4)]},
        "grip": {
            "margin_min": min(margins, default=None),
            "margin_median": round(statistics.median(margins), 2) if margins else None,
            "slips": sum(slips) if slips else None,
            "episodes_with_slips": sum(count > 0 for count in slips) if slips else None,
        },
        "plans": {
            "proposed": _sum([record.plans for record in records]),
            "rejected": _sum([record.refused for record in records]),
        },
        "timing": {
            "chunk_ms": _quantiles([ms for record in records for ms in record.chunk_ms]),
            "verdict_ms": _quantiles([ms for record in records for ms in record.verdict_ms]),
        },
        "cells": _cells(records),
        "per_episode": [
            {"episode": number, "seed": record.seed if about.seeded else None} | _episode(record)
            for number, record in enumerate(records, start=1)
        ],
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _sum(values: Sequence[int | None]) -> int | None:
    """None where nobody counted."""
    counted = [value for value in values if value is not None]
    return sum(counted) if counted else None


def _episode(record: EpisodeRecord) -> dict[str, Any]:
    cell = record.cell
    return {
        "outcome": record.outcome,
        "steps": record.steps,
        "seconds": record.seconds,
        "max_h": record.max_height_m,
        "lifted": record.lifted,
        "dropped": record.dropped,
        "dist": record.goal_distance_m,
        "limited_ticks": record.limited_ticks,
        "grip_margin": record.grip_margin,
        "slips": record.slips,
        "plan_rmse": record.plan_rmse_deg,
        "film": record.film,
        "judged_by": record.judged_by,
        **({"said": record.said} if record.said else {}),
        **({} if record.task_id < 0 else {"task_id": record.task_id}),
        **(
            {}
            if record.sum_reward is None
            else {"sum_reward": record.sum_reward, "max_reward": record.max_reward}
        ),
        **({} if cell is None else {"cell": [cell.column, cell.row], "at": [cell.x_m, cell.y_m]}),
    }


def _cells(records: Sequence[EpisodeRecord]) -> list[dict[str, Any]]:
    """Successes by the place of the object; empty without a grid."""
    by_cell: dict[tuple[int, int], list[EpisodeRecord]] = {}
    for record in records:
        if record.cell is not None:
            by_cell.setdefault((record.cell.column, record.cell.row), []).append(record)
    found = []
    for (column, row), own in sorted(by_cell.items()):
        cell = own[0].cell
        assert cell is not None
        found.append(
            {
                "cell": [column, row],
                "at": [round(cell.x_m, 4), round(cell.y_m, 4)],
                "episodes": len(own),
                "successes": sum(record.success for record in own),
            }
        )
    return found


def _quantiles(values: Sequence[float]) -> dict[str, float | int]:
    if not values:
        return {"count": 0}
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return {"count": len(ordered), "p50": at(0.50), "p95": at(0.95), "max": round(ordered[-1], 2)}


def _pairs(
    variants: Sequence[Variant],
    of_each: Sequence[Sequence[EpisodeRecord]],
    played: Sequence[int],
    chosen: int,
) -> list[dict[str, Any]]:
    """The chosen variant against each other one, on the episodes that both have."""
    compared = []
    own = {record.case.key[1:]: record.success for record in of_each[chosen]}
    for number in played:
        if number == chosen:
            continue
        other = {record.case.key[1:]: record.success for record in of_each[number]}
        both = sorted(own.keys() & other.keys())
        if not both:
            continue
        found = paired([other[key] for key in both], [own[key] for key in both])
        compared.append(
            {
                "variant": variants[chosen].name,
                "against": variants[number].name,
                "pairs": found.pairs,
                "only_variant": found.only_second,
                "only_against": found.only_first,
                "difference": round(found.difference, 4),
                "ci95": [round(value, 4) for value in found.ci95],
                "p": float(f"{found.p_value:.3g}"),
            }
        )
    return compared


def _why(each: Sequence[Mapping[str, Any]], chosen: int) -> str:
    if len(each) == 1:
        return "the only one"
    best = max(each, key=lambda one: float(one["success_rate"]))
    if best is each[chosen]:
        return "the best, and no earlier one lies inside its interval"
    low, high = best["ci95"]
    return (
        f"the earliest inside the interval of the best ({best['variant']}: {low:.0%} to {high:.0%})"
    )


def table(content: Mapping[str, Any]) -> str:
    """The evaluation as a person reads it in a terminal."""
    each = content["variants"]
    lines = []
    if len(each) == 1:
        low, high = content["ci95"]
        lines.append(
            f"{content['successes']} of {content['episodes']} succeeded "
            f"({low:.0%} to {high:.0%} at 95 % confidence)"
        )
        lines += [f"  {name:26s} {count}" for name, count in content["outcomes"].items()]
    else:
        width = max(len(one["variant"]) for one in each)
        for one in each:
            low, high = one["ci95"]
            mark = "*" if one["variant"] == content["chosen"] else " "
            lines.append(
                f"{mark} {one['variant']:{width}s}  {one['successes']:3d} of {one['episodes']:<3d} "
                f"{one['success_rate']:6.1%} ({low:.0%} to {high:.0%})  {_picked(one)}"
                f"{one['mean_steps']:.0f} steps"
            )
        lines.append(f"* {content['why_chosen']}")
        lines += [
            f"  against {pair['against']}: {pair['difference']:+.0%} "
            f"({pair['ci95'][0]:+.0%} to {pair['ci95'][1]:+.0%}), p {pair['p']:.3g}"
            for pair in content["paired"]
        ]
    grip = content["grip"]
    if grip["margin_min"] is not None:
        lines.append(
            f"  grip: at least {grip['margin_min']:g} times the object's weight, "
            f"{grip['slips'] or 0} slips in {grip['episodes_with_slips'] or 0} episodes"
        )
    if content["told"]:
        lines.append(f"  it was told {content['told']}")
    if content["rendered_cameras"]:
        names = ", ".join(content["rendered_cameras"])
        lines.append(
            f"  it saw rendered pictures ({names}): no evidence for a policy trained on real ones"
        )
    return "\n".join([*lines, f"  in {content['wall_s']:.0f} s of episodes"])


def _picked(one: Mapping[str, Any]) -> str:
    if one["pick_rate"] is None:
        return ""
    return f"pick {one['pick_rate']:.0%}  drop {one['drop_rate']:.0%}  "
