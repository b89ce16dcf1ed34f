"""A policy in shadow: it looks and proposes while the arm is limp, and nobody follows.

The same observation, chunk, executor and twin as in a run, but for a hand-over that never was. Its
plans carry the source SHADOW and a version that control never counts to; control follows a plan
only when both are those of its own hand-over, whose source is always POLICY or REPLAY, and only in
those two states, in which this proposes nothing. The arm does not go along, so every chunk is
proposed from where it is measured to be, as the first one of a run would be.
"""

import statistics
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from policies.executor import Executor, Proposal
from policies.loaded import LoadedPolicy
from policies.reach import Reaching
from policies.runner import Answer, Observe, Runner
from robotd.clock import NS_PER_MS, Clock
from robotd.policy_channel import Shadowed
from robotd.states import Source, State, Verdict

SHADOW_VERSION = (1 << 64) - 1
"""The hand-over of every shadow. Control counts its own up from zero, one for each event."""

_TIMES_KEPT = 4096  # an hour at one chunk a second


class Shadow:
    """One shadow of one loaded policy, one `step` per loop pass."""

    def __init__(
        self,
        number: int,
        policy: LoadedPolicy,
        clock: Clock,
        *,
        first_chunk_id: int,
        latency_ns: int | None = None,
    ) -> None:
        settings = replace(policy.settings, source=Source.SHADOW, followed=False)
        self.number = number
        self._reaching = Reaching(policy)
        self.runner = Runner(
            self._reaching,
            Executor(settings),
            clock,
            State.DISARMED,
            first_chunk_id=first_chunk_id,
            latency_ns=latency_ns,
        )
        self._began_ns = clock.now_ns()
        self._asked_id = -1
        self._verdicts: Counter[Verdict] = Counter()
        self._reasons: Counter[str] = Counter()
        self._inference_ms: deque[float] = deque(maxlen=_TIMES_KEPT)
        self._inference_max_ms = self._age_max_ms = 0.0
        self._timed_chunks = 0

    def step(
        self,
        tick: Mapping[str, Any],
        row: Mapping[str, Any] | None,
        observe: Observe,
        answer: Answer | None,
    ) -> tuple[Proposal | None, Shadowed | None]:
        """One pass: what the twin is to judge, and the count when it has judged something.

        See `Runner.step`. Raises CheckpointError for a chunk that is no action.
        """
        judged = answer is not None and answer.plan_id == self._asked_id
        if answer is not None and judged:
            self._asked_id = -1
            self._verdicts[answer.verdict] += 1
            if answer.verdict is Verdict.REJECT:
                self._reasons[answer.reason.words] += 1
        ours = None if row is None else self._ours(row)
        proposal = self.runner.step(self._ours(tick), ours, observe, answer)
        if proposal is not None:
            self._asked_id = proposal.id
        self._take_times()
        return proposal, self._count() if judged else None

    def _ours(self, tick: Mapping[str, Any]) -> dict[str, Any]:
        """The tick as if the measured pose had been handed over when the shadow began."""
        return {
            **tick,
            "handover_version": SHADOW_VERSION,
            "handover_ns": self._began_ns,
            "applied_rad": tick["present_position_rad"],
        }

    def _take_times(self) -> None:
        inference = self.runner.inference
        if inference is None or self.runner.chunks == self._timed_chunks:
            return
        self._timed_chunks = self.runner.chunks
        took_ms = inference.inference_ns / NS_PER_MS
        self._inference_ms.append(took_ms)
        self._inference_max_ms = max(self._inference_max_ms, took_ms)
        self._age_max_ms = max(self._age_max_ms, inference.observation_age_ns / NS_PER_MS)

    def _count(self) -> Shadowed:
        return Shadowed(
            number=self.number,
            chunks=self._verdicts.total(),
            refused=self._verdicts[Verdict.REJECT],
            late=self._verdicts[Verdict.LATE],
            reasons=dict(self._reasons),
            inference_ms=statistics.median(self._inference_ms) if self._inference_ms else 0.0,
            inference_max_ms=self._inference_max_ms,
            observation_age_max_ms=self._age_max_ms,
            reach_deg=self._reaching.reach_deg,
            jump_deg=self._reaching.jump_deg,
        )
