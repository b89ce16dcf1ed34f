"""What a plan process reads of the runtime folder, and the latency budgets that it leaves there."""

from pathlib import Path
from typing import Any

import pytest

from daemon.recorder.follow import ChunkFollower
from daemon.supervisor.latency_watch import LatencyWatch
from policies.latency import LatencyBook
from policies.link import RuntimeLink
from policies.model import Timings
from robotd.clock import NS_PER_MS
from robotd.latency import STAGES, percentile, stages_us
from robotd.layouts import tick_layout
from robotd.shm import RingWriter
from robotd.states import Verdict

LAYOUT = tick_layout(6)
BLANK = {f.name: (0,) * f.count if f.count > 1 else 0 for f in LAYOUT.fields}


def test_the_first_tick_of_a_plan_is_found_though_it_was_not_looked_at_in_time(
    tmp_path: Path,
) -> None:
    """While a chunk is inferred nobody reads ticks: the loop sees a plan dozens of ticks late."""
    ticks = RingWriter(tmp_path / "ticks", LAYOUT, 64)
    link = RuntimeLink(tmp_path, 6, 8)
    assert link.first_followed(5) is None
    for index in range(200):
        plan = 5 if index >= 180 else 4
        ticks.append(BLANK | {"index": index, "plan_id": plan, "plan_index": index % 7})
    first = link.first_followed(5)
    assert first is not None and first["index"] == 180
    assert link.first_followed(4) is None  # it is followed no more
    ticks.append(BLANK | {"index": 200, "plan_id": 6})
    assert link.first_followed(5) is None
    link.close()
    ticks.close()


def record(chunk_id: int, infer_ms: int) -> dict[str, Any]:
    """One chunk on its way, 40 ms from exposure to observation, 9 ms in the twin."""
    book = LatencyBook()
    at_ns = 10**9 * chunk_id
    parts = Timings(preprocess_ns=2 * NS_PER_MS, infer_ns=infer_ms * NS_PER_MS, post_ns=NS_PER_MS)
    seen_ns = at_ns + 40 * NS_PER_MS
    made_ns = seen_ns + (infer_ms + 4) * NS_PER_MS
    book.predicted(chunk_id, at_ns, seen_ns, made_ns, parts)
    book.proposed(chunk_id, made_ns + 5 * NS_PER_MS)
    book.judged(chunk_id, Verdict.PASS, made_ns + 14 * NS_PER_MS)
    assert book.take() == []
    book.written(chunk_id, made_ns + 20 * NS_PER_MS, 3)
    (done,) = book.take()
    return done


def test_every_millisecond_of_a_chunk_belongs_to_a_stage() -> None:
    stages = stages_us(record(1, 95))
    assert stages is not None and tuple(stages) == STAGES
    assert stages == {
        "frame": 40_000,
        "preprocess": 2_000,
        "infer": 95_000,
        "post": 2_000,  # what the model counts, and the way to radians
        "turn": 5_000,
        "verdict": 9_000,
        "write": 6_000,
        "total": 159_000,
    }


def test_a_chunk_that_was_refused_or_overtaken_is_no_latency() -> None:
    book = LatencyBook()
    for chunk_id in (1, 2, 3):
        book.predicted(chunk_id, 0, 1, 2, Timings())
    book.judged(1, Verdict.REJECT, 5)
    (refused,) = book.take()
    assert refused["id"] == 1 and stages_us(refused) is None
    book.written(3, 9, 1)
    overtaken, written = book.take()
    assert (overtaken["id"], written["id"]) == (2, 3)
    assert stages_us(overtaken) is None and stages_us(written) is not None
    book.predicted(4, 0, 1, 2, Timings())
    book.forget()  # a hand-over
    book.written(4, 9, 1)
    assert book.take() == []


def test_supervisor_and_recorder_read_the_same_budgets(tmp_path: Path) -> None:
    watch, recorder = LatencyWatch(tmp_path / "chunks"), ChunkFollower(tmp_path / "chunks")
    watch.look()
    assert watch.stages == {} and recorder.stages_us(1) == ()
    link = RuntimeLink(tmp_path, 6, 8)
    for chunk_id in range(1, 101):
        link.chunk(record(chunk_id, chunk_id))
    watch.look()
    infer, total = watch.stages["infer"], watch.stages["total"]
    assert (infer.p50_ms, infer.p95_ms, infer.max_ms) == (50, 95, 100)
    assert total.max_ms == pytest.approx(infer.max_ms + 64)
    assert recorder.stages_us(100)[STAGES.index("infer")] == 100_000
    assert recorder.stages_us(-1) == ()  # no chunk was followed
    watch.forget()
    assert watch.stages == {}
    watch.look()
    assert watch.stages == {}  # what the checkpoint before took is not told again
    link.close()


def test_a_percentile_is_a_value_that_occurred() -> None:
    assert percentile([], 0.5) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0
