"""One episode in the lock-step world: somebody drives, rows are made, the outcome is judged.

The drivers are the scripted expert and a loaded policy. Both move the arm only as they do on a real one: the expert
by goals at 30 Hz, the policy by plans that the twin has checked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from daemon.control.exchange import Plan
from learning.pictures import Pictures
from learning.world import LockStepWorld, RowTruth, Tick
from policies.executor import Proposal
from policies.loaded import LoadedPolicy
from policies.lockstep import PolicyRunner
from policies.runner import Answer
from robotd.clock import NS_PER_S
from robotd.frames import Frame
from robotd.states import RequestKind, Source, Verdict
from robotd.trajectory import Trajectory
from sim.expert import Scene, ScriptedExpert, Step
from sim.kinematics import ArmKinematics
from sim.tasks.outcome import Outcome, classify, completed_at
from sim.tasks.spec import TaskSpec

EXPERT_HZ = 30
"""Goals a second, as a person's keyboard or script sends them."""

OnRow = Callable[[Tick, Mapping[str, Any]], None]
"""Called for every row with its tick and the environment state of that moment."""

Judge = Callable[[Proposal, Tick], Verdict]
"""The twin's verdict on a proposal, made at a tick."""


class Driver(Protocol):
    """Somebody who moves the arm."""

    def begin(self, world: LockStepWorld) -> Tick:
        """Take the arm; returns the first tick of the hand-over."""
        ...

    def after(self, world: LockStepWorld, tick: Tick) -> bool:
        """Look at a tick and say what is next; True when there is nothing left to do."""
        ...


class ExpertDriver:
    """The scripted expert behind the command slot."""

    def __init__(self, kinematics: ArmKinematics, home_rad: tuple[float, ...]) -> None:
        self._expert = ScriptedExpert(kinematics, home_rad)
        self.last: Step | None = None

    def begin(self, world: LockStepWorld) -> Tick:
        return world.give_to(RequestKind.TELEOP, Source.SCRIPTED)

    def after(self, world: LockStepWorld, tick: Tick) -> bool:
        if tick["index"] % (world.config.control.tick_hz // EXPERT_HZ):
            return False
        scene = Scene.from_environment_state(world.environment()["values"])
        self.last = self._expert.step(
            tick["deadline_ns"] / NS_PER_S, tick["present_position_rad"], tick["applied_rad"], scene
        )
        world.command(tick, Source.SCRIPTED, self.last.goal_rad)
        return self.last.done


class PolicyDriver:
    """A policy with its executor; `judge` is the twin. `latency_ns` is the virtual time a chunk takes; `pictures`
    draws what a policy with cameras looks at."""

    def __init__(
        self,
        policy: LoadedPolicy,
        world: LockStepWorld,
        judge: Judge,
        latency_ns: int = 0,
        pictures: Pictures | None = None,
    ) -> None:
        if policy.fit.cameras and pictures is None:
            raise ValueError(f"the policy looks through {policy.fit.cameras} and is shown nothing")
        self._judge = judge
        self._runner = PolicyRunner(
            policy,
            world.config,
            world.clock,
            frame_at=_blind if pictures is None else pictures.at,
            environment_now=world.environment,
            latency_ns=latency_ns,
        )
        self._answer: Answer | None = None
        self.plans = 0
        self.rejected = 0

    def begin(self, world: LockStepWorld) -> Tick:
        return world.give_to(RequestKind.POLICY)

    def after(self, world: LockStepWorld, tick: Tick) -> bool:
        answer, self._answer = self._answer, None
        proposal = self._runner.step(tick, answer)
        if proposal is not None:
            verdict = self._judge(proposal, tick)
            self.plans += 1
            self.rejected += verdict is Verdict.REJECT
            self._answer = Answer(proposal.id, verdict)
            world.exchange.newest_plan = to_plan(proposal, verdict)
        return False


def _blind(_camera: str, _stamp_ns: int) -> Frame | None:
    """Never asked: a policy without cameras looks at nothing."""
    return None


def to_plan(proposal: Proposal, verdict: Verdict) -> Plan:
    """What control gets of a proposal that the twin has judged."""
    goals = tuple(tuple(float(value) for value in goal) for goal in proposal.goals_rad)
    return Plan(
        proposal.id,
        proposal.source,
        proposal.handover_version,
        proposal.observation_ns,
        verdict,
        Trajectory(proposal.start_ns, proposal.step_ns, goals),
    )


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """How one episode went. `steps` are rows until the task had been done for its dwell time, or all rows."""

    seed: int
    outcome: Outcome
    steps: int
    max_height_m: float
    goal_distance_m: float
    limited_ticks: int

    @property
    def success(self) -> bool:
        return self.outcome is Outcome.SUCCESS


def run_episode(
    world: LockStepWorld,
    task: TaskSpec,
    driver: Driver,
    on_row: OnRow | None = None,
    stop_at_success: bool = False,
    max_rows: int | None = None,
) -> EpisodeResult:
    """Let `driver` move the arm until it is done, the task succeeds (if asked to stop then) or time is up."""
    rows: list[RowTruth] = []
    limit = max_rows or round(task.time_limit_s * world.config.recording.fps)
    limited = 0
    done_since = 0
    tick = driver.begin(world)
    while True:
        limited += any(tick["limited_by"])
        if world.is_row(tick):
            rows.append(world.truth())
            if on_row is not None:
                on_row(tick, world.environment())
            if len(rows) >= limit:
                break
            done_since = done_since + 1 if _completed(task, rows) is not None else 0
            if stop_at_success and done_since:
                break
        if driver.after(world, tick):
            break
        tick = world.tick()
    return _judge_rows(world.seed, task, rows, limited)


def _completed(task: TaskSpec, rows: list[RowTruth]) -> int | None:
    last = rows[-task.success.dwell_rows :]
    blocks, speeds, grippers = _arrays(last)
    return completed_at(task, blocks, speeds, grippers)


def _arrays(rows: list[RowTruth]) -> tuple[Any, Any, Any]:
    return (
        np.array([row.block_xyz_m for row in rows]),
        np.array([row.block_speed_m_s for row in rows]),
        np.array([row.gripper_rad for row in rows]),
    )


def _judge_rows(seed: int, task: TaskSpec, rows: list[RowTruth], limited: int) -> EpisodeResult:
    blocks, speeds, grippers = _arrays(rows)
    at = completed_at(task, blocks, speeds, grippers)
    goal = np.array([task.goal.x_m, task.goal.y_m])
    return EpisodeResult(
        seed=seed,
        outcome=classify(task, blocks, at is not None),
        steps=len(rows) if at is None else at + 1,
        max_height_m=float(blocks[:, 2].max()),
        goal_distance_m=float(np.linalg.norm(blocks[-1, :2] - goal)),
        limited_ticks=limited,
    )
