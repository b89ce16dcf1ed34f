"""Where the time of the loaded policy's chunks goes: p50, p95 and maximum of each stage.

Read from the ring `chunks` as the records come; what a checkpoint before it took is forgotten.
"""

from collections import deque
from pathlib import Path
from typing import Any

from robotd.late import LateFile
from robotd.latency import CHUNK, STAGES, percentile, stages_us
from robotd.shm import RingReader
from robotd.status import StageLatency

_KEPT = 256  # three minutes of a policy that thinks every 20 steps at 30 Hz


class LatencyWatch:
    """The stages of the newest chunks that were followed."""

    def __init__(self, path: Path) -> None:
        self.stages: dict[str, StageLatency] = {}
        self._file = LateFile(path, lambda path: RingReader(path, CHUNK))
        self._next = 0
        self._chunks: deque[dict[str, int]] = deque(maxlen=_KEPT)

    def forget(self) -> None:
        """Another policy was loaded."""
        self.look()
        self._chunks.clear()
        self.stages = {}

    def look(self) -> None:
        """Take the records that are new."""
        if self._file.look():
            self._next = 0
        ring = self._file.reader
        if ring is None or ring.count == self._next:
            return
        for index in range(max(self._next, ring.count - _KEPT), ring.count):
            self._take(ring.read(index))
        self._next = ring.count
        if self._chunks:
            self.stages = {stage: self._summary(stage) for stage in STAGES}

    def _take(self, record: dict[str, Any] | None) -> None:
        stages = None if record is None else stages_us(record)
        if stages is not None:
            self._chunks.append(stages)

    def _summary(self, stage: str) -> StageLatency:
        values = [chunk[stage] / 1_000 for chunk in self._chunks]
        return StageLatency(
            p50_ms=round(percentile(values, 0.5), 2),
            p95_ms=round(percentile(values, 0.95), 2),
            max_ms=round(max(values), 2),
        )
