"""Requests that concern the arm's motion: checked against the state machine, then put to control.

A request is refused here with the same pure function that control uses, so that a person gets the
reason; control decides again for itself. The answer comes when control has taken the request.
"""

import math
from collections.abc import Callable

from config.joints import joint_names
from config.schema import Config
from daemon.control.machine import Event, Facts, Refusal, next_state
from daemon.supervisor.checks import failed
from daemon.supervisor.control_link import ControlWriter
from daemon.supervisor.observed import Observed
from daemon.supervisor.pending import Data, Pending
from daemon.supervisor.words import fault_words
from robotd import messages
from robotd.clock import Clock
from robotd.errors import DaemonError, RobotdError, StateError
from robotd.messages import Check
from robotd.states import Fault, HomeWay, RequestKind, Source, State, Torque

_TAKEN_S = 2.0  # control hears requests every tick
_CHECKS_S = 10.0
_ARMED_S = 25.0  # checks, registers, and the ramp of the torque limit
_SOURCES = {
    "leader": Source.LEADER,
    "keyboard": Source.KEYBOARD,
    "scripted": Source.SCRIPTED,
}
_EVENTS = {
    RequestKind.ARM: Event.ARM,
    RequestKind.DISARM: Event.DISARM,
    RequestKind.RELEASE: Event.RELEASE,
    RequestKind.CLEAR: Event.CLEAR,
    RequestKind.HOLD: Event.HOLD,
    RequestKind.HOME: Event.HOME,
    RequestKind.TELEOP: Event.TELEOP,
    RequestKind.POLICY: Event.POLICY,
    RequestKind.REPLAY: Event.REPLAY,
    RequestKind.CORRECT: Event.CORRECT,
}


