"""A model blocks the loop that plays it: what that loop knew before an inference is old after it.

In lock-step an inference costs nothing, so what is late there is late by decree. Here the world goes
on while `predict` runs, as it does on a machine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from policies.executor import Executor, ExecutorSettings, Proposal, pauses
from policies.model import Timings
from policies.modes import Mode, Rtc
from policies.observation import NotObservedError, Observation
from policies.plan import Chunk, Ensemble
from policies.rtc import Leftover
from policies.runner import Answer, Runner
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.errors import StateError
from robotd.latency import stages_us
from robotd.states import Source, State, Verdict
from robotd.trajectory import Trajectory

BEGAN_NS = 10 * NS_PER_S
TICK_NS = NS_PER_S // 120
ROW_NS = 4 * TICK_NS
RAD_PER_S = 0.3


@dataclass
class Clock:
    ns: int = BEGAN_NS

    def now_ns(self) -> int:
        return self.ns

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self.ns = max(self.ns, deadline_ns)


@dataclass
class World:
    """Control's ticks and a twin that passes everything, `judge_ms` after it was asked."""

    clock: Clock
    judge_ms: int = 10
    ticks: list[dict[str, Any]] = field(default_factory=list)
    applied: float = 0.0
    plan: Proposal | None = None
    judged_ns: int = 0
    pending: tuple[int, Proposal] | None = None

    def go_on(self) -> None:
        """Everything that happened up to now."""
        while (due_ns := BEGAN_NS + len(self.ticks) * TICK_NS) <= self.clock.ns:
            self._judge(due_ns)
            self._tick(due_ns)
        self._judge(self.clock.ns)

    def _judge(self, at_ns: int) -> None:
        if self.pending is not None and self.pending[0] <= at_ns:
            (self.judged_ns, self.plan), self.pending = self.pending, None

    def _tick(self, at_ns: int) -> None:
        plan, index = self.plan, -1
        if plan is not None:
            path = Trajectory(plan.start_ns, plan.step_ns, tuple(map(tuple, plan.goals_rad)))
            goal = path.evaluate(at_ns)
            if goal is not None:
                self.applied, index = goal[0], path.index_at(at_ns)
        self.ticks.append(
            {
                "index": len(self.ticks),
                "deadline_ns": at_ns,
                "state": State.POLICY,
                "handover_version": 1,
                "handover_ns": BEGAN_NS,
                "plan_id": 0 if plan is None else plan.id,
                "plan_index": index,
                "write_ns": at_ns + 3 * NS_PER_MS,
                "applied_rad": (self.applied,),
            }
        )

    def first_followed(self, plan_id: int) -> Mapping[str, Any] | None:
        return next((tick for tick in self.ticks if tick["plan_id"] == plan_id), None)


def steadily(times_ns: Any, _observed_ns: int) -> Any:
    """Go on at a steady speed."""
    return (times_ns - BEGAN_NS) / NS_PER_S * RAD_PER_S


@dataclass
class Model:
    """A model that takes `infer_ms` to say where to be: `path` of the moments and of what it saw."""

    world: World
    infer_ms: int
    chunk: int
    path: Callable[[Any, int], Any] = steadily
    step_ns: int = NS_PER_S // 30
    raw: None = None
    timings: Timings = field(default_factory=Timings)

    def reset(self) -> None:
        """Nothing is remembered."""

    def predict(self, observation: Observation, leftover: Leftover | None = None) -> Any:
        self.world.clock.ns += self.infer_ms * NS_PER_MS
        self.world.go_on()
        self.timings = Timings(infer_ns=self.infer_ms * NS_PER_MS)
        times_ns = observation.deadline_ns + np.arange(self.chunk) * self.step_ns
        return self.path(times_ns, observation.deadline_ns)[:, None]


