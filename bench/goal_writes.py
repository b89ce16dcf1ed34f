"""From stamps of goal writes and the ticks that made them to robotd's figures. Pure.

A tick writes a goal only when it changed (a write energises a servo), so the period between two
writes is as many ticks as *ran* between them. A deadline that was skipped is not a tick that ran:
its whole period counts as error.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.bare import Slices
from bench.figures import Spread, Stamps, nearest, period_errors_ns, spread, within
from robotd.clock import NS_PER_S

STAGES = ("late", "read", "gate", "write")
Ticks = npt.NDArray[Any]
"""Records of `robotd.layouts.tick_layout`, in the order in which they ran."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How control kept time. `work_ns` is each tick's reading, gating and writing; `stages` how long
    each of these took, and how late a tick began."""

    missed: int
    errors: Spread
    work_ns: npt.NDArray[np.int64]
    stages: dict[str, Spread]
    unmatched: int


def kept_time(writes: Stamps, ticks: Ticks, slices: Slices, hz: int) -> Kept:
    """Judge the goal writes of each slice against the ticks that made them."""
    period_ns = NS_PER_S / hz
    wrote = np.flatnonzero(ticks["write_ns"])
    errors: list[npt.NDArray[np.float64]] = []
    missed = unmatched = 0
    ran: list[Ticks] = []
    for begin, end in slices:
        inside = ticks[(ticks["deadline_ns"] >= begin) & (ticks["deadline_ns"] < end)]
        ran.append(inside)
        if len(inside):
            missed += int(inside["missed_ticks"][-1]) - int(inside["missed_ticks"][0])
        stamps = within(writes, begin, end)
        if not len(wrote) or not len(stamps):
            continue
        which = nearest(ticks["write_ns"][wrote], stamps)
        near = np.abs(ticks["write_ns"][wrote][which] - stamps) < period_ns / 2
        unmatched += int(np.count_nonzero(~near))
        errors.append(
            period_errors_ns(stamps[near], period_ns, np.diff(wrote[which[near]]).astype(np.int64))
        )
    counted = np.concatenate(ran) if ran else ticks[:0]
    return Kept(
        missed,
        spread(np.concatenate(errors) if errors else []),
        _work_ns(counted),
        {stage: spread(counted[f"{stage}_us"] * 1_000.0) for stage in STAGES},
        unmatched,
    )


def _work_ns(ticks: Ticks) -> npt.NDArray[np.int64]:
    stages = (ticks[name].astype(np.int64) for name in ("read_us", "gate_us", "write_us"))
    return np.asarray(sum(stages) * 1_000, np.int64)


def beyond_the_wire_ns(
    ticks: Ticks, slices: Slices, asked: Stamps, answered: Stamps
) -> npt.NDArray[np.int64]:
    """Each tick's work less the time that the line took to answer it, by the wire recorder."""
    if not len(asked):
        return np.zeros(0, np.int64)
    spans: list[npt.NDArray[np.int64]] = []
    for begin, end in slices:
        inside = ticks[(ticks["deadline_ns"] >= begin) & (ticks["deadline_ns"] < end)]
        which = nearest(asked, inside["deadline_ns"].astype(np.int64))
        answered_after = answered[which] - asked[which]
        same = (asked[which] >= inside["deadline_ns"]) & (asked[which] <= inside["read_ns"])
        spans.append((_work_ns(inside) - answered_after)[same])
    return np.concatenate(spans) if spans else np.zeros(0, np.int64)
