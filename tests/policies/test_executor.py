"""The chunk clock's promises, over made-up policies, delays, verdicts and hand-overs."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.executor import Executor, ExecutorSettings, Proposal, Refusal
from policies.modes import Mode, Rtc
from policies.plan import Chunk, Ensemble
from policies.rtc import RawChunk, Schedule
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.layouts import PLAN_WAYPOINTS, plan_layout
from robotd.states import Source, Verdict

TICK_NS = NS_PER_S // 120
ROW_NS = 8 * TICK_NS
STEP_NS = NS_PER_S // 15
HELD = np.zeros(6)

SETTINGS = ExecutorSettings(
    source=Source.POLICY,
    joints=6,
    n_action_steps=20,
    row_ns=ROW_NS,
    first_delay_ns=60 * NS_PER_MS,
)


def constant_chunk(chunk_id: int, observation_ns: int, version: int, length: int = 50) -> Chunk:
    return Chunk(chunk_id, version, observation_ns, STEP_NS, np.full((length, 6), float(chunk_id)))


class World:
    """A robot in virtual time: rows, a policy that needs time, a twin that needs time."""

    def __init__(
        self, executor: Executor, seed: int, infer_ms: tuple[int, int], judge_ms: tuple[int, int]
    ) -> None:
        self.executor = executor
        self.random = random.Random(seed)
        self.infer_ms, self.judge_ms = infer_ms, judge_ms
        self.now_ns = 100 * TICK_NS
        self.version = 0
        self.handover_ns = 0
        self.length = 50
        self.chunks = 0
        self.thinking: tuple[int, Chunk] | None = None
        self.judging: list[tuple[int, Proposal]] = []
        self.proposals: list[tuple[int, Proposal]] = []
        self.starved_ticks = 0
        self.verdict = Verdict.PASS

    def hand_over(self) -> None:
        self.version += 1
        self.handover_ns = self.now_ns
        self.executor.hand_over(self.version, self.handover_ns)

    def tick(self) -> None:
        self.now_ns += TICK_NS
        executor, now_ns = self.executor, self.now_ns
        if self.judging and self.judging[0][0] <= now_ns:
            executor.answer(self.judging.pop(0)[1].id, self.verdict, now_ns)
        row = now_ns % ROW_NS < TICK_NS
        if self.thinking is None and row and executor.wants(now_ns):
            self.chunks += 1
            delay_ns = self.random.randint(*self.infer_ms) * NS_PER_MS
            made = constant_chunk(self.chunks, now_ns, self.version, self.length)
            self.thinking = (now_ns + delay_ns, made)
        if self.thinking is not None and self.thinking[0] <= now_ns:
            executor.offer(self.thinking[1], now_ns)
            self.thinking = None
        proposal = executor.propose(now_ns, HELD)
        if proposal is not None:
            self.proposals.append((now_ns, proposal))
            delay_ns = self.random.randint(*self.judge_ms) * NS_PER_MS
            self.judging.append((now_ns + delay_ns, proposal))
        self.starved_ticks += executor.starved(now_ns)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    infer=st.integers(0, 900),
    judge=st.integers(0, 60),
    n=st.integers(1, 50),
)
def test_once_moving_the_arm_never_waits_for_a_plan(
    seed: int, infer: int, judge: int, n: int
) -> None:
    """Delays up to 0.96 s, a third of them jitter, against a chunk of 3.3 s."""
    executor = Executor(replace(SETTINGS, n_action_steps=n, first_delay_ns=NS_PER_S))
    world = World(executor, seed, (infer * 2 // 3, infer), (judge, judge + 1))
    world.hand_over()
    while executor.starved(world.now_ns) and world.now_ns < 10 * NS_PER_S:
        world.tick()
    world.starved_ticks = 0
    for _ in range(120 * 12):
        world.tick()
    assert world.starved_ticks == 0
    assert len(world.proposals) >= 4


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_nothing_from_before_a_handover_is_ever_proposed(data: st.DataObject, seed: int) -> None:
    executor = Executor(SETTINGS)
    world = World(executor, seed, (0, 400), (0, 60))
    world.hand_over()
    for _ in range(8):
        for _ in range(data.draw(st.integers(1, 90))):
            before = len(world.proposals)
            world.tick()
            for _, proposal in world.proposals[before:]:
                assert proposal.handover_version == world.version
                assert proposal.observation_ns > world.handover_ns
        if data.draw(st.booleans()):
            executor.stop()
        world.hand_over()  # with chunks in the making and plans under judgement


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), judge=st.integers(0, 300), n=st.integers(1, 5))
def test_the_next_proposal_waits_until_the_twin_has_answered(seed: int, judge: int, n: int) -> None:
    """Replanning faster than checking approved 13 % where newest won."""
    world = World(Executor(replace(SETTINGS, n_action_steps=n)), seed, (0, 5), (judge, judge + 20))
    world.hand_over()
    for _ in range(600):
        world.tick()
        assert len(world.judging) <= 1
    assert world.proposals


def test_a_plan_starts_where_its_observation_says_and_keeps_the_chunk_exact() -> None:
    executor = Executor(SETTINGS)
    executor.hand_over(1, 0)
    rows = np.random.default_rng(0).normal(size=(50, 6))
    executor.offer(Chunk(9, 1, 1000, STEP_NS, rows), 1000)
    now_ns = 1000 + int(3.4 * STEP_NS)
    proposal = executor.propose(now_ns, HELD)
    assert proposal is not None
    assert proposal.start_ns == 1000 + 3 * STEP_NS
    assert proposal.observation_ns == 1000
    np.testing.assert_array_equal(proposal.goals_rad, rows[3:])
    record = plan_layout(6).unpack(plan_layout(6).pack(proposal.record()))
    assert record["waypoints"] == 47
    assert record["goal_rad"][:6] == tuple(rows[3])


def test_a_long_chunk_is_cut_to_what_a_plan_holds() -> None:
    executor = Executor(SETTINGS)
    executor.hand_over(1, 0)
    executor.offer(constant_chunk(1, 1000, 1, length=300), 1000)
    proposal = executor.propose(2000, HELD)
    assert proposal is not None
    assert len(proposal.goals_rad) == PLAN_WAYPOINTS


def test_a_chunk_that_came_too_late_is_no_plan() -> None:
    executor = Executor(SETTINGS)
    executor.hand_over(1, 0)
    late = constant_chunk(1, 1000, 1, length=10)
    assert executor.offer(late, 1000 + 11 * STEP_NS) is Refusal.LATE
    assert executor.propose(1000 + 11 * STEP_NS, HELD) is None
    assert executor.wants(1000 + 12 * STEP_NS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_action_that_is_no_number_is_refused_with_its_chunk(bad: float) -> None:
    executor = Executor(SETTINGS)
    executor.hand_over(1, 0)
    poisoned = constant_chunk(1, 1000, 1)
    poisoned.actions_rad[40, 3] = bad
    assert executor.offer(poisoned, 1000) is Refusal.NOT_FINITE
    assert executor.propose(1000, HELD) is None
    assert executor.starved(1000)


def test_chunks_of_another_robot_or_handover_are_refused() -> None:
    executor = Executor(SETTINGS)
    assert executor.offer(constant_chunk(1, 1000, 1), 1000) is Refusal.OLD_HANDOVER
    executor.hand_over(2, 5000)
    assert executor.offer(constant_chunk(1, 6000, 1), 6000) is Refusal.OLD_HANDOVER
    assert executor.offer(constant_chunk(1, 5000, 2), 6000) is Refusal.OLD_HANDOVER
    for shape in ((50, 7), (0, 6), (50,)):
        other = Chunk(1, 2, 6000, STEP_NS, np.zeros(shape))
        assert executor.offer(other, 6000) is Refusal.WRONG_SHAPE


def test_after_a_refusal_of_the_twin_the_arm_holds_and_a_fresh_chunk_is_asked_for() -> None:
    world = World(Executor(SETTINGS), 1, (10, 20), (5, 6))
    world.hand_over()
    for _ in range(60):
        world.tick()
    assert not world.executor.starved(world.now_ns)
    world.verdict = Verdict.REJECT
    refused_from = len(world.proposals)
    for _ in range(200):
        world.tick()
    assert world.executor.starved(world.now_ns)
    assert world.executor.last_verdict is Verdict.REJECT
    assert len(world.proposals) >= refused_from + 3
    world.verdict = Verdict.PASS
    for _ in range(40):
        world.tick()
    assert not world.executor.starved(world.now_ns)


def test_a_late_verdict_counts_only_where_the_rule_says_pass() -> None:
    for passes in (True, False):
        executor = Executor(replace(SETTINGS, late_passes=passes))
        executor.hand_over(1, 0)
        executor.offer(constant_chunk(1, 1000, 1), 1000)
        assert executor.propose(1000, HELD) is not None
        assert executor.answer(1, Verdict.LATE, 2000)
        assert executor.starved(2000) is not passes


def test_a_twin_that_lost_the_proposal_does_not_stop_everything() -> None:
    executor = Executor(SETTINGS)
    executor.hand_over(1, 0)
    executor.offer(constant_chunk(1, 1000, 1), 1000)
    assert executor.propose(1000, HELD) is not None
    second = 1000 + 20 * STEP_NS
    assert executor.wants(second)
    executor.offer(constant_chunk(2, second, 1), second)
    proposal = executor.propose(second, HELD)
    assert proposal is not None and proposal.id == 2
    assert not executor.answer(1, Verdict.PASS, second + 1)


def test_the_goal_does_not_jump_at_a_seam() -> None:
    """Chunk n says n everywhere: naive switching would jump by a whole unit."""
    fade_ns = 300 * NS_PER_MS
    executor = Executor(replace(SETTINGS, crossfade_ns=fade_ns))
    world = World(executor, 5, (20, 40), (8, 9))
    world.hand_over()
    jumps = []
    followed: Proposal | None = None
    for _ in range(1200):
        world.tick()
        approved = executor._approved
        if followed is not None and approved is not None and approved is not followed:
            at = [world.now_ns]
            jumps.append(float(np.abs(approved.at(at) - followed.at(at)).max()))
        followed = approved
    assert len(jumps) > 5
    assert max(jumps) < 1 / 3


def test_ensembling_never_asks_a_chunk_for_times_it_does_not_cover() -> None:
    how = replace(SETTINGS, mode=Mode(ensemble=Ensemble("newest")), n_action_steps=1)
    world = World(Executor(how), 2, (5, 10), (3, 4))
    world.hand_over()
    for _ in range(600):
        world.tick()
    assert len(world.proposals) > 50
    for _, proposal in world.proposals:
        assert np.isfinite(proposal.goals_rad).all()
        # Chunk n says n: a mean of the chunks so far lies between the first and the newest.
        assert proposal.goals_rad.min() >= 1 and proposal.goals_rad.max() <= proposal.id


def test_one_cold_inference_does_not_slow_replanning_for_ever() -> None:
    """LeRobot's tracker keeps an all-time maximum; ours forgets after eight chunks."""
    executor = Executor(replace(SETTINGS, first_delay_ns=3 * NS_PER_S))
    world = World(executor, 4, (10, 12), (2, 3))
    world.hand_over()
    for _ in range(120 * 20):
        world.tick()
    assert executor.delay_ns < 60 * NS_PER_MS


