"""A policy in shadow proposes only while the arm is disarmed, always from where it stands."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from policies.executor import ExecutorSettings
from policies.model import Timings
from policies.observation import Observation
from policies.rtc import Leftover
from policies.runner import Answer
from policies.shadow import SHADOW_VERSION, Shadow
from robotd.clock import NS_PER_S, VirtualClock
from robotd.policy_channel import Shadowed
from robotd.states import PlanReason, Source, State, Verdict

TICK_NS = NS_PER_S // 120
STEP_NS = NS_PER_S // 15
AWAY_RAD = 0.5


class Policy:
    """Always wants the same pose, for ten steps; played five of them."""

    step_ns = STEP_NS
    settings = ExecutorSettings(
        source=Source.POLICY,
        joints=6,
        n_action_steps=5,
        row_ns=8 * TICK_NS,
        first_delay_ns=TICK_NS,
        crossfade_ns=2 * STEP_NS,
    )

    def __init__(self) -> None:
        self.resets = 0
        self.versions: set[int] = set()

    def reset(self) -> None:
        self.resets += 1

    raw = None
    timings = Timings()

    def predict(
        self, observation: Observation, leftover: Leftover | None = None
    ) -> npt.NDArray[np.float64]:
        self.versions.add(observation.handover_version)
        return np.full((10, 6), AWAY_RAD)


class Stage:
    """A limp arm that a hand moves slowly, and a twin that says what it is told to."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.policy: Any = Policy()
        self.shadow = Shadow(3, self.policy, self.clock, first_chunk_id=100, latency_ns=0)
        self.state = State.DISARMED
        self.position_rad = 0.0
        self.index = 0
        self.proposals: list[Any] = []
        self.starts_rad: list[float] = []
        self.news: list[Shadowed] = []
        self.verdict, self.reason = Verdict.PASS, PlanReason.NONE
        self.answer: Answer | None = None

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 120)):
            self.clock.sleep_until_ns(self.clock.now_ns() + TICK_NS)
            self.index += 1
            self.position_rad += 0.1 / 120
            tick = {
                "index": self.index,
                "deadline_ns": self.clock.now_ns(),
                "state": int(self.state),
                "handover_version": 5,
                "handover_ns": 0,
                "applied_rad": (9.0,) * 6,  # what was asked for long ago is not where it is
                "present_position_rad": (self.position_rad,) * 6,
            }
            row = tick if self.index % 8 == 0 else None
            answer, self.answer = self.answer, None
            proposal, news = self.shadow.step(tick, row, self._observe, answer)
            if proposal is not None:
                self.proposals.append(proposal)
                self.starts_rad.append(self.position_rad)
                self.answer = Answer(proposal.id, self.verdict, self.reason)
            if news is not None:
                self.news.append(news)

    def _observe(self, row: Any) -> Observation:
        at_ns = int(row["deadline_ns"])
        return Observation(at_ns, int(row["handover_version"]), at_ns, {})


def test_a_shadows_plans_carry_a_source_and_a_version_that_control_never_has() -> None:
    stage = Stage()
    stage.run(3.0)
    assert stage.proposals and stage.policy.resets == 1
    assert {proposal.source for proposal in stage.proposals} == {Source.SHADOW}
    assert {proposal.handover_version for proposal in stage.proposals} == {SHADOW_VERSION}
    assert stage.policy.versions == {SHADOW_VERSION}


def test_every_chunk_of_a_shadow_starts_where_the_arm_is_measured_though_the_last_one_passed() -> (
    None
):
    stage = Stage()
    stage.run(5.0)
    assert 10 <= len(stage.proposals) <= 16  # five steps of 1/15 s each, as in a run
    for proposal, start_rad in zip(stage.proposals, stage.starts_rad, strict=True):
        np.testing.assert_allclose(proposal.goals_rad[0], start_rad, atol=0.01)
        np.testing.assert_allclose(proposal.goals_rad[-1], AWAY_RAD)


@pytest.mark.parametrize("state", [State.HOLDING, State.POLICY, State.REPLAY, State.ESTOP])
def test_a_shadow_proposes_nothing_once_the_arm_is_not_disarmed(state: State) -> None:
    stage = Stage()
    stage.run(1.0)
    before = len(stage.proposals)
    stage.state = state
    stage.run(2.0)
    assert len(stage.proposals) == before


def test_verdicts_are_counted_by_reason_and_a_refused_chunk_brings_no_others_sooner() -> None:
    stage = Stage()
    stage.run(2.0)
    passed = len(stage.news)
    stage.verdict, stage.reason = Verdict.REJECT, PlanReason.LINK_ON_TABLE
    stage.run(2.0)
    refused = len(stage.news) - passed
    assert abs(refused - passed) <= 1
    last = stage.news[-1]
    assert (last.number, last.chunks) == (3, passed + refused)
    assert last.refused == sum(last.reasons.values()) and refused - 1 <= last.refused <= refused
    assert list(last.reasons) == [PlanReason.LINK_ON_TABLE.words]
    stage.verdict, stage.reason = Verdict.LATE, PlanReason.LATE
    stage.run(1.0)
    assert stage.news[-1].late > 0 and stage.news[-1].refused <= refused + 1
