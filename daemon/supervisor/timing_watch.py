"""Control's `timing` slot as figures: since it started, and over the last ten seconds.

Looked at once a second, and at first sooner, so that there are figures soon after the robot is
ready. What lies between two looks is the difference of two states of the same histogram, so ten
seconds cost eleven copies of the slot, however fast the loop ticks.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from robotd.clock import NS_PER_S
from robotd.health import Spread, StageHealth
from robotd.histogram import Histogram
from robotd.late import LateFile
from robotd.layouts import STAGES, timing_layout
from robotd.shm import SlotReader

_WINDOW_S = 10
_LOOK_NS = NS_PER_S
_FIRST_NS = NS_PER_S // 4  # as often as control publishes
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class LineCounts:
    """What the serial lines lost up to `stamp_ns`. `lost` and `leader_lost` are by joint, in the
    robot's order."""

    stamp_ns: int
    coasted: int
    reopened: int
    lost: tuple[int, ...]
    leader_lost: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """The figures. `hz` and the `recent_…` ones are of the last ten seconds, `minute` of a minute
    ago (or of the first look, in the first minute)."""

    hz: float = 0.0
    ticks: int = 0
    missed: int = 0
    recent_ticks: int = 0
    recent_missed: int = 0
    line: LineCounts = LineCounts(0, 0, 0, (), ())
    minute: LineCounts = LineCounts(0, 0, 0, (), ())
    stages: dict[str, StageHealth] = field(default_factory=dict)


class TimingWatch:
    """Follows the slot of the present control process."""

    def __init__(self, path: Path, joints: Sequence[str]) -> None:
        layout = timing_layout(len(joints))
        self._joints = tuple(joints)
        self._file = LateFile(path, lambda path: SlotReader(path, layout))
        self._records: deque[dict[str, Any]] = deque(maxlen=_WINDOW_S + 1)
        self._lines: deque[LineCounts] = deque(maxlen=_MINUTE_S + 1)
        self._looked_ns = 0
        self.newest = Timing()

    def look(self, now_ns: int) -> None:
        """Take the newest state, when it is time to."""
        period_ns = _LOOK_NS if len(self._records) > 1 else _FIRST_NS
        if now_ns - self._looked_ns >= period_ns:
            self._looked_ns = now_ns
            self._take()

    def keep(self, path: Path) -> None:
        """Write the figures since the start to `path`, as JSON; nothing before the first tick."""
        self._take()
        if not self._records:
            return
        timing = self.newest
        kept = {
            "ticks": timing.ticks,
            "missed": timing.missed,
            "lost": dict(zip(self._joints, timing.line.lost, strict=True)),
            "leader_lost": dict(zip(self._joints, timing.line.leader_lost, strict=True)),
            "coasted": timing.line.coasted,
            "reopened": timing.line.reopened,
            "stages": {stage: each.since_start for stage, each in timing.stages.items()},
        }
        path.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")

    def _take(self) -> None:
        if self._file.look():  # another control process: its figures begin anew
            self._records.clear()
            self._lines.clear()
        record = None if self._file.reader is None else self._file.reader.read()
        if record is None:
            return
        self._records.append(record)
        self._lines.append(
            LineCounts(
                record["stamp_ns"],
                record["coasted"],
                record["reopened"],
                record["lost"],
                record["leader_lost"],
            )
        )
        self.newest = self._figures(record, self._records[0])

    def _figures(self, now: dict[str, Any], then: dict[str, Any]) -> Timing:
        span_s = (now["stamp_ns"] - then["stamp_ns"]) / NS_PER_S
        ticks = now["ticks"] - then["ticks"]
        return Timing(
            hz=ticks / span_s if span_s > 0 else 0.0,
            ticks=now["ticks"],
            missed=now["missed"],
            recent_ticks=ticks,
            recent_missed=now["missed"] - then["missed"],
            line=self._lines[-1],
            minute=self._lines[0],
            stages={stage: _stage(now[stage], then[stage]) for stage in STAGES},
        )


def _stage(now: tuple[int, ...], then: tuple[int, ...]) -> StageHealth:
    whole = Histogram.of(now)
    return StageHealth(
        last_10_s=_spread(whole.since(Histogram.of(then))), since_start=_spread(whole)
    )


def _spread(histogram: Histogram) -> Spread:
    return Spread(
        count=histogram.count,
        p50_us=histogram.percentile(0.5),
        p99_us=histogram.percentile(0.99),
        p999_us=histogram.percentile(0.999),
        max_us=float(histogram.maximum),
    )
