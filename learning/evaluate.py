"""One episode after the other in lock-step: a policy or the scripted expert, judged.

The same control, gate, executor and twin as on the arm, in eight plants that no demonstration was made in. What plays
many of them, in parallel and with a report, is `learning.evaluation`; this is what an episode is there too.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from config.schema import Config
from learning.episode import (
    Driver,
    EpisodeResult,
    ExpertDriver,
    Judge,
    OnRow,
    PolicyDriver,
    run_episode,
)
from learning.evaluation.statistics import wilson
from learning.pictures import Pictures
from learning.world import (
    LockStepWorld,
    Tick,
    evaluation_plant,
    lockstep_calibrations,
    lockstep_world,
)
from policies.executor import Proposal
from policies.loaded import LoadedPolicy
from robotd.policy_channel import Load
from robotd.states import Verdict
from robotd.trajectory import Trajectory
from sim.expert import HOME_RAD
from sim.experts import expert_type
from sim.kinematics import ArmKinematics
from sim.tasks.spec import TaskSpec
from sim.twin.core import TwinCore


@dataclass(frozen=True, slots=True)
class Evaluated:
    """All episodes of one evaluation, and what was measured beside them."""

    source: str
    results: tuple[EpisodeResult, ...]
    plans: int
    plans_rejected: int
    inference_ms: tuple[float, ...]
    wall_s: float
    cameras: tuple[str, ...] = ()  # a policy saw rendered pictures of these
    told: str = ""  # what it was told that a camera would have to see

    @property
    def successes(self) -> int:
        return sum(result.success for result in self.results)


Progress = Callable[[EpisodeResult], None]


def evaluate_expert(
    config: Config, task: TaskSpec, seeds: Sequence[int], progress: Progress | None = None
) -> Evaluated:
    """The scripted expert over `seeds`. `config` comes from `lockstep_config`."""
    kinematics = ArmKinematics()
    began_s = time.monotonic()
    results = []
    for seed in seeds:
        with lockstep_world(config, seed, evaluation_plant(seed)) as world:
            results.append(_tell(expert_episode(world, task, kinematics), progress))
    return Evaluated(
        source="scripted",
        results=tuple(results),
        plans=0,
        plans_rejected=0,
        inference_ms=(),
        wall_s=time.monotonic() - began_s,
    )


def expert_episode(
    world: LockStepWorld, task: TaskSpec, kinematics: ArmKinematics, on_row: OnRow | None = None
) -> EpisodeResult:
    """One episode of the task's scripted expert, to its own end."""
    driver = ExpertDriver(kinematics, HOME_RAD, expert_type(task))
    return run_episode(world, task, driver, on_row)


class TwinJudge:
    """The twin in the same process: it sees every tick, and judges proposals between two."""

    def __init__(self, config: Config) -> None:
        self.core = TwinCore(config, time.monotonic_ns)
        self.verdict_ms: list[float] = []
        self.refused: Counter[str] = Counter()  # by reason

    def __call__(self, proposal: Proposal, tick: Tick) -> Verdict:
        plan = Trajectory(
            proposal.start_ns,
            proposal.step_ns,
            tuple(tuple(goal) for goal in proposal.goals_rad.tolist()),
        )
        said = self.core.judge(plan, int(tick["deadline_ns"]))
        self.verdict_ms.append(said.elapsed_us / 1000.0)
        if said.verdict is Verdict.REJECT:
            self.refused[said.reason.words] += 1
        # Wall time says nothing in virtual time: a slow machine must not change the outcome.
        return Verdict.PASS if said.verdict is Verdict.LATE else said.verdict


class _Watched:
    """A driver whose every tick the twin sees first."""

    def __init__(self, driver: Driver, judge: TwinJudge) -> None:
        self._driver = driver
        self._judge = judge

    def begin(self, world: LockStepWorld) -> Tick:
        return self._driver.begin(world)

    def after(self, world: LockStepWorld, tick: Tick) -> bool:
        self._judge.core.observe(tick)
        return self._driver.after(world, tick)


@dataclass(frozen=True, slots=True)
class Played:
    """One episode of a policy: its result, and who drove and judged."""

    result: EpisodeResult
    driver: PolicyDriver
    judge: TwinJudge


def policy_episode(
    world: LockStepWorld,
    task: TaskSpec,
    policy: LoadedPolicy,
    latency_ms: float,
    on_row: OnRow | None = None,
) -> Played:
    """One episode of a policy, ended by success or the task's time limit.

    `latency_ms` is the virtual time from observation to chunk. A policy with cameras is shown rendered pictures.
    Raises CheckpointError for what is no action, ModelError when nothing can draw its pictures.
    """
    judge = TwinJudge(world.config)
    with pictures_for(world, policy.fit.cameras) as pictures:
        driver = PolicyDriver(policy, world, judge, round(latency_ms * 1e6), pictures)
        result = run_episode(world, task, _Watched(driver, judge), on_row, stop_at_success=True)
    return Played(result, driver, judge)


def evaluate_policy(
    config: Config,
    task: TaskSpec,
    request: Load,
    seeds: Sequence[int],
    latency_ms: float = 30.0,
    progress: Progress | None = None,
) -> Evaluated:
    """A checkpoint over `seeds`, one after the other in this process. See `policy_episode`.

    `latency_ms`: by default about what a small ACT takes on a busy CPU. Imports torch. Raises CheckpointError when the
    checkpoint cannot be loaded, does not fit, or gives what is no action, ModelError when nothing can draw its
    pictures.
    """
    from policies.loaded import load_policy

    policy = load_policy(request, config, lockstep_calibrations(config))
    began_s = time.monotonic()
    results: list[EpisodeResult] = []
    plans = rejected = 0
    for seed in seeds:
        with lockstep_world(config, seed, evaluation_plant(seed)) as world:
            played = policy_episode(world, task, policy, latency_ms)
            results.append(_tell(played.result, progress))
        plans += played.driver.plans
        rejected += played.driver.rejected
    return Evaluated(
        source=request.path,
        cameras=policy.fit.cameras,
        told=policy.fit.told,
        results=tuple(results),
        plans=plans,
        plans_rejected=rejected,
        inference_ms=(policy.inference_ns / 1e6,),
        wall_s=time.monotonic() - began_s,
    )


@contextmanager
def pictures_for(world: LockStepWorld, cameras: tuple[str, ...]) -> Iterator[Pictures | None]:
    """What the policy looks at, drawn; None for one without eyes, which then needs no GL."""
    if not cameras:
        yield None
        return
    pictures = Pictures(world, cameras)
    try:
        yield pictures
    finally:
        pictures.close()


def _tell(result: EpisodeResult, progress: Progress | None) -> EpisodeResult:
    if progress is not None:
        progress(result)
    return result


__all__ = [
    "Evaluated",
    "Judge",
    "TwinJudge",
    "evaluate_expert",
    "evaluate_policy",
    "expert_episode",
    "pictures_for",
    "policy_episode",
    "wilson",
]
