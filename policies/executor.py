"""When to think and what to propose: the chunk clock of every policy, and of replay.

A state machine of values: no model, no clock, no I/O. It is told the time, hand-overs, chunks and
the twin's answers; it says which observation to infer from, and what to propose. Its promises:

- nothing from before a hand-over is ever proposed after it;
- one proposal at a time: the next waits until the twin has answered (newest-wins would starve the
  arm when replanning is faster than checking);
- the next chunk is asked for early enough, by measured delay, that its plan is approved before the
  present one runs out;
- in real-time chunking it is told what will have been played of the present one by then, counted in
  actions that control really consumed, not by a clock's estimate;
- a chunk that came too late is dropped, never squeezed in.
"""

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from policies.modes import PLAIN, Mode
from policies.plan import Array, Chunk, crossfaded, ensembled, times_left
from policies.rtc import Leftover
from robotd.clock import NS_PER_MS, NS_PER_S
from robotd.layouts import PLAN_WAYPOINTS
from robotd.states import Source, Verdict

_DELAYS_KEPT = 8  # recent enough that one cold inference does not inflate the estimate for ever
_DELAY_RESERVE = 1.5  # the next delay may be longer than any of those; asking early costs little
_ANSWER_TIMEOUT_NS = NS_PER_S  # a twin that was restarted never saw the proposal


class Refusal(Enum):
    """Why a chunk became no plan."""

    NOT_FINITE = "an action is not a finite number"
    WRONG_SHAPE = "the chunk has another number of joints than the robot, or no action"
    OLD_HANDOVER = "its observation is not newer than the hand-over"
    LATE = "inference took longer than the chunk lasts"


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """How chunks are played.

    A new chunk is asked for every `n_action_steps` steps (sooner where the chunk is shorter than
    that and the delay together). `row_ns` is the spacing of observations, `first_delay_ns` the
    delay from observation to approved plan that is assumed before one was measured, `late_passes`
    whether control follows a plan whose verdict came too late. `followed` False: nobody follows
    what is approved (a shadow), so every plan starts from where the arm is.
    """

    source: Source
    joints: int
    n_action_steps: int
    row_ns: int
    first_delay_ns: int
    crossfade_ns: int = 0
    mode: Mode = PLAIN
    late_passes: bool = False
    followed: bool = True


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan for the twin to check: waypoint k of `goals_rad` [N, A] is due at start + k * step."""

    id: int
    source: Source
    handover_version: int
    observation_ns: int
    start_ns: int
    step_ns: int
    goals_rad: Array

    @property
    def end_ns(self) -> int:
        """When the plan has nothing more to say: one step after its last waypoint."""
        return self.start_ns + self.step_ns * len(self.goals_rad)

    def at(self, times_ns: Any) -> Array:
        """The goals at `times_ns` [N], clamped to the plan's ends: [N, A]."""
        as_chunk = Chunk(self.id, 0, self.start_ns, self.step_ns, self.goals_rad)
        return as_chunk.at(np.asarray(times_ns))[0]

    def record(self) -> dict[str, Any]:
        """The values of `robotd.layouts.plan_layout`, not yet judged."""
        count, joints = self.goals_rad.shape
        goals = np.zeros(PLAN_WAYPOINTS * joints)
        goals[: count * joints] = self.goals_rad.reshape(-1)
        return {
            "id": self.id,
            "source": int(self.source),
            "handover_version": self.handover_version,
            "observation_ns": self.observation_ns,
            "start_ns": self.start_ns,
            "step_ns": self.step_ns,
            "waypoints": count,
            "verdict": int(Verdict.NONE),
            "reason": 0,
            "reason_joint": -1,
            "verdict_us": 0,
            "judged_ns": 0,
            "goal_rad": goals.tolist(),
        }


def pauses(inference_ns: int, row_ns: int, chunk_ns: int) -> str:
    """Why the arm will stop between chunks, for a person; empty where it will not.

    A chunk counts from the moment that was seen, and the next one is made from a moment when this
    one is already played: a chunk has to last twice as long as it takes to be there.
    """
    takes_ns = inference_ns + 2 * row_ns  # a picture, and the twin
    if 2 * takes_ns <= chunk_ns:
        return ""
    return (
        f"the arm will stop between chunks: one takes {takes_ns / NS_PER_MS:.0f} ms from picture to "
        f"plan and lasts {chunk_ns / NS_PER_MS:.0f} ms, less than twice that; a faster device, a "
        "longer chunk, fewer flow steps or --time-scale 0.5 help"
    )


