"""The motion states as a pure function: a state and an event give the next state, or a refusal.

No clock and no I/O, so it is small enough to print as a table (`docs/safety.md`) and to be tested
exhaustively. What each state does to the servos is `torque_rule`; torque itself is never inferred
from the state, it is read.
"""

from dataclasses import dataclass
from enum import Enum

from robotd.states import Fault, HomeWay, State


class Event(Enum):
    """Everything that can change the motion state."""

    ARM = "arm"
    ARMED = "arming finished"
    ARMING_REFUSED = "arming stopped before any goal"
    ARMING_ABORTED = "arming failed after the goal was written"
    DISARM = "disarm"
    RELEASE = "release in place"
    CLEAR = "clear"
    HOLD = "hold"
    HOME = "home"
    TELEOP = "teleop"
    POLICY = "policy"
    REPLAY = "replay"
    CORRECT = "correct"
    MOVE_DONE = "path finished"
    RELEASED = "released"
    FAULT = "fault"
    ESTOP = "e-stop"
    SUPERVISOR_GONE = "supervisor gone for the hold time"


class TorqueRule(Enum):
    """What control does to torque and goals in a state."""

    UNTOUCHED = "writes no goal and no torque"
    ARMING = "goal := present, torque limit ramps up"
    HOLD = "streams goals through the gate"
    PARK = "streams the way to the rest pose"
    GOVERNED_RELEASE = "goal kept, torque limit falls while the joints are slow, then torque off"
    BOUNDED_HOLD = "no goal passes; the last one is held with no more torque than it needed"
    FREEZE_RELEASE = "no goal passes; freeze 0.2 s, then governed release; a second press: limp now"


_RULES = {
    State.DISARMED: TorqueRule.UNTOUCHED,
    State.ARMING: TorqueRule.ARMING,
    State.HOLDING: TorqueRule.HOLD,
    State.TELEOP: TorqueRule.HOLD,
    State.POLICY: TorqueRule.HOLD,
    State.REPLAY: TorqueRule.HOLD,
    State.HOMING: TorqueRule.HOLD,
    State.PARKING: TorqueRule.PARK,
    State.RELEASING: TorqueRule.GOVERNED_RELEASE,
    State.FAULT: TorqueRule.BOUNDED_HOLD,
    State.ESTOP: TorqueRule.FREEZE_RELEASE,
}


def torque_rule(state: State) -> TorqueRule:
    """What control does to the servos in `state`."""
    return _RULES[state]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a transition may depend on besides state and event."""

    park_clear: bool = False  # the twin saw the path to the rest pose clear, recently
    holds_torque: bool = False  # the servos said torque on at the last read
    fault: Fault = Fault.NONE
    home_way: HomeWay = HomeWay.UNKNOWN  # the way home that the twin saw clear, recently


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that this state does not take, and what a person can do instead."""

    why: str
    do: str


_SOURCES = {
    Event.TELEOP: State.TELEOP,
    Event.POLICY: State.POLICY,
    Event.REPLAY: State.REPLAY,
    Event.CORRECT: State.TELEOP,
    Event.HOME: State.HOMING,
}
# After these the registers or the pose are not what control last knew: attach as after a crash.
_ATTACH_AFTER = {
    Fault.BUS_LOST,
    Fault.SERVO_LOST,
    Fault.SERVO_REBOOTED,
    Fault.ARMING_FAILED,
    Fault.ENCODER,
}


def next_state(state: State, event: Event, facts: Facts) -> State | Refusal:
    """The state after `event`, or why the event is refused (then nothing changes)."""
    if event is Event.ESTOP:
        return State.ESTOP
    if state is State.ESTOP:
        return _from_estop(event, facts)
    if event is Event.FAULT:
        # A disarmed arm cannot fault: nothing is being driven. What is wrong shows in the checks.
        return State.FAULT if state is not State.DISARMED else State.DISARMED
    if state is State.FAULT:
        return _from_fault(event, facts)
    if state is State.DISARMED:
        return _from_disarmed(event, facts)
    if state is State.ARMING:
        return _from_arming(event)
    if state is State.RELEASING:
        if event is Event.RELEASED:
            return State.DISARMED
        if event in (Event.DISARM, Event.RELEASE, Event.HOLD, Event.SUPERVISOR_GONE):
            return State.RELEASING
        return Refusal("The arm is being let down.", "Wait until it is down, then arm again.")
    return _from_armed(state, event, facts)


def _from_estop(event: Event, facts: Facts) -> State | Refusal:
    if event is Event.CLEAR:
        if facts.holds_torque:
            return Refusal(
                "The e-stop is still letting the arm down.",
                "Wait until torque is off, then clear.",
            )
        return State.DISARMED
    if event in (Event.RELEASED, Event.DISARM, Event.RELEASE, Event.FAULT, Event.SUPERVISOR_GONE):
        return State.ESTOP
    return Refusal(
        "The e-stop is latched.", "Look at the arm, then: robotd clear. After that, arm again."
    )


def _from_fault(event: Event, facts: Facts) -> State | Refusal:
    if event is Event.CLEAR:
        if facts.holds_torque and facts.fault not in _ATTACH_AFTER:
            return State.HOLDING
        return State.DISARMED
    if event in (Event.DISARM, Event.RELEASE, Event.SUPERVISOR_GONE):
        return State.RELEASING
    if event in (Event.HOLD, Event.MOVE_DONE, Event.RELEASED):
        return State.FAULT
    return Refusal(
        "A fault is latched.", "Mend what it names, then: robotd clear (or robotd disarm)."
    )


def _from_disarmed(event: Event, facts: Facts) -> State | Refusal:
    if event is Event.ARM:
        return State.ARMING
    if event in (Event.DISARM, Event.RELEASE, Event.SUPERVISOR_GONE):
        # After a crash `disarmed` may be stiff: the person who asks for limp gets it, slowly; and
        # control must not end and leave it so.
        return State.RELEASING if facts.holds_torque else State.DISARMED
    if event in (Event.CLEAR, Event.HOLD, Event.RELEASED):
        return State.DISARMED
    return Refusal("The arm is not armed.", "Arm it first: robotd arm.")


def _from_arming(event: Event) -> State | Refusal:
    if event is Event.ARMED:
        return State.HOLDING
    if event is Event.ARMING_REFUSED:
        return State.DISARMED
    if event in (
        Event.ARMING_ABORTED,
        Event.DISARM,
        Event.RELEASE,
        Event.HOLD,
        Event.SUPERVISOR_GONE,
    ):
        return State.RELEASING
    return Refusal("The arm is being armed.", "Wait for the arming list to finish.")


def _from_armed(state: State, event: Event, facts: Facts) -> State | Refusal:
    if event is Event.HOME and facts.home_way is HomeWay.BLOCKED:
        return Refusal(
            "Something is in the way home, as far as the twin can tell.",
            "Move the arm clear first (leader, or robotd teleop), then: robotd home.",
        )
    if event in _SOURCES:
        return _SOURCES[event]
    if event is Event.HOLD:
        return State.HOLDING
    if event is Event.MOVE_DONE:
        return State.RELEASING if state is State.PARKING else State.HOLDING
    if event in (Event.DISARM, Event.SUPERVISOR_GONE):
        if state is State.PARKING:
            return State.PARKING
        return State.PARKING if facts.park_clear else State.RELEASING
    if event is Event.RELEASE:
        return State.RELEASING
    if event is Event.ARM:
        return Refusal("The arm is armed already.", "Nothing to do; robotd disarm lets it down.")
    if event is Event.CLEAR:
        return Refusal("Nothing is latched.", "Nothing to clear.")
    return state
