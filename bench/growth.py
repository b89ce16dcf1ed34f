"""Whether processes grow: resident memory and descriptors over time, from /proc.

Resident is what a process has of its own and of its programs' files. The rings are left out: their size is
fixed, every process that reads one maps it, and how many of its pages one has looked at so far says
nothing about growth (the recorder has 110 MB of them after two minutes).
The slope is that of a straight line through all samples after the warm-up, in MB an hour, with its standard error: of
one that swings by ten megabytes (its encoders come and go) only hours can tell whether it grows. `judge` is pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import slope_per_hour

LIMIT_MB_PER_HOUR = 0.5
FEWEST_SAMPLES = 10  # a line through fewer says nothing about an hour
_KB_PER_MB = 1_024


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment. `at_s` since the beginning."""

    at_s: float
    resident_mb: float
    descriptors: int
    pid: int = 0


def sample(pid: int, at_s: float) -> Sample | None:
    """Look at a process; None when it is gone."""
    folder = Path("/proc") / str(pid)
    try:
        status = (folder / "status").read_text()
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
    except OSError:
        return None
    sizes = {
        line.partition(":")[0]: int(line.split()[1])
        for line in status.splitlines()
        if line.startswith(("VmRSS:", "RssShmem:"))
    }
    if "VmRSS" not in sizes:
        return None  # it has ended, and nobody has asked how
    own_kb = sizes["VmRSS"] - sizes.get("RssShmem", 0)
    return Sample(at_s, own_kb / _KB_PER_MB, descriptors, pid)


def judge(samples: Mapping[str, Sequence[Sample]], warm_up_s: float) -> dict[str, dict[str, Any]]:
    """For each process its slope, its descriptors and whether both are good; one that was started
    again is not. `warm_up_mb` is what it grew by before. `good` is None where the samples allow no
    verdict: too few, or a slope above the limit by less than two of its standard errors."""
    found: dict[str, dict[str, Any]] = {}
    for name, seen in samples.items():
        counted = [each for each in seen if each.at_s >= warm_up_s]
        slope = slope_per_hour(
            [each.at_s for each in counted], [each.resident_mb for each in counted]
        )
        warming = counted[0].resident_mb - seen[0].resident_mb if counted else 0.0
        half = len(counted) // 2
        before = max((each.descriptors for each in counted[:half]), default=0)
        after = max((each.descriptors for each in counted[half:]), default=0)
        starts = len({each.pid for each in seen})
        steady = after <= before and starts == 1
        good: bool | None = steady and slope.per_hour <= LIMIT_MB_PER_HOUR
        unsure = LIMIT_MB_PER_HOUR < slope.per_hour < LIMIT_MB_PER_HOUR + 2 * slope.error_per_hour
        if len(counted) < FEWEST_SAMPLES or (steady and unsure):
            good = None
        found[name] = {
            "samples": len(counted),
            "resident_mb": round(counted[-1].resident_mb, 2) if counted else None,
            "warm_up_mb": round(warming, 2),
            "slope_mb_per_hour": round(slope.per_hour, 3),
            "slope_error_mb_per_hour": round(slope.error_per_hour, 3),
            "swing_mb": round(slope.swing, 2),
            "descriptors": after,
            "descriptors_before": before,
            "starts": starts,
            "good": good,
        }
    return found
