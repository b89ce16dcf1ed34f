"""A policy in a world of virtual time: the same checkpoint, executor and runner as on the arm.

The lock-step world owns the clock and the tick; it calls `PolicyRunner.step` after each one, checks
what comes back in the twin and passes the verdict in with the next call.
"""

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from config.schema import Config
from policies.executor import Executor, Proposal
from policies.history import History
from policies.loaded import LoadedPolicy, frame_stale_ns, row_stride
from policies.observation import NotObservedError, Observation, build_observation
from policies.runner import Answer, Runner
from robotd.clock import NS_PER_S, Clock
from robotd.frames import Frame
from robotd.states import State

FrameAt = Callable[[str, int], Frame | None]
"""The newest frame of a camera at or before a time; only called for what the policy looks at."""

EnvironmentNow = Callable[[], Mapping[str, Any] | None]
"""The newest `environment_state` record (`stamp_ns`, `values`)."""


class PolicyRunner:
    """One policy in one lock-step world.

    `latency_ns` is the fixed virtual time from observation to chunk: 0 for the best case, or what
    was measured on the machine that is to be imitated.
    """

    def __init__(
        self,
        policy: LoadedPolicy,
        config: Config,
        clock: Clock,
        *,
        frame_at: FrameAt,
        environment_now: EnvironmentNow,
        latency_ns: int = 0,
    ) -> None:
        self._policy = policy
        self._stride = row_stride(config)
        self._stale_ns = frame_stale_ns(config)
        self._frame_at = frame_at
        self._environment_now = environment_now
        # The delay of this world, not that of this machine: the same run twice is the same.
        delay_ns = latency_ns + 2 * NS_PER_S // config.control.tick_hz
        settings = replace(policy.settings, first_delay_ns=delay_ns)
        self.runner = Runner(policy, Executor(settings), clock, State.POLICY, latency_ns=latency_ns)
        self._tick_ns = NS_PER_S // config.control.tick_hz
        count = policy.model.interface.steps_seen
        self._history = History(count, policy.step_ns, self._observed_at)
        back = [round(k * policy.step_ns / self._tick_ns) for k in range(count)]
        self._kept_at = {-ticks % self._stride for ticks in back if count > 1}
        self._kept: deque[Observation] = deque(maxlen=back[-1] + 1)

    def step(self, tick: Mapping[str, Any], answer: Answer | None = None) -> Proposal | None:
        """One tick (layout `tick`). Returns what the twin is to judge, or None.

        `answer` is the twin's verdict on the last proposal, given once.
        """
        row = tick if tick["index"] % self._stride == 0 else None
        if tick["index"] % self._stride in self._kept_at and tick["state"] == State.POLICY:
            # Pictures here are drawn of the present alone: what a row will look back to is kept.
            with suppress(NotObservedError):
                self._kept.append(self._seen(tick))
        return self.runner.step(tick, row, self._observe, answer)

    def _observe(self, row: Mapping[str, Any]) -> Observation:
        return self._history.of(self._seen(row))

    def _observed_at(self, at_ns: int) -> Observation:
        for kept in reversed(self._kept):
            if abs(kept.deadline_ns - at_ns) <= self._tick_ns:
                return kept
        raise NotObservedError("what was seen a moment ago is not known")

    def _seen(self, tick: Mapping[str, Any]) -> Observation:
        deadline_ns = int(tick["deadline_ns"])
        policy = self._policy
        return build_observation(
            tick,
            policy.border,
            {name: self._frame_at(name, deadline_ns) for name in policy.fit.cameras},
            self._environment_now() if policy.fit.environment else None,
            self._stale_ns,
            told=policy.fit.environment,
        )
