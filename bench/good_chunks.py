"""Chunks that an arm should be let do: of the scripted expert, as a replay would propose them, and of an ACT.

Collected in lock-step from whole episodes in the eight evaluation plants, and kept: collecting takes minutes. What is
kept is what the twin would have seen (goals and measured joints of the last second) and the plan, nothing that the twin
made of it, so that another twin is judged by the same chunks. Only chunks of episodes that succeeded are kept.
"""

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from config.schema import Config
from learning.episode import ExpertDriver, PolicyDriver, run_episode
from learning.world import (
    LockStepWorld,
    Tick,
    evaluation_plant,
    lockstep_calibrations,
    lockstep_config,
    lockstep_world,
)
from policies.executor import Proposal
from robotd.clock import NS_PER_S
from robotd.paths import cache_dir
from robotd.policy_channel import Load
from robotd.states import Verdict
from robotd.trajectory import Trajectory
from sim.expert import HOME_RAD
from sim.kinematics import ArmKinematics
from sim.tasks.spec import TaskSpec, load_task

SEEN_HZ = 30
SEEN = 31
"""What the twin had seen: so many goals and poses, 30 a second; the lag of its mirror is 90 ms."""

EXPERT_WAYPOINTS = 100
EXPERT_STEP_NS = NS_PER_S // 30
EXPERT_EVERY = 8
ACT_STEPS = 6
"""Actions that are played of each chunk: every 0.4 s another proposal."""

_LATENCY_NS = 30_000_000  # what a small ACT takes on a busy CPU, as in the evaluation
_FORMAT = 1
_FIRST_SEED = 300_000  # neither trained in nor evaluated
Vector = npt.NDArray[np.float64]
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class GoodChunk:
    """One plan. Times are seconds before (negative) and after the moment at which it is judged.

    `applied_rad`, `measured_rad` [SEEN, 6]: the last of them at that moment. `goals_rad` [N, 6], the first due at
    `start_s`. `observed_s`: when the observation was made.
    """

    origin: str
    seed: int
    at_s: float
    start_s: float
    observed_s: float
    step_s: float
    applied_rad: Vector
    measured_rad: Vector
    goals_rad: Vector

    @property
    def plant(self) -> int:
        """The plant it was made in."""
        return evaluation_plant(self.seed)

    def plan(self, at_ns: int) -> Trajectory:
        """The plan when it is judged at `at_ns`."""
        goals = tuple(tuple(goal) for goal in self.goals_rad.tolist())
        start_ns = at_ns + round(self.start_s * NS_PER_S)
        return Trajectory(start_ns, round(self.step_s * NS_PER_S), goals)


class _Seen:
    """What the twin would have seen of one world, 30 times a second."""

    def __init__(self, world: LockStepWorld) -> None:
        self._every = world.config.control.tick_hz // SEEN_HZ
        self.all_applied: list[tuple[float, ...]] = []
        self.all_measured: list[tuple[float, ...]] = []

    def take(self, tick: Tick) -> bool:
        """Whether this tick was one of the 30 a second."""
        if tick["index"] % self._every:
            return False
        self.all_applied.append(tuple(tick["applied_rad"]))
        self.all_measured.append(tuple(tick["present_position_rad"]))
        return True


class _Recorder:
    """A driver that keeps what its world's ticks show."""

    def __init__(self, driver: ExpertDriver | PolicyDriver, world: LockStepWorld) -> None:
        self._driver = driver
        self.seen = _Seen(world)

    def begin(self, world: LockStepWorld) -> Tick:
        tick = self._driver.begin(world)
        self.seen.take(tick)
        return tick

    def after(self, world: LockStepWorld, tick: Tick) -> bool:
        self.seen.take(tick)
        return self._driver.after(world, tick)


def good_chunks(
    count: int, policy: Path, progress: Progress | None = None
) -> tuple[list[GoodChunk], list[GoodChunk]]:
    """`count` chunks, half of the expert and half of the ACT at `policy`; from the cache when they are there.

    Raises CheckpointError when the policy cannot be loaded.
    """
    config = lockstep_config()
    task = load_task("block_in_bowl")
    each = count // 2
    digest = hashlib.blake2b(digest_size=8)
    drives = (config.arms, config.control, config.limits, config.poses, config.recording.fps)
    digest.update(repr((_FORMAT, ACT_STEPS, EXPERT_EVERY, version("robotd"), drives)).encode())
    weights = hashlib.blake2b((policy / "model.safetensors").read_bytes(), digest_size=8)
    expert = _cached(
        f"expert-{digest.hexdigest()}",
        each,
        lambda seeds: _expert(config, task, seeds, each, progress),
    )
    act = _cached(
        f"act-{digest.hexdigest()}-{weights.hexdigest()}",
        count - each,
        lambda seeds: _act(config, task, policy, seeds, count - each, progress),
    )
    return expert, act


def _cached(
    name: str, count: int, make: Callable[["itertools.count[int]"], list[GoodChunk]]
) -> list[GoodChunk]:
    path = cache_dir() / "bench" / f"good-chunks-{name}.npz"
    if path.is_file():
        chunks = _read(path)
        if len(chunks) >= count:
            return chunks[:count]
    chunks = make(itertools.count(_FIRST_SEED))
    _write(path, chunks)
    return chunks[:count]


