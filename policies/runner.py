"""One step of making plans: the same code for a policy, a replay, real time and lock-step.

`Runner.step` is called once per loop pass with the newest tick. It notices hand-overs, passes the
twin's answers on, infers when the executor wants a chunk, and returns what is to be proposed. Where
the values come from (shared memory or a simulation in the same process) is the caller's business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from policies.executor import Executor, Proposal, Refusal
from policies.failing import inference_failed
from policies.latency import LatencyBook
from policies.model import Timings
from policies.observation import NotObservedError, NotYetObservedError, Observation
from policies.plan import Chunk
from policies.rtc import Leftover, RawChunk
from robotd.clock import NS_PER_S, Clock
from robotd.errors import CheckpointError, PolicyServerError, RobotdError, StateError
from robotd.states import PlanReason, State, Verdict


class Predictor(Protocol):
    """Something that says what to do from an observation: a policy, or a recording."""

    @property
    def step_ns(self) -> int:
        """The time between two actions of a chunk."""
        ...

    def reset(self) -> None:
        """A new episode begins. Called once per hand-over, before its first `predict`."""
        ...

    def predict(
        self, observation: Observation, leftover: Leftover | None = None
    ) -> npt.NDArray[np.float64]:
        """One chunk [T, joints] in radians, action k for `deadline_ns + k * step_ns`.

        `leftover` is what it has to go on from, where it can. Values that are not finite are passed
        on as they are: the executor refuses them.
        """
        ...

    @property
    def raw(self) -> RawChunk | None:
        """The last chunk as the model said it; None where nothing can go on from it."""
        ...

    @property
    def timings(self) -> Timings:
        """The parts of the last `predict`."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """The twin's verdict on a plan. `judged_ns`: when it was made; None where it is read at once."""

    plan_id: int
    verdict: Verdict
    reason: PlanReason = PlanReason.NONE
    judged_ns: int | None = None

    @property
    def words(self) -> str:
        """What a person has to know of it; empty for a plan that passed."""
        if self.verdict is Verdict.PASS:
            return ""
        why = f": {self.reason.words}" if self.reason.words else ""
        return f"the twin did not pass the plan{why}"


@dataclass(frozen=True, slots=True)
class Inference:
    """How the last chunk was made: its own time only, and the age of its oldest input."""

    chunk_id: int
    inference_ns: int
    observation_age_ns: int


Observe = Callable[[Mapping[str, Any]], Observation]
"""Make the observation of a row's tick.

Raises NotYetObservedError when it has to be asked for again, NotObservedError when there is none.
"""

FirstFollowed = Callable[[int], Mapping[str, Any] | None]
"""The first tick in which control followed the plan of that id; None while there is none."""

_UNANSWERED = "the twin does not answer; past the last approved plan the arm holds"
_GAP_NS = 2 * NS_PER_S
"""A run that stands for longer for want of an input has ended: whoever sees it stand reaches in."""
_NO_ACTIONS = (Refusal.NOT_FINITE, Refusal.WRONG_SHAPE)


