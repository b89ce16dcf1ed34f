"""One episode with everybody watching: the expert or a policy drives, the mirror looks, control listens to it.

A function of a seed, so that several processes can share the seeds. What the mirror finds at a tick, control hears at
the next one: the delay of the slot between their processes.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.troubles import WATCHED_S, Seen, Trouble, begins_after_s, trouble_of
from daemon.control.exchange import TwinFinding
from learning.episode import Driver, ExpertDriver, PolicyDriver, run_episode
from learning.evaluate import TwinJudge
from learning.world import (
    LockStepWorld,
    Tick,
    evaluation_plant,
    lockstep_calibrations,
    lockstep_config,
    lockstep_world,
)
from robotd.policy_channel import Load
from robotd.states import Fault
from sim.expert import HOME_RAD
from sim.kinematics import ArmKinematics
from sim.tasks.spec import load_task

SCRIPTED = "scripted"
POLICY = "policy"
_SHIPPED_ACT = Path(__file__).parent.parent / "policies" / "shipped" / "so101_block_in_bowl_act"
_TASK = "block_in_bowl"
_LATENCY_NS = 30_000_000  # of a small policy on a busy CPU


@dataclass(frozen=True, slots=True)
class Quiet:
    """A normal episode: what protection said although nothing was wrong."""

    seed: int
    outcome: str
    ticks: int
    fault: str
    fault_joint: int
    fault_s: float
    warnings: dict[str, int]


@dataclass(frozen=True, slots=True)
class Caught:
    """An episode with a trouble. Times in seconds since the trouble began; -1: never. `began` False: no moment for
    it came, and it says nothing."""

    kind: str
    seed: int
    began: bool
    first: str
    first_s: float
    fault: str
    fault_s: float
    most_load_permille: int


class _Watched:
    """A driver whose every tick the twin sees first, and whose findings control hears."""

    def __init__(
        self, driver: Driver, judge: TwinJudge, trouble: Trouble | None, after_s: float
    ) -> None:
        self._driver = driver
        self._judge = judge
        self._trouble = trouble
        self._after_s = after_s
        self._goal: np.ndarray[Any, Any] | None = None
        self._began_ns = -1
        self._trouble_ns = -1
        self.seen = Seen()
        self.ticks = 0
        self.most_load_permille = 0

    @property
    def struck(self) -> bool:
        """Whether the trouble has begun."""
        return self._trouble_ns >= 0

    def begin(self, world: LockStepWorld) -> Tick:
        return self._driver.begin(world)

    def after(self, world: LockStepWorld, tick: Tick) -> bool:
        now_ns = int(tick["deadline_ns"])
        if self._began_ns < 0:
            self._began_ns = now_ns
        self.ticks += 1
        core = self._judge.core
        core.observe(tick)
        found = core.finding
        world.exchange.newest_finding = (
            None
            if found.fault is Fault.NONE
            else TwinFinding(found.fault, found.joint, found.since_ns, now_ns)
        )
        if self._trouble is not None and self._strikes(world, tick, now_ns):
            since_s = (now_ns - self._trouble_ns) * 1e-9
            self.seen.take(tick, found.fault, since_s)
            loads = tick["present_load_permille"]
            self.most_load_permille = max(self.most_load_permille, *map(abs, loads))
            self._trouble.go_on(world, since_s)
            if since_s > WATCHED_S:
                return True
        elif self._trouble is None:
            self.seen.take(tick, found.fault, (now_ns - self._began_ns) * 1e-9)
        return self.seen.fault is not Fault.NONE or self._driver.after(world, tick)

    def _strikes(self, world: LockStepWorld, tick: Tick, now_ns: int) -> bool:
        """Whether the trouble is there, beginning it at its moment."""
        goal = np.array(tick["applied_rad"])
        before, self._goal = self._goal, goal
        if self.struck:
            return True
        if before is None or (now_ns - self._began_ns) * 1e-9 < self._after_s:
            return False
        assert self._trouble is not None
        speed = (goal - before) * world.config.control.tick_hz
        if self._trouble.try_to_begin(world, speed):
            self._trouble_ns = now_ns
        return False


def quiet_episode(seed: int, source: str = SCRIPTED) -> Quiet:
    """A normal episode of `source`: the expert, the shipped ACT, or a policy's folder."""
    watched, outcome = _episode(seed, source, None, 0.0)
    seen = watched.seen
    return Quiet(
        seed,
        outcome,
        watched.ticks,
        seen.fault.name.lower() if seen.fault else "",
        seen.fault_joint,
        seen.fault_s,
        dict(seen.warnings or {}),
    )


def troubled_episode(kind: str, seed: int, source: str = SCRIPTED) -> Caught:
    """An episode in which the trouble of that kind and seed strikes."""
    watched, _ = _episode(seed, source, trouble_of(kind, seed), begins_after_s(kind, seed))
    seen = watched.seen
    return Caught(
        kind,
        seed,
        watched.struck,
        seen.first,
        seen.first_s,
        seen.fault.name.lower() if seen.fault else "",
        seen.fault_s,
        watched.most_load_permille,
    )


def _episode(
    seed: int, source: str, trouble: Trouble | None, after_s: float
) -> tuple[_Watched, str]:
    config = lockstep_config()
    task = load_task(_TASK)
    with lockstep_world(config, seed, evaluation_plant(seed)) as world:
        judge = TwinJudge(config)
        watched = _Watched(_driver(source, world, judge), judge, trouble, after_s)
        result = run_episode(world, task, watched)
    return watched, str(result.outcome)


def _driver(source: str, world: LockStepWorld, judge: TwinJudge) -> Driver:
    if source == SCRIPTED:
        return ExpertDriver(_kinematics(), HOME_RAD)
    return PolicyDriver(_policy(source), world, judge, _LATENCY_NS)


@cache
def _kinematics() -> ArmKinematics:
    return ArmKinematics()


@cache
def _policy(folder: str) -> Any:
    from policies.loaded import load_policy  # imports torch

    config = lockstep_config()
    path = str(_SHIPPED_ACT) if folder == POLICY else folder
    request = Load(path=path, task=load_task(_TASK).instruction)
    return load_policy(request, config, lockstep_calibrations(config))
