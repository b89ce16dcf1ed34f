"""One case in the plant: what a worker does. The same control, gate, executor and twin code as on the arm.

A worker keeps the policy of the last case: cases come one variant after the other.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from config.schema import Config
from learning.episode import EpisodeResult
from learning.evaluate import Played, expert_episode, policy_episode
from learning.evaluation.films import Film
from learning.evaluation.records import EpisodeRecord
from learning.evaluation.variants import Case, Variant
from learning.inverse import inverse_kinematics
from learning.world import (
    LockStepWorld,
    Tick,
    evaluation_plant,
    lockstep_calibrations,
    lockstep_world,
)
from policies.loaded import LoadedPolicy, load_policy
from robotd.states import Verdict
from sim.kinematics import ArmKinematics
from sim.tasks.spec import PlaceTask, TaskSpec, load_task, sample_pose

Video = Literal["failures", "all", "none"]
_BODY_JOINTS = 5


@dataclass(frozen=True, slots=True)
class PlantWork:
    """What the cases of one evaluation have in common. `films` is where its films go."""

    config: Config
    task: str
    variants: tuple[Variant, ...]
    latency_ms: float
    video: Video
    films: Path
    threads: int = 1


@dataclass(slots=True)
class _Kept:
    """What this process has at hand from the case before."""

    policies: dict[bytes, LoadedPolicy] = field(default_factory=dict)
    kinematics: ArmKinematics | None = None


_kept = _Kept()


def loaded(work: PlantWork, variant: Variant) -> LoadedPolicy:
    """The variant's policy, loaded once in this process. Raises CheckpointError."""
    key = msgspec.json.encode((variant, work.config))
    if key not in _kept.policies:
        _kept.policies.clear()  # one model at a time: two may not fit into the memory
        assert variant.load is not None
        calibrations = lockstep_calibrations(work.config)
        _kept.policies[key] = load_policy(
            variant.load,
            work.config,
            calibrations,
            threads=work.threads,
            poses=inverse_kinematics(),
        )
    return _kept.policies[key]


def play(work: PlantWork, case: Case) -> EpisodeRecord:
    """Play one case and judge it. Raises CheckpointError, ModelError."""
    variant = work.variants[case.variant]
    task = load_task(work.task)
    policy = None if variant.load is None else loaded(work, variant)
    began_s = time.monotonic()
    with lockstep_world(work.config, case.seed, evaluation_plant(case.seed)) as world:
        if case.cell is not None:
            yaw_rad = sample_pose(task, case.seed).yaw_rad
            world.plant.world.set_object(case.cell.x_m, case.cell.y_m, yaw_rad)
        watch = _Watch(world, filmed=work.video != "none")
        if policy is None:
            _kept.kinematics = _kept.kinematics or ArmKinematics()
            result, played = expert_episode(world, task, _kept.kinematics, watch), None
        else:
            policy.reseed(case.seed)  # whoever plays it, and after whatever
            played = policy_episode(world, task, policy, work.latency_ms, watch)
            result = played.result
        film = _film(work, case, result, world, watch)
        record = _record(case, task, result, watch, film)
    if policy is not None and played is not None:
        record = _of_policy(record, policy, played)
    return msgspec.structs.replace(record, seconds=round(time.monotonic() - began_s, 3))


class _Watch:
    """What is noted at every row: how far the arm is from the plan it follows, and, for a film, where everything is."""

    def __init__(self, world: LockStepWorld, filmed: bool) -> None:
        self._world = world
        self._squares_rad: list[float] = []
        self.poses: list[np.ndarray[Any, np.dtype[np.float32]]] | None = [] if filmed else None

    def __call__(self, tick: Tick, _environment: Mapping[str, Any]) -> None:
        if self.poses is not None:
            self.poses.append(self._world.plant.data.qpos.astype(np.float32))
        plan, now_ns = self._world.exchange.newest_plan, int(tick["deadline_ns"])
        if plan is None or plan.verdict is not Verdict.PASS:
            return
        path = plan.trajectory
        if path.start_ns <= now_ns <= path.end_ns:
            wanted = np.asarray(path.evaluate(now_ns))[:_BODY_JOINTS]
            there = np.asarray(tick["present_position_rad"])[:_BODY_JOINTS]
            self._squares_rad.append(float(np.mean((wanted - there) ** 2)))

    @property
    def plan_rmse_deg(self) -> float | None:
        """Root mean square over the body joints; None when no plan was followed."""
        if not self._squares_rad:
            return None
        return float(np.degrees(np.sqrt(np.mean(self._squares_rad))))


def _film(
    work: PlantWork, case: Case, result: EpisodeResult, world: LockStepWorld, watch: _Watch
) -> str:
    if watch.poses is None or (work.video == "failures" and result.success):
        return ""
    place = "" if case.cell is None else f"-cell{case.cell.column}x{case.cell.row}"
    name = f"v{case.variant}-seed{case.seed}{place}-{result.outcome}.mp4"
    work.films.mkdir(parents=True, exist_ok=True)
    words = f"{work.variants[case.variant].name}   seed {case.seed}   {result.outcome}"
    fps = work.config.recording.fps
    Film(world.plant.model, words).write(work.films / name, watch.poses, fps)
    return name


def _record(
    case: Case,
    task: TaskSpec,
    result: EpisodeResult,
    watch: _Watch,
    film: str,
) -> EpisodeRecord:
    lifted = None
    if isinstance(task, PlaceTask):
        lifted = result.max_height_m > task.failure.lifted_above_m
    rmse, margin = watch.plan_rmse_deg, result.grip.margin
    return EpisodeRecord(
        variant=case.variant,
        seed=case.seed,
        cell=case.cell,
        outcome=str(result.outcome),
        steps=result.steps,
        max_height_m=round(result.max_height_m, 4),
        lifted=lifted,
        dropped=result.dropped,
        goal_distance_m=round(result.goal_distance_m, 4),
        limited_ticks=result.limited_ticks,
        grip_margin=None if margin is None else round(margin, 2),
        slips=result.grip.slips,
        plan_rmse_deg=None if rmse is None else round(rmse, 3),
        film=film,
    )


def _of_policy(record: EpisodeRecord, policy: LoadedPolicy, played: Played) -> EpisodeRecord:
    return msgspec.structs.replace(
        record,
        plans=played.driver.plans,
        refused=played.driver.rejected,
        chunk_ms=_rounded(played.driver.chunk_ms),
        verdict_ms=_rounded(played.judge.verdict_ms),
        n_action_steps=policy.settings.n_action_steps,
        cameras=policy.fit.cameras,
        told=policy.fit.told,
        poses=policy.pose_count.poses,
        poses_failed=policy.pose_count.failed,
    )


def _rounded(values: list[float]) -> tuple[float, ...]:
    return tuple(round(value, 2) for value in values)
