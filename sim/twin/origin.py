"""What a plan was made from, and whether that is too old to move an arm by. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.plan_words import Refusal
from robotd.states import PlanReason, Source


@dataclass(frozen=True, slots=True)
class Origin:
    """The observation that a plan was made from, and the hand-over that was in force then."""

    source: Source
    handover_version: int
    observation_ns: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Origin":
        """From a record of layout `plan`."""
        return cls(
            Source(record["source"]),
            int(record["handover_version"]),
            int(record["observation_ns"]),
        )


def stale(origin: Origin, tick: Mapping[str, Any], at_ns: int, limit_ms: float) -> Refusal | None:
    """Why a plan of `origin` is refused at `at_ns`, after `tick` (layout `tick`); None: it is new enough.

    A plan of an earlier hand-over, or from an observation that is not newer than the hand-over, never moves the arm:
    control holds to that too, here it is said. A later hand-over than the tick's is one that has not been seen yet.
    A rehearsal's plans belong to no hand-over.
    """
    age_ns = at_ns - origin.observation_ns
    if age_ns > limit_ms * NS_PER_MS:
        return Refusal(PlanReason.STALE, amount=age_ns / NS_PER_S)
    if origin.source is Source.SHADOW:
        return None
    version = int(tick["handover_version"])
    before = origin.handover_version == version and origin.observation_ns <= tick["handover_ns"]
    if origin.handover_version < version or before:
        return Refusal(PlanReason.STALE)
    return None