class Runner:
    """Drives one predictor through one executor while the arm is in `state`.

    `latency_ns` None: a chunk is there when `predict` returned, by the clock. A number: the chunk
    appears that much after its observation was taken, whatever `predict` cost (lock-step).
    `first_chunk_id` must be above every id that was ever used in the runtime folder.
    `first_followed` None: every tick comes by `step` (lock-step), so the first is not missed.
    `latency` has where each chunk's time went.
    """

    def __init__(
        self,
        predictor: Predictor,
        executor: Executor,
        clock: Clock,
        state: State,
        *,
        first_chunk_id: int = 1,
        latency_ns: int | None = None,
        first_followed: FirstFollowed | None = None,
    ) -> None:
        self.executor = executor
        self.latency = LatencyBook()
        self.chunks = 0
        self.inference: Inference | None = None
        self.trouble = ""
        self._predictor = predictor
        self._clock = clock
        self._state = state
        self._next_id = first_chunk_id
        self._latency_ns = latency_ns
        self._first_followed = first_followed
        self._looking: Mapping[str, Any] | None = None  # the row whose pictures are on their way
        self._thinking: tuple[int, Chunk] | None = None
        self._moved = False  # a plan was followed since the hand-over
        self._blind_ns: int | None = None  # since when no observation can be made

    def step(
        self,
        tick: Mapping[str, Any],
        row: Mapping[str, Any] | None,
        observe: Observe,
        answer: Answer | None = None,
    ) -> Proposal | None:
        """One pass. `tick` is the newest tick, `row` the newest one at a row's deadline.

        Raises CheckpointError for a chunk that is no action (the next one would be none either),
        StateError when the arm stood for two seconds for want of an input.
        """
        if tick["state"] != self._state:
            self.executor.stop()
            self.latency.forget()
            self._looking = self._thinking = None
            self.trouble = ""
            return None
        version = int(tick["handover_version"])
        if version != self.executor.version:
            self._predictor.reset()
            self.executor.hand_over(version, int(tick["handover_ns"]))
            self._moved, self._blind_ns = False, None
            self.latency.forget()
            self._looking = self._thinking = None
        if answer is not None:
            self._judged(answer)
        if self.executor.awaited_id is not None:
            self._watch(self.executor.awaited_id, tick)
        if self._thinking is None and self._looking is None and row is not None:
            wanted = self.executor.wants(int(row["deadline_ns"]))
            self._looking = row if wanted and row["handover_version"] == version else None
        if self._looking is not None:
            self._think(self._looking, int(tick["handover_ns"]), observe)
            if self._thinking is not None and self._latency_ns is None:
                return None  # this pass's tick is as old as the inference took: the next one plans
        self._think_to_the_end()
        now_ns = self._clock.now_ns()
        proposal = self.executor.propose(now_ns, np.asarray(tick["applied_rad"]))
        if proposal is not None:
            self.latency.proposed(proposal.id, now_ns)
        if self.executor.unanswered:
            self.trouble = _UNANSWERED
        elif not self.trouble:
            self.trouble = self.executor.starvation(now_ns)
        return proposal

    def _judged(self, answer: Answer) -> None:
        at_ns = self._clock.now_ns()
        if answer.judged_ns is not None:  # it may have lain there while the next chunk was made
            at_ns = min(at_ns, answer.judged_ns)
        if self.executor.answer(answer.plan_id, answer.verdict, at_ns):
            self.trouble = answer.words
            self.latency.judged(answer.plan_id, answer.verdict, at_ns)
            self._moved |= answer.verdict is Verdict.PASS

    def _watch(self, plan_id: int, tick: Mapping[str, Any]) -> None:
        """See when control takes up an approved plan, and how far it was by then."""
        if tick["plan_id"] != plan_id:
            return
        first = self._first_followed(plan_id) if self._first_followed is not None else tick
        if first is None or first["plan_index"] < 0:
            return
        consumed = self.executor.taken_up(plan_id, int(first["plan_index"]))
        self.latency.written(plan_id, int(first["write_ns"]), consumed)

    def _think(self, row: Mapping[str, Any], handover_ns: int, observe: Observe) -> None:
        try:
            observation = observe(row)
        except NotYetObservedError:
            return
        except NotObservedError as error:
            self._looking = None
            self.trouble = str(error)
            self._blind(self.trouble)
            return
        self._looking = self._blind_ns = None
        if observation.oldest_ns <= handover_ns:
            return  # a picture from before the hand-over; the next row has a newer one
        leftover = self.executor.leftover(observation.deadline_ns)
        began_ns = self._clock.now_ns()
        try:
            actions_rad = self._predictor.predict(observation, leftover)
        except PolicyServerError as error:
            if self.executor.starved(self._clock.now_ns()):
                raise  # a run that stands does not go on by itself when a server comes back
            self.trouble = error.what  # while something approved is left, it is tried again
            return
        except RobotdError:
            raise
        except (
            Exception
        ) as error:  # torch, a server, a processor: whatever they raise ends in words
            raise inference_failed(error) from error
        ended_ns = self._clock.now_ns()
        chunk = Chunk(
            self._next_id,
            observation.handover_version,
            observation.deadline_ns,
            self._predictor.step_ns,
            actions_rad,
            self._predictor.raw,
        )
        self._next_id += 1
        self.chunks += 1
        inference_ns = ended_ns - began_ns if self._latency_ns is None else self._latency_ns
        self.inference = Inference(chunk.id, inference_ns, began_ns - observation.oldest_ns)
        parts = self._predictor.timings
        if self._latency_ns is not None:
            parts = Timings(infer_ns=inference_ns)
        self.latency.predicted(
            chunk.id, observation.oldest_ns, began_ns, began_ns + inference_ns, parts
        )
        self._thinking = (began_ns + inference_ns, chunk)

    def _blind(self, why: str) -> None:
        """No observation can be made. Raises StateError where the arm has moved and stands now."""
        now_ns = self._clock.now_ns()
        self._blind_ns = now_ns if self._blind_ns is None else self._blind_ns
        if self._moved and self.executor.starved(now_ns) and now_ns - self._blind_ns > _GAP_NS:
            raise StateError(
                f"The policy cannot go on: {why}.",
                "A camera was unplugged or hangs, or what is observed comes too late.",
                "Look at robotd health; then run the policy again. It does not go on by itself.",
            )

    def _think_to_the_end(self) -> None:
        now_ns = self._clock.now_ns()
        if self._thinking is None or now_ns < self._thinking[0]:
            return
        chunk = self._thinking[1]
        self._thinking = None
        refusal = self.executor.offer(chunk, now_ns)
        if refusal in _NO_ACTIONS:
            raise CheckpointError(
                f"The policy gave no action for what it sees now: {refusal.value}.",
                "Its weights or the statistics of its processors overflow away from what it was "
                "trained on, or training diverged.",
                "Choose an earlier step of the training run, and start from a pose as in its data.",
            )
        if refusal is not None and refusal is not Refusal.OLD_HANDOVER:
            self.trouble = f"a chunk was refused: {refusal.value}"
