"""What whiskers tell in numbers: how far a chunk moves the fingertips, and how sure the policy is of it. Pure.

Paths are float [arms, N, 3] in metres, world frame. The alarms are about the commonest silent fault there is, actions
that were never un-normalised: read as degrees they hardly move, or begin far from where the arm is.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

STILL_M = 0.005
"""A chunk lasts a second or so, in which any task moves the fingertips further than this; numbers of around 1 that
are read as degrees do not."""
FAR_M = 0.080
"""A policy's first waypoint is about where the arm was a few hundredths of a second ago: with the shipped ACT, which
leads its servos, 29 mm off on the median."""


@dataclass(frozen=True, slots=True)
class ChunkNumbers:
    """One chunk. Metres and metres per second; None where there was nothing to compare with.

    `moves_m`: the farthest that the fingertips get from where the chunk begins. `begins_off_m`: how far its first
    waypoint is from where the arm was. `endpoint_speed_m_s`: of the goal at the chunk's last step. `sample_spread_m`:
    how far the policy's other answers to the same observation part from their mean, at the end of the chunk.
    `replan_m`: how far it is from the chunk before at the moments of which both speak. `blind_m`: how far it would
    have been elsewhere without the camera. `plan_rmse_m`: expected fingertips against real ones while it was followed.
    """

    at_s: float
    moves_m: float
    begins_off_m: float
    endpoint_speed_m_s: float
    sample_spread_m: float | None = None
    replan_m: float | None = None
    blind_m: float | None = None
    plan_rmse_m: float | None = None
    passed: bool | None = None


def moves_m(tips: Points) -> float:
    """The farthest that any arm's fingertips get from where they begin."""
    return float(np.linalg.norm(tips - tips[:, :1], axis=2).max())


def endpoint_speed_m_s(tips: Points, step_s: float) -> float:
    """How fast the fastest arm's goal still goes at the last step; 0 for a single waypoint."""
    if tips.shape[1] < 2:
        return 0.0
    return float(np.linalg.norm(tips[:, -1] - tips[:, -2], axis=1).max() / step_s)


def spread_m(samples: Sequence[Points]) -> float:
    """Root mean square distance of the samples' ends from the mean of them."""
    ends = np.array([each[:, -1] for each in samples])
    off = np.linalg.norm(ends - ends.mean(axis=0), axis=2)
    return float(np.sqrt((off**2).mean()))


def apart_m(first: Points, second: Points) -> float:
    """Mean distance of two paths point by point, over what both have."""
    both = min(first.shape[1], second.shape[1])
    return float(np.linalg.norm(first[:, :both] - second[:, :both], axis=2).mean())


def rmse_m(expected: Points, real: Points) -> float:
    """Root mean square distance of two paths of the same times."""
    return float(np.sqrt((np.linalg.norm(expected - real, axis=2) ** 2).mean()))


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that a person should know before this policy moves an arm, in three parts."""

    what: str
    likely: str
    do: str


def alarms(chunks: Sequence[ChunkNumbers], policy: str) -> list[Alarm]:
    """What the numbers of a whole run say. None for a run without chunks."""
    if not chunks:
        return []
    found = []
    moves = statistics.median(each.moves_m for each in chunks)
    off = statistics.median(each.begins_off_m for each in chunks)
    if moves < STILL_M:
        found.append(
            Alarm(
                f"A chunk moves the fingertips by {moves * 1000:.1f} mm (half of them by less).",
                "The actions were likely never un-normalised; or the policy learnt to hold still.",
                f"Look closer: robotd ckpt verify {policy}; robotd probe --policy {policy} --dataset D.",
            )
        )
    if off > FAR_M:
        found.append(
            Alarm(
                f"A chunk begins {off * 1000:.0f} mm from where the arm is (half of them further).",
                "The actions are in other units, were never un-normalised, or are of another robot's calibration.",
                f"Look closer: robotd ckpt inspect {policy}; robotd probe --policy {policy} --dataset D.",
            )
        )
    return found


def summary(chunks: Sequence[ChunkNumbers], policy: str) -> dict[str, Any]:
    """The run in one table: medians and worst in millimetres, the alarms, and every chunk in metres."""
    names = [
        "moves_m",
        "begins_off_m",
        "endpoint_speed_m_s",
        "sample_spread_m",
        "replan_m",
        "blind_m",
        "plan_rmse_m",
    ]
    table = {}
    for name in names:
        values = [value for each in chunks if (value := getattr(each, name)) is not None]
        if values:
            key = name.replace("_m_s", "_mm_s") if name.endswith("_m_s") else name[:-1] + "mm"
            table[key] = {
                "p50": round(statistics.median(values) * 1000, 2),
                "max": round(max(values) * 1000, 2),
            }
    judged = [each.passed for each in chunks if each.passed is not None]
    return {
        "chunks": len(chunks),
        "refused": judged.count(False) if judged else None,
        **table,
        "alarms": [asdict(each) for each in alarms(chunks, policy)],
        "per_chunk": [asdict(each) for each in chunks],
    }
