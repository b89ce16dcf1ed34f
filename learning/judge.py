"""Judging an episode of the running simulation: success with dwell, or how it failed.

Real-time counterpart of the lock-step judge: it asks the plant's world socket for the truth at the
rate of dataset rows and hands the trajectory to the same pure functions. The arm, its policy and
its twin never see any of it.
"""

from pathlib import Path

import numpy as np

from robotd.clock import NS_PER_S, Clock, MonotonicClock
from sim.plant.world_client import WorldClient
from sim.tasks.outcome import Outcome, Trail, done_at, outcome_of
from sim.tasks.spec import TaskSpec


class LiveJudge:
    """Watches one episode at a time. Not for several threads."""

    def __init__(
        self, runtime: Path, task: TaskSpec, rows_hz: int, clock: Clock | None = None
    ) -> None:
        self._world = WorldClient(runtime)
        self._task = task
        self._period_ns = NS_PER_S // rows_hz
        self._clock = clock or MonotonicClock()
        self.begin()

    def lay_out(self, seed: int) -> None:
        """Put the block where `seed` says and begin a new episode."""
        self._world.reset(seed)
        self.begin()

    def begin(self) -> None:
        """Forget the last episode."""
        self._block: list[tuple[float, float, float]] = []
        self._speed: list[float] = []
        self._gripper: list[float] = []
        self._opened: list[float] = []
        self._next_ns = self._clock.now_ns()

    def look(self) -> bool:
        """Take the rows that are due (one, if called often enough); True once it is done."""
        if self._clock.now_ns() < self._next_ns:
            return False
        self._next_ns += self._period_ns
        truth = self._world.truth()
        x, y, z = truth.block_m
        self._block.append((x, y, z))
        self._speed.append(truth.block_speed_m_s)
        self._gripper.append(truth.arms[0].gripper_rad)
        self._opened.append(truth.opened_m)
        return self.completed

    @property
    def completed(self) -> bool:
        """Whether the task has been done, for as long as the dwell asks."""
        return done_at(self._task, self._trail()) is not None

    def outcome(self) -> Outcome:
        """How the episode ended, as of now."""
        return outcome_of(self._task, self._trail())

    def _trail(self) -> Trail:
        return Trail(
            np.array(self._block).reshape(-1, 3),
            np.array(self._speed),
            np.array(self._gripper),
            np.array(self._opened),
        )

    def close(self) -> None:
        """Close the connection."""
        self._world.close()