def numbered(chunk_id: int, observation_ns: int) -> Chunk:
    """Action k is k in the model's words."""
    raw = RawChunk(
        np.tile(np.arange(50, dtype=np.float32)[:, None], (1, 8)), np.ones(6, np.float32)
    )
    return replace(constant_chunk(chunk_id, observation_ns, 1), raw=raw)


def guided_executor() -> Executor:
    mode = Mode(rtc=Rtc(horizon=6, schedule=Schedule.EXP, max_weight=5.0))
    executor = Executor(replace(SETTINGS, mode=mode))
    executor.hand_over(1, 0)
    return executor


def play(executor: Executor, chunk: Chunk, now_ns: int) -> None:
    assert executor.offer(chunk, now_ns) is None
    assert executor.propose(now_ns, HELD) is not None
    assert executor.answer(chunk.id, Verdict.PASS, now_ns)


def test_the_next_chunk_is_told_what_is_left_from_its_own_observation_on() -> None:
    executor = guided_executor()
    assert executor.leftover(1000) is None  # nothing is being played
    play(executor, numbered(1, 1000), 1000)
    leftover = executor.leftover(1000 + 12 * STEP_NS)
    assert leftover is not None and leftover.state is not None
    np.testing.assert_array_equal(leftover.actions[:, 0], np.arange(12, 50))
    assert (leftover.schedule, leftover.max_weight) == (Schedule.EXP, 5.0)
    assert leftover.horizon == leftover.delay_steps + 6
    # Rows and steps need not fall together: between two actions the path is straight.
    between = executor.leftover(1000 + int(12.5 * STEP_NS))
    assert between is not None
    np.testing.assert_allclose(between.actions[:, 0], np.arange(12.5, 49), atol=1e-6)
    assert executor.leftover(1000 + 50 * STEP_NS) is None  # nothing is left