class Motion:
    """Everything that clients may ask of the arm."""

    def __init__(
        self,
        config: Config,
        control: ControlWriter,
        observed: Observed,
        clock: Clock,
        surroundings: Callable[[], tuple[Check, ...]],
    ) -> None:
        self.arming: tuple[Check, ...] = ()  # the newest list, for the published state
        self._names = joint_names(config)
        self._joints = len(self._names)
        self._control = control
        self._observed = observed
        self._clock = clock
        self._surroundings = surroundings

    # --- arming -----------------------------------------------------------------------------------

    def arm(self, request: messages.Arm) -> Data | Pending:
        """Run the arming list; with consent and no failed check, take the arm."""
        if request.consent:
            self._allow(RequestKind.ARM)
        around = (*self._state_check(), *self._surroundings())
        self.arming = around
        wrong = failed(around)
        if request.consent and wrong:
            raise _not_armed(around)
        if self._observed.fresh_tick() is None:
            return {"checks": _plain(around), "armed": False}
        kind = RequestKind.ARM if request.consent else RequestKind.CHECK
        number = self._control.ask(kind, self._clock.now_ns())

        def poll() -> Data | None:
            report = self._observed.reports.of(number)
            if report is not None:
                self.arming = (*around, *report.checks)
            if not request.consent:
                if report is None or not report.done:
                    return None
                return {"checks": _plain(self.arming), "armed": False}
            # Armed or not is what the state says: a fault ends arming without a last report.
            tick = self._observed.tick()
            if tick is None or tick["last_request"] < number or tick["state"] == State.ARMING:
                return None
            if State(tick["state"]).armed:
                return {"checks": _plain(self.arming), "armed": True}
            raise _not_armed(self.arming)

        return Pending(poll, _ARMED_S if request.consent else _CHECKS_S, "control")

    def _state_check(self) -> tuple[Check, ...]:
        """A latched fault or e-stop as a line of the list, with what to do."""
        try:
            self._allow(RequestKind.ARM)
        except RobotdError as error:
            return (Check(name="state", outcome="fail", detail=error.what, do=error.do),)
        return ()

    # --- entering and leaving ---------------------------------------------------------------------

    def disarm(self, request: messages.Disarm) -> Pending:
        """Let the arm down: answered when that has begun."""
        return self.ask(RequestKind.RELEASE if request.in_place else RequestKind.DISARM)

    def clear(self) -> Pending:
        """Clear a latched fault or e-stop."""
        return self.ask(RequestKind.CLEAR)

    def hold(self) -> Pending:
        """End whatever moves the arm."""
        return self.ask(RequestKind.HOLD)

    def home(self) -> Pending:
        """Move to the home pose."""
        return self.ask(RequestKind.HOME)

    def teleop(self, request: messages.Teleop) -> Pending:
        """Give the arm to a person or a script; the answer has the hand-over's version."""
        source = _source(request.source)
        if source is not Source.LEADER:
            return self.ask(RequestKind.TELEOP, source)
        if not self._observed.leader_wanted:
            raise StateError(
                "This robot has no leader arm.",
                "The configuration names none.",
                "Add `leader: {port: …, id: …}` to the arm, or use another source.",
            )
        if not self._observed.leader_ready:
            raise StateError(
                "The leader arm does not answer.",
                "It is unplugged or has no power.",
                "Check its USB plug and its 5 V supply, then try again.",
            )
        # From a policy a person takes over with an anchored offset: no snap to the leader's pose.
        correcting = self._observed.state is State.POLICY
        return self.ask(RequestKind.CORRECT if correcting else RequestKind.TELEOP, source)

    def ask(self, kind: RequestKind, source: Source = Source.NONE) -> Pending:
        """Put a request to control; answered when control has taken it. Raises StateError."""
        self._allow(kind)
        number = self._control.ask(kind, self._clock.now_ns(), source)

        def poll() -> Data | None:
            tick = self._observed.tick()
            if tick is None or tick["last_request"] < number:
                return None
            state = State(tick["state"])
            return {
                "state": state.name.lower(),
                "handover_version": tick["handover_version"],
                "tick": tick["index"],
            }

        return Pending(poll, _TAKEN_S, "control")

    def goal(self, request: messages.Goal) -> Data:
        """The newest goal of the source that has the arm. Raises StateError."""
        source = _source(request.source)
        goal = request.goal_rad
        if len(goal) != self._joints:
            raise StateError(
                f"The goal has {len(goal)} joints, the robot has {self._joints}.",
                "The client was written for another robot.",
                "Send one value for each joint, in the order of instance.json.",
            )
        if not all(math.isfinite(value) for value in goal):
            raise StateError(
                "The goal is not finite.",
                "A computation in the client went wrong (NaN or infinity).",
                "Correct the client; nothing was sent to the arm.",
            )
        tick = self._observed.tick()
        if (
            tick is None
            or tick["state"] != State.TELEOP
            or tick["source"] != source
            or tick["handover_version"] != request.handover_version
        ):
            state = "unknown" if tick is None else State(tick["state"]).name.lower()
            raise StateError(
                f"The arm is not {request.source}'s (it is {state}).",
                "It was taken away: a stop, a fault, or another source.",
                "Ask for it again with a Teleop request, and use the version that it answers.",
            )
        self._control.goal(source, request.handover_version, self._clock.now_ns(), goal)
        return {}

    # --- unasked ----------------------------------------------------------------------------------

    def hold_if_moving(self) -> None:
        """A source ended: hold. Nothing when no source has the arm."""
        if self._observed.state in (State.POLICY, State.REPLAY, State.TELEOP):
            self._control.ask(RequestKind.HOLD, self._clock.now_ns())

    def let_down(self) -> None:
        """Park and release an arm that is held for nobody."""
        self._control.ask(RequestKind.DISARM, self._clock.now_ns())

    def _allow(self, kind: RequestKind) -> None:
        tick = self._observed.fresh_tick()
        if tick is None:
            raise DaemonError(
                "The control process does not answer.",
                "It is starting, or it died.",
                "Look: robotd status; robotd logs control. robotd clear starts a dead one again.",
            )
        facts = Facts(
            park_clear=bool(tick["park_clear"]),
            holds_torque=tick["torque"] != Torque.OFF,
            fault=Fault(tick["fault"]),
            home_way=HomeWay(tick["home_way"]),
        )
        after = next_state(State(tick["state"]), _EVENTS[kind], facts)
        if isinstance(after, Refusal):
            joint = tick["fault_joint"]
            name = self._names[joint] if 0 <= joint < len(self._names) else None
            what, _ = fault_words(facts.fault, name)
            raise StateError(after.why, f"{what or 'The state does not allow it'}.", after.do)


def _source(name: str) -> Source:
    source = _SOURCES.get(name)
    if source is None:
        raise StateError(
            f"There is no source called {name!r}.",
            "A typing error, or a client of another version.",
            f"Use one of: {', '.join(_SOURCES)}.",
        )
    return source


def _not_armed(checks: tuple[Check, ...]) -> RobotdError:
    wrong = [check for check in checks if check.outcome == "fail"]
    if not wrong:
        return StateError(
            "The arm was not armed.",
            "It was stopped, or a fault came while it was being armed.",
            "Look: robotd status, then arm again.",
        )
    details = "; ".join(f"{check.name}: {check.detail}" for check in wrong)
    return StateError(
        f"The arm was not armed: {', '.join(check.name for check in wrong)}.",
        details + ".",
        wrong[0].do or "Mend what it names, then arm again.",
    )


def _plain(checks: tuple[Check, ...]) -> list[dict[str, str]]:
    return [{"name": c.name, "outcome": c.outcome, "detail": c.detail, "do": c.do} for c in checks]