class Executor:
    """Plays the chunks of one policy or one recording. See the module for what it promises."""

    def __init__(self, settings: ExecutorSettings) -> None:
        self.settings = settings
        self.version: int | None = None  # None: the arm is not ours
        self.last_verdict = Verdict.NONE
        self.unanswered = False  # the twin let the last plan wait for longer than it ever takes
        self._handover_ns = 0
        self._due_ns = 0
        self._waiting: Chunk | None = None
        self._chunks: deque[Chunk] = deque(maxlen=PLAN_WAYPOINTS)
        self._asked: Proposal | None = None
        self._asked_ns = 0
        self._asked_chunk: Chunk | None = None
        self._approved: Proposal | None = None
        self._approved_chunk: Chunk | None = None
        self._taken_up = False  # control was seen to follow the approved plan
        self._delays_ns: deque[int] = deque(maxlen=_DELAYS_KEPT)
        self._consumed: deque[int] = deque(maxlen=_DELAYS_KEPT)
        self._verdicts_ns: deque[int] = deque(maxlen=_DELAYS_KEPT)

    # --- whose turn it is -------------------------------------------------------------------------

    def hand_over(self, version: int, handover_ns: int) -> None:
        """The arm is ours from `handover_ns` on. Everything from before is forgotten."""
        self.stop()
        self.version = version
        self._handover_ns = handover_ns
        self._due_ns = handover_ns + 1

    def stop(self) -> None:
        """The arm is somebody else's. Everything is forgotten but the measured delays."""
        self.version = None
        self.last_verdict = Verdict.NONE
        self.unanswered = False
        self._waiting = None
        self._chunks.clear()
        self._asked = self._approved = None
        self._asked_chunk = self._approved_chunk = None
        self._verdicts_ns.clear()  # what the twin was slow with may be over

    # --- when to think ----------------------------------------------------------------------------

    @property
    def delay_ns(self) -> int:
        """From observation to approved plan: the longest of the last eight."""
        return max(self._delays_ns, default=self.settings.first_delay_ns)

    @property
    def verdict_ns(self) -> int:
        """From proposal to verdict: the longest of the last eight."""
        return max(self._verdicts_ns, default=0)

    def wants(self, observation_ns: int) -> bool:
        """Whether a chunk should be inferred from an observation made at `observation_ns`."""
        return (
            self.version is not None
            and self._waiting is None
            and observation_ns > self._handover_ns
            and observation_ns >= self._due_ns
        )

    def offer(self, chunk: Chunk, now_ns: int) -> Refusal | None:
        """Take the chunk into account, or say why not. A refused chunk changes nothing."""
        refusal = self._judge(chunk, now_ns)
        if refusal is not None:
            return refusal
        self._waiting = chunk
        expected_ns = _DELAY_RESERVE * self.delay_ns + self.settings.row_ns
        lead = math.ceil(expected_ns / chunk.step_ns)
        length = min(len(chunk.actions_rad), PLAN_WAYPOINTS)
        steps = max(1, min(self.settings.n_action_steps, length - lead))
        # Observations fall on tick deadlines, which are rounded: half a row early is on time.
        early_ns = min(self.settings.row_ns, chunk.step_ns) // 2
        self._due_ns = chunk.observation_ns + steps * chunk.step_ns - early_ns
        return None

    def _judge(self, chunk: Chunk, now_ns: int) -> Refusal | None:
        if chunk.handover_version != self.version or chunk.observation_ns <= self._handover_ns:
            return Refusal.OLD_HANDOVER
        actions = chunk.actions_rad
        if actions.ndim != 2 or not len(actions) or actions.shape[1] != self.settings.joints:
            return Refusal.WRONG_SHAPE
        if not np.isfinite(chunk.actions_rad).all():
            return Refusal.NOT_FINITE
        # How long the twin takes is no reason to refuse: it would never be asked again, and a
        # single slow verdict would be believed for ever.
        if chunk.end_ns + chunk.step_ns <= now_ns:
            return Refusal.LATE
        return None

    # --- real-time chunking -----------------------------------------------------------------------

    def leftover(self, observation_ns: int) -> Leftover | None:
        """What the next chunk has to go on from: the rest of the newest one that was not refused,
        from an observation on. None in another mode, or where nothing is left."""
        rtc, chunk = self.settings.mode.rtc, self._asked_chunk or self._approved_chunk
        if rtc is None or chunk is None or not self.settings.followed:
            return None
        actions = chunk.raw_from(observation_ns)
        if actions is None:
            return None
        delay = self.delay_steps(chunk.step_ns)
        return Leftover(
            actions.astype(np.float32),
            delay_steps=delay,
            horizon=delay + rtc.horizon,
            schedule=rtc.schedule,
            max_weight=rtc.max_weight,
            state=None if chunk.raw is None else chunk.raw.state,
        )

    def delay_steps(self, step_ns: int) -> int:
        """How many actions of the present chunk are consumed between an observation and the moment
        control takes up the chunk made from it: the most of the last eight times. Before the first
        it is reckoned from the delay."""
        return max(self._consumed, default=math.ceil(self.delay_ns / step_ns) + 1)

    @property
    def awaited_id(self) -> int | None:
        """The approved plan that control was not yet seen to follow; `taken_up` is to be told."""
        return None if self._approved is None or self._taken_up else self._approved.id

    def taken_up(self, plan_id: int, waypoint: int) -> int:
        """Control follows the plan, and began with that waypoint of it: how many actions of its
        chunk were past by then. 0 for a plan that was not awaited."""
        plan = self._approved
        if plan is None or plan.id != plan_id or self._taken_up:
            return 0
        self._taken_up = True
        first = (plan.start_ns - plan.observation_ns) // plan.step_ns
        self._consumed.append(first + max(0, waypoint) + 1)
        return self._consumed[-1]

    # --- what to propose --------------------------------------------------------------------------

    def propose(self, now_ns: int, applied_rad: Array) -> Proposal | None:
        """The next plan for the twin, or None: nothing new, or the last one is not yet answered.

        `applied_rad` [A] is the goal the arm has now; a plan starts from it where none is followed.
        """
        if self._asked is not None:
            if now_ns - self._asked_ns < _ANSWER_TIMEOUT_NS:
                return None
            self.unanswered = (
                True  # until another is asked its answer still counts: control obeys it
            )
        chunk = self._waiting
        if chunk is None or self.version is None:
            return None
        self._waiting = None
        self._asked = self._asked_chunk = None
        times_ns = times_left(chunk, now_ns)
        if len(times_ns) == 0:
            self._due_ns = now_ns
            return None
        goals = self._goals(chunk, times_ns, now_ns, applied_rad)
        self._asked = Proposal(
            id=chunk.id,
            source=self.settings.source,
            handover_version=self.version,
            observation_ns=chunk.observation_ns,
            start_ns=int(times_ns[0]),
            step_ns=chunk.step_ns,
            goals_rad=goals,
        )
        self._asked_ns = now_ns
        self._asked_chunk = chunk
        return self._asked

    def _goals(self, chunk: Chunk, times_ns: Any, now_ns: int, applied_rad: Array) -> Array:
        while self._chunks and self._chunks[0].end_ns < now_ns:
            self._chunks.popleft()
        if self.settings.mode.ensemble is None:
            new_rad = chunk.at(times_ns)[0]
        else:
            self._chunks.append(chunk)
            new_rad = ensembled(self._chunks, times_ns, self.settings.mode.ensemble)
        if self.starved(now_ns) or self._approved is None:
            old_rad = np.broadcast_to(applied_rad, new_rad.shape)
        else:
            old_rad = self._approved.at(times_ns)
        # A plan is straight between waypoints: one that is to be the old one until the verdict is
        # the old one up to the waypoint after it.
        first_ns, step_ns = int(times_ns[0]), chunk.step_ns
        verdict_ns = max(first_ns, now_ns + self.verdict_ns)
        seam_ns = first_ns + -(-(verdict_ns - first_ns) // step_ns) * step_ns
        return crossfaded(old_rad, new_rad, times_ns, seam_ns, self._fade_ns(now_ns, step_ns))

    def _fade_ns(self, now_ns: int, step_ns: int) -> int:
        """How long the old path turns into the new one. A mean of chunks is no stranger to the one
        before, and to fade it would be a mean of means; from a stand it is faded as any other."""
        mode = self.settings.mode
        if mode.ensemble is not None and not self.starved(now_ns):
            return min(self.settings.crossfade_ns, step_ns)
        # In real-time chunking what is under way stays exactly as it is, faded or not.
        return max(self.settings.crossfade_ns, int(mode.rtc is not None))

    def answer(self, plan_id: int, verdict: Verdict, now_ns: int) -> bool:
        """The twin has judged a plan; whether it was the one asked for. Any other is ignored."""
        asked = self._asked
        if asked is None or asked.id != plan_id:
            return False
        chunk, self._asked_chunk = self._asked_chunk, None
        self._asked = None
        self.unanswered = False
        self.last_verdict = verdict
        self._verdicts_ns.append(now_ns - self._asked_ns)
        self._delays_ns.append(now_ns - asked.observation_ns)
        if not self.settings.followed:
            self._chunks.clear()
            return True
        if verdict is Verdict.PASS or (verdict is Verdict.LATE and self.settings.late_passes):
            self._approved, self._approved_chunk = asked, chunk
            self._taken_up = False
            return True
        # Control now sees a plan it may not follow, and holds: think again from what comes next.
        self._approved = self._approved_chunk = None
        self._waiting = None
        self._chunks.clear()
        self._due_ns = now_ns
        return True

    @property
    def approved_until_ns(self) -> int | None:
        """When the last waypoint of the approved plan is due; None: no plan is approved."""
        plan = self._approved
        return None if plan is None else plan.end_ns - plan.step_ns

    def starved(self, now_ns: int) -> bool:
        """Whether the arm is ours and nothing approved is left to follow: control holds."""
        return self.version is not None and (
            self._approved is None or now_ns >= self._approved.end_ns
        )

    def starvation(self, now_ns: int) -> str:
        """Why the arm holds though its last plan was approved: for a person. Empty while a plan is
        followed, before the first one, and where the twin refused the last."""
        plan, chunk = self._approved, self._approved_chunk
        if plan is None or chunk is None or now_ns < plan.end_ns:
            return ""
        lasts_ms = len(chunk.actions_rad) * chunk.step_ns / NS_PER_MS
        return (
            "the plan ran out before the next chunk was approved, and the arm holds: the slowest of "
            f"the last took {self.delay_ns / NS_PER_MS:.0f} ms from picture to verdict, a chunk "
            f"lasts {lasts_ms:.0f} ms and has to last twice as long as that takes"
        )