def test_a_plan_under_judgement_is_what_the_next_chunk_goes_on_from() -> None:
    executor = guided_executor()
    play(executor, numbered(1, 1000), 1000)
    now_ns = 1000 + 20 * STEP_NS
    assert executor.offer(numbered(2, now_ns), now_ns) is None
    assert executor.propose(now_ns, HELD) is not None
    leftover = executor.leftover(now_ns + STEP_NS)
    assert leftover is not None and leftover.actions[0, 0] == 1
    executor.answer(2, Verdict.REJECT, now_ns + STEP_NS)
    assert executor.leftover(now_ns + 2 * STEP_NS) is None  # the arm holds: nothing to go on from


def test_the_frozen_prefix_is_counted_in_actions_that_control_consumed() -> None:
    """The clock says 60 ms, one action; control took the plan up four waypoints in."""
    executor = guided_executor()
    assert executor.delay_steps(STEP_NS) == 2
    play(executor, numbered(1, 1000), 1000)
    assert executor.awaited_id == 1
    assert executor.taken_up(1, 4) == 5
    assert not executor.awaited_id
    assert executor.taken_up(1, 9) == 0  # once is enough
    leftover = executor.leftover(1000 + 20 * STEP_NS)
    assert leftover is not None and leftover.delay_steps == 5
    # The next one's plan begins three actions into its chunk, and control at its second waypoint.
    observed_ns = 1000 + 20 * STEP_NS
    play(executor, numbered(2, observed_ns), observed_ns + 3 * STEP_NS)
    assert executor.taken_up(2, 1) == 5


def test_in_real_time_chunking_what_is_under_way_is_not_touched() -> None:
    """Whatever the guided chunk says of them: until the verdict the arm follows the old plan."""
    executor = guided_executor()
    play(executor, numbered(1, 1000), 1000)
    executor._verdicts_ns.append(3 * STEP_NS)
    now_ns = 1000 + 20 * STEP_NS
    executor.offer(numbered(2, now_ns), now_ns)
    proposal = executor.propose(now_ns, HELD)
    assert proposal is not None
    np.testing.assert_array_equal(proposal.goals_rad[:4], 1.0)
    np.testing.assert_array_equal(proposal.goals_rad[4:], 2.0)


def test_a_plan_that_ran_out_is_said_with_both_times() -> None:
    executor = Executor(SETTINGS)
    executor.hand_over(1, 0)
    assert executor.starvation(10_000) == ""  # it has not begun
    play(executor, constant_chunk(1, 1000, 1, length=10), 1000)
    assert executor.starvation(1000 + 5 * STEP_NS) == ""
    said = executor.starvation(1000 + 11 * STEP_NS)
    assert "667 ms" in said and "the arm holds" in said
