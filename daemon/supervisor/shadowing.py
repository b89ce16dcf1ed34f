"""Shadows: the loaded policy looks and proposes, the twin judges, the arm stays limp.

This side only says when, counts along and keeps the verdict. That nothing moves is not its doing:
the plans carry a source that control follows in no state (`policies.shadow`), and it runs only
while the arm is disarmed.
"""

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from daemon.rehearsals import Evidence, Rehearsal, RehearsalStore, outcome
from daemon.supervisor.observed import Observed
from daemon.supervisor.pending import Data
from daemon.supervisor.plan_refusals import deaf
from robotd import messages, policy_channel
from robotd.clock import NS_PER_S, Clock
from robotd.errors import DaemonError, RobotdError, StateError
from robotd.messages import ShadowStatus
from robotd.states import State

log = logging.getLogger(__name__)

_LONGEST_S = 3600.0
_SILENT_S = 3.0  # without a chunk: a picture that is late, a busy machine


class ShadowDesk:
    """One shadow after another. `send` takes a message to the policy process."""

    def __init__(
        self,
        name: str,
        store: RehearsalStore,
        observed: Observed,
        clock: Clock,
        send: Callable[[bytes], bool],
    ) -> None:
        self.status = ShadowStatus()
        self._name = name
        self._store = store
        self._observed = observed
        self._clock = clock
        self._send = send
        self._began_ns = 0
        self._heard_ns = 0  # when the newest chunk was judged
        self._longest_ns = 0  # between two of them, or before the first
        self._key = ""
        self._path = ""
        self._task = ""
        self._evidence = Evidence(False, False, "")

    @property
    def running(self) -> bool:
        """Whether a shadow is going on."""
        return self.status.phase == "running"

    def begin(self, request: messages.Shadow, path: str, key: str, evidence: Evidence) -> Data:
        """Start one with the policy of `path`, whose verdict will be kept under `key`.

        Raises StateError when one is going on, the arm is not disarmed or the time is no time.
        """
        self._refuse(request)
        number = self.status.number + 1
        order = policy_channel.ShadowOrder(number=number)
        if not self._send(policy_channel.encode(order)):
            raise deaf()
        self._began_ns = self._heard_ns = self._clock.now_ns()
        self._longest_ns = 0
        self._key, self._path, self._task, self._evidence = key, path, request.task, evidence
        self.status = ShadowStatus(phase="running", number=number, seconds=request.seconds, key=key)
        return {"shadow": number}

    def _refuse(self, request: messages.Shadow) -> None:
        if not math.isfinite(request.seconds) or not 1.0 <= request.seconds <= _LONGEST_S:
            raise StateError(
                f"A shadow cannot last {request.seconds:g} s.",
                "A number was mistyped.",
                f"Give 1 to {_LONGEST_S:g} seconds.",
            )
        if self.running:
            raise StateError(
                "A shadow is going on already.",
                "Another terminal or client rehearses this robot.",
                "Wait for its end: robotd status.",
            )
        tick = self._observed.fresh_tick()
        state = None if tick is None else State(tick["state"])
        if state is not State.DISARMED:
            word = "silent" if state is None else state.name.lower()
            raise StateError(
                f"A shadow needs a disarmed arm; this one is {word}.",
                "Somebody holds the arm, or control does not answer.",
                "Let it down first: robotd disarm. Then it may be moved by hand.",
            )

    def end(self) -> Data:
        """End it now, without a verdict."""
        if self.running:
            self._break_off(_ended_by_request())
        return {}

    def heard(self, news: policy_channel.Shadowed) -> None:
        """The twin has judged one more of its chunks."""
        if not self.running or news.number != self.status.number:
            return
        self._longest_ns, self._heard_ns = self._pause_ns(), self._clock.now_ns()
        self.status = msgspec.structs.replace(
            self.status,
            chunks=news.chunks,
            refused=news.refused,
            late=news.late,
            reasons=news.reasons,
            inference_ms=news.inference_ms,
            inference_max_ms=news.inference_max_ms,
            observation_age_max_ms=news.observation_age_max_ms,
            reach_deg=news.reach_deg,
            jump_deg=news.jump_deg,
        )

    def policy_is_gone(self, why: RobotdError) -> None:
        """The policy failed, ended or was replaced: so is its shadow."""
        if self.running:
            self._break_off(why)

    def step(self, trouble: str) -> bool:
        """One pass of the loop; `trouble` is why the policy makes no chunk now. True when it came
        to its end and a verdict was kept."""
        if not self.running:
            return False
        elapsed_s = (self._clock.now_ns() - self._began_ns) / NS_PER_S
        self.status = msgspec.structs.replace(self.status, elapsed_s=elapsed_s, trouble=trouble)
        if self._observed.state is not State.DISARMED:
            self._break_off(_armed_meanwhile())
        elif not self._observed.twin.alive:
            self._break_off(_no_twin())
        elif elapsed_s >= self.status.seconds:
            return self._finish()
        return False

    def _pause_ns(self) -> int:
        """The longest time without a chunk so far."""
        return max(self._longest_ns, self._clock.now_ns() - self._heard_ns)

    def _silent_s(self) -> float:
        """The same where it is more than a policy of this speed may take; else 0."""
        now = self.status
        allowed_s = max(_SILENT_S + 2.0 * now.inference_max_ms / 1000.0, now.seconds / 4.0)
        pause_s = self._pause_ns() / NS_PER_S
        return pause_s if pause_s > allowed_s else 0.0

    def _finish(self) -> bool:
        now = self.status
        what, likely, do = outcome(
            chunks=now.chunks - now.late,
            refused=now.refused,
            reasons=now.reasons,
            faults=(),
            trouble=now.trouble,
            silent_s=self._silent_s(),
        )
        if now.chunks == 0:  # nothing was learnt, so nothing is kept
            self._break_off(StateError(what, likely, do))
            return False
        rehearsal = Rehearsal(
            kind="shadow",
            passed=not what,
            evidence=self._evidence.shadow,
            why_evidence=self._evidence.why,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            robot=self._name,
            subject=self._path,
            task=self._task,
            seconds=now.elapsed_s,
            chunks=now.chunks,
            refused=now.refused,
            late=now.late,
            reasons=now.reasons,
            inference_ms=now.inference_ms,
            inference_max_ms=now.inference_max_ms,
            observation_age_max_ms=now.observation_age_max_ms,
            what=what,
            likely=likely,
            do=do,
        )
        try:
            self._store.keep(self._key, rehearsal)
        except OSError as error:
            self._break_off(_not_kept(error))
            return False
        self._over("finished", passed=not what, error=what, likely=likely, do=do)
        return True

    def _break_off(self, why: RobotdError) -> None:
        log.warning("shadow: %s", why)
        self._over("failed", passed=False, error=why.what, likely=why.likely, do=why.do)

    def _over(self, phase: str, *, passed: bool, error: str, likely: str, do: str) -> None:
        order = policy_channel.ShadowOrder(number=self.status.number, on=False)
        self._send(policy_channel.encode(order))  # one that cannot be told is gone or hangs
        self.status = msgspec.structs.replace(
            self.status, phase=phase, passed=passed, error=error, likely=likely, do=do
        )


def _ended_by_request() -> StateError:
    return StateError(
        "The shadow was ended before its time; no verdict is kept.",
        "A person or a client asked for it.",
        "Rehearse again when there is time for it.",
    )


def _armed_meanwhile() -> StateError:
    return StateError(
        "The shadow was broken off: the arm is not disarmed any more.",
        "Somebody armed it, or pressed the software stop.",
        "Let it down (robotd disarm), then rehearse again.",
    )


def _no_twin() -> StateError:
    return StateError(
        "The shadow was broken off: the twin does not answer, and nobody else judges its chunks.",
        "It ended, or is being started again.",
        "Look: robotd status; robotd logs twin.",
    )


def _not_kept(error: OSError) -> DaemonError:
    return DaemonError(
        f"The verdict could not be kept: {error.strerror or error}.",
        "The disk of the state folder is full or read-only.",
        "Make room (robotd status --paths names the folder), then rehearse again.",
    )