@dataclass
class Seen:
    """What a run came to. `jumps_rad`: from the goal the arm has to the one a new plan has for now."""

    jumps_rad: list[float] = field(default_factory=list)
    stages: list[dict[str, int]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    proposed: int = 0
    followed: set[int] = field(default_factory=set)
    applied: list[tuple[float, float]] = field(default_factory=list)  # seconds, radians


def observed(row: Mapping[str, Any]) -> Observation:
    return Observation(row["deadline_ns"], 1, row["deadline_ns"], {})


def play(
    infer_ms: int,
    chunk: int,
    n_action_steps: int,
    *,
    judge_ms: int = 10,
    mode: Mode = Mode(),  # noqa: B008 (frozen)
    seconds: float = 10.0,
    observe: Callable[[Mapping[str, Any]], Observation] = observed,
    clock: Clock | None = None,
    path: Callable[[Any, int], Any] = steadily,
) -> Seen:
    clock = clock or Clock()
    world = World(clock, judge_ms)
    settings = ExecutorSettings(
        source=Source.POLICY,
        joints=1,
        n_action_steps=n_action_steps,
        row_ns=ROW_NS,
        first_delay_ns=(infer_ms + 30) * NS_PER_MS,
        crossfade_ns=150 * NS_PER_MS,
        mode=mode,
    )
    executor = Executor(settings)
    runner = Runner(
        Model(world, infer_ms, chunk, path),
        executor,
        clock,
        State.POLICY,
        first_followed=world.first_followed,
    )
    seen, answered = Seen(), 0
    world.go_on()
    while clock.ns < BEGAN_NS + seconds * NS_PER_S:
        clock.ns += 2 * NS_PER_MS
        world.go_on()
        answer = None
        if world.plan is not None and world.plan.id != answered:
            answered = world.plan.id
            answer = Answer(answered, Verdict.PASS, judged_ns=world.judged_ns)
        row = world.ticks[(len(world.ticks) - 1) // 4 * 4]
        proposal = runner.step(world.ticks[-1], row, observe, answer)
        if proposal is not None:
            now_ns = clock.ns
            goal = float(proposal.at([now_ns])[0, 0])
            seen.jumps_rad.append(goal - world.applied)
            seen.proposed += 1
            world.pending = (now_ns + world.judge_ms * NS_PER_MS, proposal)
        seen.stages += [found for each in runner.latency.take() if (found := stages_us(each))]
        if runner.trouble:
            seen.troubles.append(runner.trouble)
    seen.applied = [
        ((tick["deadline_ns"] - BEGAN_NS) / NS_PER_S, tick["applied_rad"][0])
        for tick in world.ticks
    ]
    seen.followed = {tick["plan_id"] for tick in world.ticks if tick["plan_index"] >= 0}
    return seen


@pytest.mark.parametrize("infer_ms", [60, 300, 900, 1300])
@pytest.mark.parametrize("n_action_steps", [1, 20])
def test_a_plan_begins_where_the_arm_is_when_it_is_made_however_long_the_chunk_took(
    infer_ms: int, n_action_steps: int
) -> None:
    """It began where the arm had been before the inference: a whole chunk back, at 900 ms."""
    seen = play(infer_ms, 50, n_action_steps)
    assert seen.proposed > 4
    assert max(map(abs, seen.jumps_rad)) < 0.01  # what is caught up in a tick; it was 0.9


@pytest.mark.parametrize("judge_ms", [10, 60])
@pytest.mark.parametrize(("infer_ms", "n_action_steps"), [(100, 1), (300, 1), (300, 20), (900, 20)])
def test_a_verdict_takes_as_long_as_the_twin_and_the_stages_are_the_whole(
    infer_ms: int, n_action_steps: int, judge_ms: int
) -> None:
    """The next inference used to count as the twin's time, and made the seams late by as much."""
    seen = play(infer_ms, 50, n_action_steps, judge_ms=judge_ms)
    assert len(seen.stages) > 2
    for stages in seen.stages:
        assert judge_ms <= stages["verdict"] / 1000 <= judge_ms + 1
        parts = sum(value for name, value in stages.items() if name != "total")
        assert parts == pytest.approx(stages["total"], abs=10)


@pytest.mark.parametrize("infer_ms", [900, 1000, 1300])
def test_a_slow_policy_does_not_make_the_twin_seem_dead(infer_ms: int) -> None:
    seen = play(infer_ms, 60, 1)
    assert len(seen.followed - {0}) > 4
    assert not [words for words in seen.troubles if "twin" in words]


def test_one_slow_verdict_does_not_end_a_policy_of_short_chunks() -> None:
    """350 ms once, and every chunk of 8 was refused as late for ever, in the next runs too."""
    clock = Clock()
    executor = Executor(
        ExecutorSettings(Source.POLICY, 1, 4, ROW_NS, 90 * NS_PER_MS, 150 * NS_PER_MS)
    )
    world = World(clock)
    runner = Runner(Model(world, 60, 8), executor, clock, State.POLICY)
    proposed = 0
    while clock.ns < BEGAN_NS + 20 * NS_PER_S:
        clock.ns += 2 * NS_PER_MS
        world.go_on()
        answer = None
        if world.plan is not None:
            answer, world.plan = Answer(world.plan.id, Verdict.PASS), None
        row = world.ticks[(len(world.ticks) - 1) // 4 * 4]
        proposal = runner.step(world.ticks[-1], row, observed, answer)
        if proposal is not None:
            proposed += 1
            judge_ms = 350 if proposed == 3 else 10
            world.pending = (clock.ns + judge_ms * NS_PER_MS, proposal)
    assert proposed > 40


def test_a_run_that_stood_without_its_camera_does_not_go_on_by_itself() -> None:
    """Somebody reaches in to plug it again."""
    clock = Clock()

    def observe(row: Mapping[str, Any]) -> Observation:
        away_s = (clock.ns - BEGAN_NS) / NS_PER_S - 2.0
        if 0.0 < away_s < 6.0:
            raise NotObservedError(f"camera wrist's picture is {away_s * 1000:.0f} ms old")
        return observed(row)

    with pytest.raises(StateError, match="cannot go on: camera wrist") as caught:
        play(60, 30, 20, observe=observe, clock=clock)
    assert "does not go on by itself" in caught.value.do
    assert 4.0 < (clock.ns - BEGAN_NS) / NS_PER_S < 6.0


def test_a_gap_of_a_second_in_a_camera_is_no_end() -> None:
    clock = Clock()

    def observe(row: Mapping[str, Any]) -> Observation:
        if 2.0 < (clock.ns - BEGAN_NS) / NS_PER_S < 3.0:
            raise NotObservedError("camera wrist has no picture yet")
        return observed(row)

    assert play(60, 30, 20, observe=observe, clock=clock).proposed > 10


def test_an_ensemble_is_followed_as_the_mean_that_it_is() -> None:
    """Faded over 150 ms and replaced every 33 ms it was a mean of means, half as fast."""
    turned_s = 3.0

    def step(times_ns: Any, observed_ns: int) -> Any:
        turned = observed_ns > BEGAN_NS + turned_s * NS_PER_S
        return np.full(len(times_ns), 1.0 if turned else 0.0)

    newest = Mode(ensemble=Ensemble("newest", 1.0))
    seen = play(15, 20, 1, mode=newest, path=step)
    there_s = next(at for at, rad in seen.applied if at > turned_s and rad > 0.9) - turned_s
    assert there_s < 0.17


@pytest.mark.parametrize("fade_ns", [0, 150 * NS_PER_MS])
def test_a_new_plan_is_the_old_one_until_its_verdict_also_between_two_slow_waypoints(
    fade_ns: int,
) -> None:
    """At five actions a second a third of the jump came before the seam, unfaded nearly all."""
    step_ns = NS_PER_S // 5
    settings = ExecutorSettings(
        Source.POLICY, 1, 2, ROW_NS, 90 * NS_PER_MS, fade_ns, mode=Mode(rtc=Rtc())
    )
    executor = Executor(settings)
    executor.hand_over(1, BEGAN_NS)
    plans: list[Proposal] = []
    for number, goal in enumerate((0.0, 0.0, 1.0), 1):
        at_ns = BEGAN_NS + number * 450 * NS_PER_MS
        chunk = Chunk(number, 1, at_ns, step_ns, np.full((20, 1), goal))
        assert executor.offer(chunk, at_ns + 60 * NS_PER_MS) is None
        proposal = executor.propose(at_ns + 60 * NS_PER_MS, np.zeros(1))
        assert proposal is not None
        plans.append(proposal)
        judged_ns = at_ns + 75 * NS_PER_MS
        assert executor.answer(number, Verdict.PASS, judged_ns)
    before = np.arange(at_ns + 60 * NS_PER_MS, judged_ns, NS_PER_MS)
    np.testing.assert_allclose(plans[-1].at(before), plans[-2].at(before), atol=1e-12)
    assert plans[-1].at([judged_ns + 2 * step_ns])[0, 0] == 1.0


def test_an_answer_after_a_second_counts_because_control_obeys_it() -> None:
    executor = Executor(ExecutorSettings(Source.POLICY, 1, 5, ROW_NS, 90 * NS_PER_MS))
    executor.hand_over(1, BEGAN_NS)
    at_ns = BEGAN_NS + ROW_NS
    chunk = Chunk(1, 1, at_ns, NS_PER_S // 30, np.zeros((90, 1)))
    assert executor.offer(chunk, at_ns) is None
    assert executor.propose(at_ns, np.zeros(1)) is not None
    late_ns = at_ns + 1200 * NS_PER_MS
    assert executor.propose(late_ns, np.zeros(1)) is None and executor.unanswered
    assert executor.answer(1, Verdict.PASS, late_ns)
    assert executor.awaited_id == 1 and not executor.starved(late_ns)


def test_a_policy_that_will_pause_between_chunks_is_named_before_it_does() -> None:
    """At 900 ms and chunks of 1667 ms it stops at every seam, though one fits into the other."""
    chunk_ns = 50 * NS_PER_S // 30
    for infer_ms in (60, 300, 900, 1300):
        words = pauses(infer_ms * NS_PER_MS, ROW_NS, chunk_ns)
        seen = play(infer_ms, 50, 50)
        stood = [each for each in seen.troubles if "ran out" in each]
        assert bool(words) == bool(stood), infer_ms
    assert "takes 967 ms" in pauses(900 * NS_PER_MS, ROW_NS, chunk_ns)
