"""The latency budget of a chunk: from the exposure of its oldest picture to its first goal written.

The process that makes plans appends one record a chunk to the ring `chunks`; supervisor, recorder
and benchmarks read them. What a stage is, is said here once. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from robotd.shm import Field, Layout

CHUNKS_KEPT = 1_024  # ensembling makes 30 a second: half a minute of them

CHUNK = Layout(
    "chunk",
    1,
    [
        Field("id", "Q"),  # the plan's; what a recording's evidence calls chunk_id
        Field(
            "captured_ns", "q"
        ),  # the oldest input was taken: a picture's exposure, else the tick
        Field("observed_ns", "q"),  # everything that belongs to the row was there
        Field("preprocess_us", "I"),
        Field("infer_us", "I"),  # the model's own forward, device synchronised
        Field("post_us", "I"),
        Field("predicted_ns", "q"),  # the chunk was there, in radians
        Field("proposed_ns", "q"),  # 0: it never came to that
        Field("judged_ns", "q"),
        Field("written_ns", "q"),  # control wrote its first goal; 0: it was never followed
        Field("verdict", "B"),
        Field("consumed", "I"),  # actions of it that were past when control took it up
    ],
)

STAGES = ("frame", "preprocess", "infer", "post", "turn", "verdict", "write", "total")
"""In order: exposure to the complete observation; the model's three parts; waiting until the twin
has answered the plan before; the twin; from its verdict to the first goal on the line; and all of
it, exposure to first goal."""


def stages_us(chunk: Mapping[str, Any]) -> dict[str, int] | None:
    """The stages of one record of `CHUNK`, in µs; None for a chunk that was never followed."""
    if not chunk["written_ns"]:
        return None

    def between(begin: str, end: str) -> int:
        return max(0, (int(chunk[end]) - int(chunk[begin])) // 1_000)

    return {
        "frame": between("captured_ns", "observed_ns"),
        "preprocess": int(chunk["preprocess_us"]),
        "infer": int(chunk["infer_us"]),
        "post": int(chunk["post_us"]),
        "turn": between("predicted_ns", "proposed_ns"),
        "verdict": between("proposed_ns", "judged_ns"),
        "write": between("judged_ns", "written_ns"),
        "total": between("captured_ns", "written_ns"),
    }


def percentile(values: Sequence[float], part: float) -> float:
    """A value that occurred (nearest rank); 0 where there is none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else 0.0
