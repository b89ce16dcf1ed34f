"""The runner in virtual time: a real policy, a simple arm, a twin that answers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import Config
from policies.border import load_calibrations
from policies.executor import Proposal
from policies.loaded import LoadedPolicy, load_policy
from policies.lockstep import PolicyRunner
from policies.observation import Observation
from policies.plan import parse_ensemble
from policies.runner import Answer
from robotd.clock import NS_PER_MS, NS_PER_S, VirtualClock
from robotd.errors import CheckpointError
from robotd.latency import stages_us
from robotd.policy_channel import Load
from robotd.states import State, Verdict

from .conftest import CHUNK

TICK_NS = NS_PER_S // 120
ENCODER = (2045, 2080, 2057, 1965, 2098, 2600)


@pytest.fixture
def policy(saved_act: Path, config: Config) -> LoadedPolicy:
    return load_policy(Load(path=str(saved_act)), config, load_calibrations(config))


class World:
    """Ticks in virtual time, an arm that stands still, a twin that passes everything."""

    def __init__(self, policy: LoadedPolicy, config: Config, latency_ns: int = 0) -> None:
        self.clock = VirtualClock()
        self.index = 0
        self.version = 1
        self.handover_ns = self.clock.now_ns()
        self.state = State.POLICY
        self.answer: Answer | None = None
        self.proposals: list[tuple[int, Proposal]] = []
        self.answers = True
        self.blocks_x = 0.2
        self.following = 0  # from the tick after the verdict, as control does
        self.runner = PolicyRunner(
            policy,
            config,
            self.clock,
            frame_at=lambda _name, _at: None,
            environment_now=self.environment,
            latency_ns=latency_ns,
        )

    def environment(self) -> dict[str, Any]:
        return {"stamp_ns": self.clock.now_ns(), "values": (self.blocks_x, *(0.1,) * 6)}

    def hand_over(self) -> None:
        self.version += 1
        self.handover_ns = self.clock.now_ns()

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.clock.sleep_until_ns(self.clock.now_ns() + TICK_NS)
            self.index += 1
            tick = {
                "index": self.index,
                "deadline_ns": self.clock.now_ns(),
                "state": int(self.state),
                "handover_version": self.version,
                "handover_ns": self.handover_ns,
                "applied_rad": (0.0,) * 6,
                "present_position_ticks": ENCODER,
                "plan_id": self.following,
                "plan_index": 0 if self.following else -1,
                "write_ns": self.clock.now_ns() + 1,
            }
            answer, self.answer = self.answer, None
            if answer is not None:
                self.following = answer.plan_id
            proposal = self.runner.step(tick, answer)
            if proposal is not None:
                self.proposals.append((self.clock.now_ns(), proposal))
                self.answer = Answer(proposal.id, Verdict.PASS) if self.answers else None


def test_two_runs_propose_the_same(policy: LoadedPolicy, config: Config) -> None:
    runs = []
    for _ in range(2):
        world = World(policy, config)
        world.run(400)
        runs.append(world.proposals)
    assert len(runs[0]) > 4
    for (first_ns, first), (second_ns, second) in zip(*runs, strict=True):
        assert first_ns == second_ns
        np.testing.assert_array_equal(first.goals_rad, second.goals_rad)


def test_a_plan_is_the_policys_chunk_in_radians(policy: LoadedPolicy, config: Config) -> None:
    unfaded = replace(policy, settings=replace(policy.settings, crossfade_ns=0))
    world = World(unfaded, config)
    world.run(9)
    (_, proposal), *_ = world.proposals
    values = {
        "observation.state": policy.border.state(ENCODER),
        "observation.environment_state": np.asarray((0.2, *(0.1,) * 6), np.float32),
    }
    seen = Observation(proposal.observation_ns, 1, proposal.observation_ns, values)
    np.testing.assert_allclose(proposal.goals_rad, policy.predict(seen), atol=1e-12)
    assert proposal.observation_ns % (8 * TICK_NS) == NS_PER_S % (8 * TICK_NS)  # a row's deadline


def test_a_latency_delays_the_plan_but_not_its_times(policy: LoadedPolicy, config: Config) -> None:
    latency_ns = 150 * NS_PER_MS
    world = World(policy, config, latency_ns)
    world.run(600)
    assert len(world.proposals) > 4
    for proposed_ns, proposal in world.proposals:
        behind_ns = proposed_ns - proposal.observation_ns
        assert latency_ns <= behind_ns <= latency_ns + 2 * TICK_NS
        assert proposal.start_ns <= proposed_ns < proposal.start_ns + proposal.step_ns
    # The next plan is there before the last one ends: no stall at a seam.
    for (_, before), (proposed_ns, _) in zip(world.proposals, world.proposals[1:], strict=False):
        assert proposed_ns + TICK_NS < before.end_ns


def test_a_chunk_in_the_making_dies_with_its_handover(policy: LoadedPolicy, config: Config) -> None:
    world = World(policy, config, 100 * NS_PER_MS)
    world.run(10)  # an observation was taken, its chunk is not there yet
    assert not world.proposals
    world.hand_over()
    world.run(40)
    assert world.proposals
    for _, proposal in world.proposals:
        assert proposal.handover_version == 2
        assert proposal.observation_ns > world.handover_ns


def test_the_policy_is_reset_once_at_each_handover(
    policy: LoadedPolicy, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets: list[int] = []
    monkeypatch.setattr(type(policy.model), "reset", lambda _self: resets.append(world.version))
    world = World(policy, config)
    world.run(50)
    world.state = State.HOLDING
    world.run(50)
    proposed = len(world.proposals)
    world.hand_over()
    world.state = State.POLICY
    world.run(50)
    assert resets == [1, 2]
    assert len(world.proposals) > proposed


def test_ensembling_as_often_as_rows_come_blends_what_chunks_say(
    saved_act: Path, config: Config
) -> None:
    """The block moves, so every chunk says something else."""
    request = Load(path=str(saved_act), ensemble="newest:0.01")
    policy = load_policy(request, config, load_calibrations(config))
    assert policy.settings.n_action_steps == 1
    assert policy.settings.mode.ensemble == parse_ensemble("newest")
    world = World(policy, config)
    for step in range(60):
        world.blocks_x = 0.2 + 0.002 * step
        world.run(8)
    assert len(world.proposals) >= 55
    assert CHUNK - 2 <= len(world.proposals[-1][1].goals_rad) <= CHUNK


def test_a_twin_that_does_not_answer_is_said_until_it_does(
    policy: LoadedPolicy, config: Config
) -> None:
    world = World(policy, config)
    world.run(60)
    world.answers = False
    world.run(400)
    assert "twin does not answer" in world.runner.runner.trouble
    assert world.runner.runner.executor.starved(world.clock.now_ns())
    world.answers = True
    world.run(200)
    assert world.runner.runner.trouble == ""
    assert not world.runner.runner.executor.starved(world.clock.now_ns())


def test_a_chunk_that_is_no_number_moves_nothing_and_ends_the_run_in_three_parts(
    policy: LoadedPolicy, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(policy, config)
    poison = np.full((CHUNK, 6), np.nan)
    monkeypatch.setattr(LoadedPolicy, "predict", lambda *_: poison)
    with pytest.raises(CheckpointError, match="not a finite number") as caught:
        world.run(100)
    assert caught.value.likely and caught.value.do
    assert not world.proposals
    assert world.runner.runner.executor.starved(world.clock.now_ns())


@pytest.mark.parametrize("shape", [(CHUNK, 7), (CHUNK,), (0, 6)])
def test_a_chunk_of_another_shape_moves_nothing_and_is_named(
    policy: LoadedPolicy, config: Config, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    """From a server, or a checkpoint that was changed on the disk after it was fitted."""
    world = World(policy, config)
    monkeypatch.setattr(type(policy.model), "predict", lambda *_, **__: np.zeros(shape))
    with pytest.raises(CheckpointError, match="another number of joints"):
        world.run(100)
    assert not world.proposals


def test_a_gpu_without_memory_and_a_model_that_raises_end_the_run_in_three_parts(
    policy: LoadedPolicy, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    failures = {
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."): "not enough mem",
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"): "RuntimeError: mat1 and mat2",
    }
    for failure, words in failures.items():
        world = World(policy, config)
        world.run(60)
        proposed = len(world.proposals)
        assert proposed

        def fail(*_: object, failure: Exception = failure, **__: object) -> None:
            raise failure

        with monkeypatch.context() as patch:
            patch.setattr(type(policy.model), "predict", fail)
            with pytest.raises(CheckpointError, match=words) as caught:
                world.run(200)
        assert caught.value.likely and caught.value.do
        assert len(world.proposals) == proposed


def test_what_each_chunk_took_is_known_to_the_first_goal_written(
    policy: LoadedPolicy, config: Config
) -> None:
    latency_ns = 150 * NS_PER_MS
    world = World(policy, config, latency_ns)
    world.run(600)
    records = world.runner.runner.latency.take()
    assert [record["id"] for record in records] == [
        p.id for _, p in world.proposals[: len(records)]
    ]
    assert len(records) >= len(world.proposals) - 1
    for record, (proposed_ns, proposal) in zip(records, world.proposals, strict=False):
        stages = stages_us(record)
        assert stages is not None
        assert stages["infer"] == latency_ns // 1000
        assert record["captured_ns"] <= proposal.observation_ns
        assert record["proposed_ns"] == proposed_ns
        assert record["written_ns"] > record["judged_ns"] > record["proposed_ns"]
        parts = sum(value for stage, value in stages.items() if stage != "total")
        assert abs(stages["total"] - parts) <= len(stages)  # rounding: no time is nobody's
        assert record["consumed"] >= latency_ns // proposal.step_ns + 1


def test_a_queue_that_is_popped_is_never_called_an_inference(
    policy: LoadedPolicy, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LeRobot's `select_action` infers once in n calls and pops a queue in the others: timed by
    the call, a policy of 50 ms looks like one of 1 ms. Here every time is that of a whole chunk."""
    import time

    own = policy.model.policy.predict_action_chunk  # type: ignore[attr-defined]
    calls: list[int] = []

    def slow(batch: object) -> object:
        calls.append(1)
        time.sleep(0.05)
        return own(batch)

    monkeypatch.setattr(policy.model.policy, "predict_action_chunk", slow)  # type: ignore[attr-defined]
    monkeypatch.setattr(
        policy.model.policy,  # type: ignore[attr-defined]
        "select_action",
        lambda _batch: pytest.fail("actions do not come out of a queue"),
    )
    values = {
        "observation.state": policy.border.state(ENCODER),
        "observation.environment_state": np.full(7, 0.1, np.float32),
    }
    for number in range(1, 6):
        policy.predict(Observation(1, 1, 1, values))
        assert len(calls) == number
        assert policy.timings.infer_ns >= 50 * NS_PER_MS
        assert policy.timings.overhead_ns > 0
