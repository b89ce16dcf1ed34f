"""A policy in a world of virtual time: the same checkpoint, executor and runner as on the arm.

The lock-step world owns the clock and the tick; it calls `PolicyRunner.step` after each one, checks
what comes back in the twin and passes the verdict in with the next call.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from config.schema import Config
from policies.executor import Executor, Proposal
from policies.loaded import LoadedPolicy, frame_stale_ns, row_stride
from policies.observation import Observation, build_observation
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

    def step(self, tick: Mapping[str, Any], answer: Answer | None = None) -> Proposal | None:
        """One tick (layout `tick`). Returns what the twin is to judge, or None.

        `answer` is the twin's verdict on the last proposal, given once.
        """
        row = tick if tick["index"] % self._stride == 0 else None
        return self.runner.step(tick, row, self._observe, answer)

    def _observe(self, row: Mapping[str, Any]) -> Observation:
        deadline_ns = int(row["deadline_ns"])
        policy = self._policy
        return build_observation(
            row,
            policy.border,
            {name: self._frame_at(name, deadline_ns) for name in policy.fit.cameras},
            self._environment_now() if policy.fit.environment else None,
            self._stale_ns,
            told=policy.fit.environment,
        )
