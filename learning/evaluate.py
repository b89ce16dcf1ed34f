"""Counting successes: N seeds in lock-step, how each ended, and how sure that makes one.

The same control, gate, executor and twin as on the arm, in eight plants that no demonstration was made in.
`results.json` follows policies facts G5. Ten episodes cannot tell 80 % from 100 %, so every rate carries its Wilson
interval.
"""

import hashlib
import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config.schema import Config
from learning.episode import (
    Driver,
    EpisodeResult,
    ExpertDriver,
    Judge,
    PolicyDriver,
    run_episode,
)
from learning.pictures import Pictures
from learning.world import (
    LockStepWorld,
    Tick,
    evaluation_plant,
    lockstep_calibrations,
    lockstep_world,
)
from policies.executor import Proposal
from robotd.policy_channel import Load
from robotd.states import Verdict
from robotd.trajectory import Trajectory
from sim.expert import HOME_RAD
from sim.kinematics import ArmKinematics
from sim.tasks.outcome import rates
from sim.tasks.spec import TaskSpec
from sim.twin.core import TwinCore

Z_95 = 1.959964


def wilson(successes: int, episodes: int) -> tuple[float, float]:
    """The 95 % interval of a success rate (Wilson 1927): sensible at 0 and at N of N. (0, 1) for no episode."""
    if episodes == 0:
        return 0.0, 1.0
    share = successes / episodes
    spread = Z_95 * Z_95 / episodes
    middle = share + spread / 2.0
    half = Z_95 * math.sqrt(share * (1.0 - share) / episodes + spread / (4.0 * episodes))
    return max(0.0, (middle - half) / (1.0 + spread)), min(1.0, (middle + half) / (1.0 + spread))


@dataclass(frozen=True, slots=True)
class Evaluated:
    """All episodes of one evaluation, and what was measured beside them."""

    source: str
    results: tuple[EpisodeResult, ...]
    max_steps: int
    plans: int
    plans_rejected: int
    inference_ms: tuple[float, ...]
    verdict_ms: tuple[float, ...]
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
            results.append(
                _tell(run_episode(world, task, ExpertDriver(kinematics, HOME_RAD)), progress)
            )
    return Evaluated(
        source="scripted",
        results=tuple(results),
        max_steps=_max_steps(config, task),
        plans=0,
        plans_rejected=0,
        inference_ms=(),
        verdict_ms=(),
        wall_s=time.monotonic() - began_s,
    )


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


def evaluate_policy(
    config: Config,
    task: TaskSpec,
    request: Load,
    seeds: Sequence[int],
    latency_ms: float = 30.0,
    progress: Progress | None = None,
) -> Evaluated:
    """A checkpoint over `seeds`, each episode ended by success or the task's time limit.

    `latency_ms` is the virtual time from observation to chunk: about what a small ACT takes on a busy CPU. Imports
    torch. A policy with cameras is shown rendered pictures. Raises CheckpointError when the checkpoint cannot be
    loaded, does not fit, or gives what is no action, ModelError when nothing can draw its pictures.
    """
    from policies.loaded import load_policy

    policy = load_policy(request, config, lockstep_calibrations(config))
    began_s = time.monotonic()
    results: list[EpisodeResult] = []
    verdict_ms: list[float] = []
    plans = rejected = 0
    for seed in seeds:
        with lockstep_world(config, seed, evaluation_plant(seed)) as world:
            judge = TwinJudge(config)
            with pictures_for(world, policy.fit.cameras) as pictures:
                driver = PolicyDriver(policy, world, judge, round(latency_ms * 1e6), pictures)
                result = run_episode(world, task, _Watched(driver, judge), stop_at_success=True)
            results.append(_tell(result, progress))
            plans += driver.plans
            rejected += driver.rejected
            verdict_ms += judge.verdict_ms
    return Evaluated(
        source=request.path,
        cameras=policy.fit.cameras,
        told=policy.fit.told,
        results=tuple(results),
        max_steps=_max_steps(config, task),
        plans=plans,
        plans_rejected=rejected,
        inference_ms=(policy.inference_ns / 1e6,),
        verdict_ms=tuple(verdict_ms),
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


def _max_steps(config: Config, task: TaskSpec) -> int:
    return round(task.time_limit_s * config.recording.fps)


def results_json(
    evaluated: Evaluated, task: TaskSpec, n_action_steps: int | None, ensemble: str
) -> dict[str, Any]:
    """The evaluation as `results.json` (policies facts G5)."""
    results = evaluated.results
    summary = rates(
        [result.outcome for result in results],
        [result.steps for result in results],
        evaluated.max_steps,
    )
    low, high = wilson(evaluated.successes, len(results))
    checkpoint = Path(evaluated.source) / "model.safetensors"
    lifted = task.failure.lifted_above_m
    return {
        "source": evaluated.source,
        "ckpt_sha": _sha256(checkpoint),
        "task": task.name,
        "seeds": [result.seed for result in results],
        "n_action_steps": n_action_steps,
        "ensemble": ensemble,
        "rendered_cameras": list(evaluated.cameras),
        "told": evaluated.told,
        "per_episode": [
            {
                "seed": result.seed,
                "outcome": str(result.outcome),
                "steps": result.steps,
                "max_h": round(result.max_height_m, 4),
                "lifted": result.max_height_m > lifted,
                "dist": round(result.goal_distance_m, 4),
                "limited_ticks": result.limited_ticks,
            }
            for result in results
        ],
        "rates": asdict(summary)
        | {"successes": evaluated.successes, "ci95": [round(low, 4), round(high, 4)]},
        "plans": {"proposed": evaluated.plans, "rejected": evaluated.plans_rejected},
        "timing": {
            "inference_ms": [round(value, 2) for value in evaluated.inference_ms],
            "verdict_ms_p50": _median(evaluated.verdict_ms),
            "verdict_ms_max": round(max(evaluated.verdict_ms, default=0.0), 2),
            "wall_s": round(evaluated.wall_s, 1),
        },
    }


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 2) if values else 0.0


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def write_results(path: Path, content: dict[str, Any]) -> None:
    """Write `results.json` whole or not at all."""
    partial = path.with_name(f".{path.name}")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(path)


__all__ = [
    "Evaluated",
    "Judge",
    "TwinJudge",
    "evaluate_expert",
    "evaluate_policy",
    "pictures_for",
    "results_json",
    "wilson",
    "write_results",
]
