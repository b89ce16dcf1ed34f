"""Control stalls and jumps at chunk seams, ours: control, gate and twin as they are, in virtual time.

An arm in the plant is moved by a policy whose inference takes a set time. A *stall* is a run of
ticks in which control had the arm for the policy and no goal to follow, after it had followed one;
a plan that the twin refused is counted apart (`refused`), as any policy may be refused.
A *jump* is the largest second difference of the requested goal over one policy step, of any joint,
within a quarter of a second of a take-over: a step of 3° between two ticks is 3° of it, faded over
five steps it is 0.6°. Naive switching is the same run with no mode and no fade.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from bench.policy_flow import POSE, FlowPolicy
from config.schema import Config
from learning.episode import to_plan
from learning.evaluate import TwinJudge
from learning.world import (
    LockStepWorld,
    Tick,
    evaluation_plant,
    lockstep_calibrations,
    lockstep_config,
    lockstep_world,
)
from policies.executor import Executor, ExecutorSettings, Proposal
from policies.loaded import LoadedPolicy, load_policy
from policies.lockstep import PolicyRunner
from policies.modes import PLAIN, Mode, Rtc
from policies.observation import Observation
from policies.runner import Answer, Runner
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.policy_channel import Load
from robotd.states import LimitedBy, RequestKind, Source, State, Verdict

FPS = 30
N_ACTION_STEPS = 20
_SEED = 7
_VERDICT_TICKS = 2  # the twin's 10 ms, in ticks of 120 Hz
_WINDOW_S = 0.25

type Step = Callable[[Tick, Answer | None], Proposal | None]
"""A policy's runner in one world: one tick and the twin's answer in, a proposal out."""


@dataclass(frozen=True, slots=True)
class Seams:
    """One run. `jumps_deg`: one for each take-over."""

    seams: int
    stalls: int
    stalled_ms: float
    longest_ms: float
    refused: int
    jumps_deg: npt.NDArray[np.float64]

    def as_json(self) -> dict[str, Any]:
        """The figures of one run."""
        return {
            "seams": self.seams,
            "stalls": self.stalls,
            "stalled_ms": round(self.stalled_ms, 1),
            "longest_ms": round(self.longest_ms, 1),
            "refused": self.refused,
            "jump_deg": _mean(self.jumps_deg),
            "jump_max_deg": round(float(self.jumps_deg.max(initial=0.0)), 3),
        }


def _mean(values: npt.NDArray[np.float64]) -> float:
    return round(float(values.mean()), 3) if len(values) else 0.0


def configuration() -> Config:
    """The shipped simulated arm without cameras, with rows at the rate of the issue."""
    config = lockstep_config()
    recording = msgspec.structs.replace(config.recording, fps=FPS)
    return msgspec.structs.replace(config, recording=recording, cameras={})


class Act:
    """The shipped ACT: 50 actions a chunk at its own 15 a second, faded over."""

    name = "act"
    fps = 15

    def __init__(self, checkpoint: Path, config: Config) -> None:
        request = Load(path=str(checkpoint), n_action_steps=N_ACTION_STEPS, mode="chunk")
        self._policy = load_policy(request, config, lockstep_calibrations(config))

    def begin(self, world: LockStepWorld, latency_ns: int, *, naive: bool) -> Step:
        """The policy in a world, with chunks that take `latency_ns`."""
        policy: LoadedPolicy = self._policy
        if naive:
            policy = replace(policy, settings=naively(policy.settings))
        return PolicyRunner(
            policy,
            world.config,
            world.clock,
            frame_at=lambda _camera, _at_ns: None,
            environment_now=world.environment,
            latency_ns=latency_ns,
        ).step


class Flow:
    """The flow policy (`bench.policy_flow`) at 30 actions a second: in real-time chunking, or faded
    over as an ACT of that rate is."""

    fps = FPS

    def __init__(self, config: Config, *, guided: bool = True) -> None:
        self.name = "pi0_like" if guided else "act_like"
        self._config = config
        self._mode = Mode(rtc=Rtc()) if guided else PLAIN

    def begin(self, world: LockStepWorld, latency_ns: int, *, naive: bool) -> Step:
        """The policy in a world, with chunks that take `latency_ns`."""
        policy = self._config.policy
        settings = ExecutorSettings(
            source=Source.POLICY,
            joints=6,
            n_action_steps=N_ACTION_STEPS,
            row_ns=NS_PER_S // FPS,
            first_delay_ns=latency_ns + 2 * NS_PER_S // world.config.control.tick_hz,
            crossfade_ns=int(policy.crossfade_ms * NS_PER_MS),
            mode=self._mode,
        )
        home_rad = np.radians(self._config.poses.home_deg)
        runner = Runner(
            FlowPolicy(home_rad, FPS, _SEED),
            Executor(naively(settings) if naive else settings),
            world.clock,
            State.POLICY,
            latency_ns=latency_ns,
        )

        def step(tick: Tick, answer: Answer | None) -> Proposal | None:
            row = tick if world.is_row(tick) else None
            return runner.step(tick, row, _pose, answer)

        return step


def _pose(row: Mapping[str, Any]) -> Observation:
    deadline_ns = int(row["deadline_ns"])
    values = {POSE: np.asarray(row["present_position_rad"])}
    return Observation(deadline_ns, int(row["handover_version"]), deadline_ns, values)


def naively(settings: ExecutorSettings) -> ExecutorSettings:
    """The newest chunk takes over at once, wherever it is."""
    return replace(settings, mode=PLAIN, crossfade_ns=0)


def run(
    policy: Act | Flow, config: Config, latency_ns: int, seconds: float, *, naive: bool
) -> Seams:
    """`seconds` of virtual time under the policy, from the home pose."""
    with lockstep_world(config, _SEED, evaluation_plant(_SEED)) as world:
        judge = TwinJudge(world.config)
        step = policy.begin(world, latency_ns, naive=naive)
        answers: list[tuple[int, Answer, Proposal]] = []
        ticks: list[Tick] = []
        refused = 0
        tick = world.give_to(RequestKind.POLICY)
        for index in range(round(seconds * config.control.tick_hz)):
            judge.core.observe(tick)
            answer = None
            if answers and answers[0][0] <= index:
                _, answer, proposal = answers.pop(0)
                world.exchange.newest_plan = to_plan(proposal, answer.verdict)
            asked = step(tick, answer)
            if asked is not None:
                verdict = judge(asked, tick)
                refused += verdict is Verdict.REJECT
                answers.append((index + _VERDICT_TICKS, Answer(asked.id, verdict), asked))
            ticks.append(tick)
            tick = world.tick()
    return judged(ticks, config.control.tick_hz, refused)


def judged(ticks: list[Tick], tick_hz: int, refused: int) -> Seams:
    """The stalls and jumps in the ticks of one run."""
    following = np.array([tick["plan_index"] >= 0 for tick in ticks])
    begun = int(following.argmax()) if following.any() else len(ticks)
    starved = np.array(
        [
            tick["plan_index"] < 0
            and not any(flags & LimitedBy.VERDICT for flags in tick["limited_by"])
            for tick in ticks[begun:]
        ],
        dtype=bool,
    )
    runs = _runs(starved)
    ids = np.array([tick["plan_id"] for tick in ticks[begun:]])
    goals_deg = np.degrees([tick["requested_rad"] for tick in ticks[begun:]])
    seams = np.flatnonzero(np.diff(ids) != 0) + 1 if len(ids) else np.array([], int)
    jumps = [_jump_deg(goals_deg, int(at), tick_hz) for at in seams]
    return Seams(
        seams=len(seams),
        stalls=len(runs),
        stalled_ms=float(starved.sum()) * 1_000 / tick_hz,
        longest_ms=float(max(runs, default=0)) * 1_000 / tick_hz,
        refused=refused,
        jumps_deg=np.array(jumps),
    )


def _runs(flags: npt.NDArray[np.bool_]) -> list[int]:
    """The lengths of the runs of True."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return list(np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1))


def _jump_deg(goals_deg: npt.NDArray[np.float64], at: int, tick_hz: int) -> float:
    """The largest second difference over one policy step around tick `at`."""
    step = tick_hz // FPS
    window = goals_deg[max(0, at - step) : at + round(_WINDOW_S * tick_hz) + step]
    second = window[2 * step :] - 2 * window[step:-step] + window[: -2 * step]
    return float(np.abs(second).max(initial=0.0))
