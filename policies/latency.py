"""Where the time of each chunk went, kept until its first goal was written. No clock, no I/O.

`robotd/latency.py` says what the stages are and who reads the records.
"""

from collections import OrderedDict, deque
from typing import Any

from policies.model import Timings
from robotd.latency import CHUNKS_KEPT
from robotd.states import Verdict

_OPEN = 16  # chunks on their way; older ones were refused or overtaken

Record = dict[str, Any]


class LatencyBook:
    """The open chunks of one runner, and the records that are complete."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, Record] = OrderedDict()
        self._done: deque[Record] = deque(maxlen=CHUNKS_KEPT)

    def predicted(
        self, chunk_id: int, captured_ns: int, observed_ns: int, predicted_ns: int, parts: Timings
    ) -> None:
        """A chunk is there. What the model does not count as its own (the way to its keys and
        units and back) is post-processing."""
        rest_ns = predicted_ns - observed_ns - parts.preprocess_ns - parts.infer_ns
        self._open[chunk_id] = {
            "id": chunk_id,
            "captured_ns": captured_ns,
            "observed_ns": observed_ns,
            "preprocess_us": parts.preprocess_ns // 1_000,
            "infer_us": parts.infer_ns // 1_000,
            "post_us": max(0, rest_ns) // 1_000,
            "predicted_ns": predicted_ns,
            "proposed_ns": 0,
            "judged_ns": 0,
            "written_ns": 0,
            "verdict": int(Verdict.NONE),
            "consumed": 0,
        }
        while len(self._open) > _OPEN:
            self._finish(next(iter(self._open)))

    def proposed(self, chunk_id: int, now_ns: int) -> None:
        """Its plan went to the twin."""
        if chunk_id in self._open:
            self._open[chunk_id]["proposed_ns"] = now_ns

    def judged(self, chunk_id: int, verdict: Verdict, now_ns: int) -> None:
        """The twin answered; a refused one is complete with that."""
        record = self._open.get(chunk_id)
        if record is None:
            return
        record["judged_ns"], record["verdict"] = now_ns, int(verdict)
        if verdict is Verdict.REJECT:
            self._finish(chunk_id)

    def written(self, chunk_id: int, written_ns: int, consumed: int) -> None:
        """Control wrote its first goal. What came before it and was never followed is complete."""
        if chunk_id not in self._open:
            return
        self._open[chunk_id] |= {"written_ns": written_ns, "consumed": consumed}
        for older in [each for each in self._open if each <= chunk_id]:
            self._finish(older)

    def forget(self) -> None:
        """The arm is somebody else's: what was on its way never arrives."""
        self._open.clear()

    def take(self) -> list[Record]:
        """The records (layout `robotd.latency.CHUNK`) that were completed since the last call."""
        done = list(self._done)
        self._done.clear()
        return done

    def _finish(self, chunk_id: int) -> None:
        self._done.append(self._open.pop(chunk_id))