def _expert(
    config: Config,
    task: TaskSpec,
    seeds: "itertools.count[int]",
    count: int,
    progress: Progress | None,
) -> list[GoodChunk]:
    kinematics = ArmKinematics()
    chunks: list[GoodChunk] = []
    for seed in seeds:
        with lockstep_world(config, seed, evaluation_plant(seed)) as world:
            recorder = _Recorder(ExpertDriver(kinematics, HOME_RAD), world)
            result = run_episode(world, task, recorder)
        if result.success:
            chunks += _as_replay(seed, recorder.seen)
        if progress is not None:
            progress("expert", len(chunks))
        if len(chunks) >= count:
            break
    return chunks


def _as_replay(seed: int, seen: _Seen) -> list[GoodChunk]:
    """The goals of an episode as the plans that a replay of it would propose."""
    applied = np.array(seen.all_applied)
    measured = np.array(seen.all_measured)
    return [
        GoodChunk(
            origin="expert",
            seed=seed,
            at_s=at / SEEN_HZ,
            start_s=0.0,
            observed_s=0.0,
            step_s=EXPERT_STEP_NS / NS_PER_S,
            applied_rad=applied[at - SEEN + 1 : at + 1],
            measured_rad=measured[at - SEEN + 1 : at + 1],
            goals_rad=applied[at : at + EXPERT_WAYPOINTS],
        )
        for at in range(SEEN, len(applied) - EXPERT_WAYPOINTS // 4, EXPERT_EVERY)
    ]


def _act(
    config: Config,
    task: TaskSpec,
    policy: Path,
    seeds: "itertools.count[int]",
    count: int,
    progress: Progress | None,
) -> list[GoodChunk]:
    from policies.loaded import load_policy

    request = Load(path=str(policy), n_action_steps=ACT_STEPS)
    loaded = load_policy(request, config, lockstep_calibrations(config))
    chunks: list[GoodChunk] = []
    for seed in seeds:
        with lockstep_world(config, seed, evaluation_plant(seed)) as world:
            noted = _Noted()
            driver = PolicyDriver(loaded, world, noted, _LATENCY_NS)
            recorder = _Recorder(driver, world)
            noted.seen = recorder.seen
            result = run_episode(world, task, recorder, stop_at_success=True)
        if result.success:
            chunks += _proposed(seed, recorder.seen, noted.proposals)
        if progress is not None:
            progress("ACT", len(chunks))
        if len(chunks) >= count:
            break
    return chunks


class _Noted:
    """A judge that lets everything pass and keeps what was proposed, after how much was seen, and when."""

    def __init__(self) -> None:
        self.proposals: list[tuple[int, Proposal, int]] = []
        self.seen: _Seen | None = None

    def __call__(self, proposal: Proposal, tick: Tick) -> Verdict:
        assert self.seen is not None
        self.proposals.append((len(self.seen.all_applied), proposal, int(tick["deadline_ns"])))
        return Verdict.PASS


def _proposed(
    seed: int, seen: _Seen, proposals: list[tuple[int, Proposal, int]]
) -> list[GoodChunk]:
    applied = np.array(seen.all_applied)
    measured = np.array(seen.all_measured)
    return [
        GoodChunk(
            origin="ACT",
            seed=seed,
            at_s=count / SEEN_HZ,
            start_s=(proposal.start_ns - at_ns) / NS_PER_S,
            observed_s=(proposal.observation_ns - at_ns) / NS_PER_S,
            step_s=proposal.step_ns / NS_PER_S,
            applied_rad=applied[count - SEEN : count],
            measured_rad=measured[count - SEEN : count],
            goals_rad=proposal.goals_rad,
        )
        for count, proposal, at_ns in proposals
        if count >= SEEN
    ]


def _write(path: Path, chunks: list[GoodChunk]) -> None:
    """Keep them: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lengths = np.array([len(chunk.goals_rad) for chunk in chunks])
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        origin=np.array([chunk.origin for chunk in chunks]),
        seed=np.array([chunk.seed for chunk in chunks]),
        times=np.array([(c.at_s, c.start_s, c.observed_s, c.step_s) for c in chunks]),
        applied=np.stack([chunk.applied_rad for chunk in chunks]),
        measured=np.stack([chunk.measured_rad for chunk in chunks]),
        lengths=lengths,
        goals=np.concatenate([chunk.goals_rad for chunk in chunks]),
    )
    partial.replace(path)


def _read(path: Path) -> list[GoodChunk]:
    with np.load(path) as kept:
        goals = np.split(kept["goals"], np.cumsum(kept["lengths"])[:-1])
        return [
            GoodChunk(
                origin=str(origin),
                seed=int(seed),
                at_s=float(times[0]),
                start_s=float(times[1]),
                observed_s=float(times[2]),
                step_s=float(times[3]),
                applied_rad=applied,
                measured_rad=measured,
                goals_rad=goal,
            )
            for origin, seed, times, applied, measured, goal in zip(
                kept["origin"],
                kept["seed"],
                kept["times"],
                kept["applied"],
                kept["measured"],
                goals,
                strict=True,
            )
        ]
