"""One episode in the lock-step world: somebody drives, rows are made, the outcome is judged.

The drivers are the scripted expert and a loaded policy. Both move the arm only as they do on a real one: the expert
by goals at 30 Hz, the policy by plans that the twin has checked.
"""

import time
from collections.abc import Callable, Mapping, Sequence
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
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.frames import Frame
from robotd.states import RequestKind, Source, Verdict
from robotd.trajectory import Trajectory
from sim.expert import ScriptedExpert
from sim.expert_legs import Expert, Scene, Step
from sim.kinematics import ArmKinematics
from sim.tasks.grip import Grip, grip_of
from sim.tasks.outcome import LOST, Outcome, Trail, done_at, outcome_of
from sim.tasks.spec import DrawerTask, TaskSpec

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
    """A scripted expert behind the command slot: `kind` is that of the task (`sim.experts`)."""

    def __init__(
        self,
        kinematics: ArmKinematics,
        home_rad: tuple[float, ...],
        kind: type[Expert] = ScriptedExpert,
    ) -> None:
        self._expert = kind(kinematics, home_rad)
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
        self.chunk_ms: list[float] = []  # wall times from observation to chunk

    def begin(self, world: LockStepWorld) -> Tick:
        return world.give_to(RequestKind.POLICY)

    def after(self, world: LockStepWorld, tick: Tick) -> bool:
        answer, self._answer = self._answer, None
        chunks, began_ns = self._runner.runner.chunks, time.perf_counter_ns()
        proposal = self._runner.step(tick, answer)
        if self._runner.runner.chunks != chunks:
            self.chunk_ms.append((time.perf_counter_ns() - began_ns) / NS_PER_MS)
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
    """How one episode went. `steps` are rows until the task had been done for its dwell time, or all rows.

    `goal_distance_m` is from where the object ended to where it is wanted, in the table's plane.
    """

    seed: int
    outcome: Outcome
    steps: int
    max_height_m: float
    goal_distance_m: float
    limited_ticks: int
    grip: Grip

    @property
    def success(self) -> bool:
        return self.outcome is Outcome.SUCCESS

    @property
    def dropped(self) -> bool:
        """Whether the object was had and lost."""
        return self.outcome in LOST


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
    tick = driver.begin(world)
    while True:
        limited += any(tick["limited_by"])
        if world.is_row(tick):
            rows.append(world.truth())
            if on_row is not None:
                on_row(tick, world.environment())
            if len(rows) >= limit:
                break
            lately = rows[-task.success.dwell_rows :]
            if stop_at_success and done_at(task, _trail(lately)) is not None:
                break
        if driver.after(world, tick):
            break
        tick = world.tick()
    _, _, _, _, _, *wanted = world.environment()["values"]
    return _judge_rows(world.seed, task, rows, limited, wanted)


def _trail(rows: Sequence[RowTruth]) -> Trail:
    return Trail(
        object_xyz_m=np.array([row.object_xyz_m for row in rows]).reshape(-1, 3),
        speed_m_s=np.array([row.object_speed_m_s for row in rows]),
        gripper_rad=np.array([row.gripper_rad for row in rows]),
        opened_m=np.array([row.opened_m for row in rows]),
    )


def _judge_rows(
    seed: int, task: TaskSpec, rows: Sequence[RowTruth], limited: int, wanted_m: Sequence[float]
) -> EpisodeResult:
    trail = _trail(rows)
    at = done_at(task, trail)
    ended = trail.object_xyz_m[-1]
    # Carried is what both fingers hold and the table does not; a drawer's handle never lies.
    carried = [
        row.held and (isinstance(task, DrawerTask) or row.object_xyz_m[2] > _CARRIED_M)
        for row in rows
    ]
    return EpisodeResult(
        seed=seed,
        outcome=outcome_of(task, trail),
        steps=len(rows) if at is None else at + 1,
        max_height_m=float(trail.object_xyz_m[:, 2].max()),
        goal_distance_m=float(np.linalg.norm(ended[:2] - np.asarray(wanted_m))),
        limited_ticks=limited,
        grip=grip_of(
            carried, [row.grip_margin for row in rows], np.array([row.in_hand_m for row in rows])
        ),
    )


_CARRIED_M = 0.02  # the block's centre: lying it is at 10 mm
