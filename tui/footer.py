"""Which keys the footer offers: by the situation, and by what they could do in it. Pure."""

from robotd.messages import Status
from robotd.states import State
from tui.actions import ACTIONS, Action, Place
from tui.look import parse_state


def place_of(status: Status | None, jogging: bool, lost: bool = False) -> Place:
    """The situation the footer speaks to."""
    if status is None or lost:
        return Place.LOST
    state = parse_state(status.state)
    if state in (State.FAULT, State.ESTOP):
        return Place.LATCHED
    if status.recording.phase in ("recording", "saving"):
        return Place.RECORDING
    if jogging:
        return Place.JOG
    if state is State.HOLDING:
        return Place.HOLDING
    if state is None or state is State.DISARMED:
        return Place.DISARMED
    return Place.MOVING


def footer_actions(place: Place) -> list[Action]:
    """What the footer offers in a situation, in the registry's order."""
    return [action for action in ACTIONS if place in action.places]


def offered(action: Action, status: Status | None) -> bool:
    """Whether the footer shows an action that could do something in this state."""
    now = None if status is None else status.recording
    phase = "closed" if now is None else now.phase
    match action.name:
        case "episode":
            return phase in ("ready", "recording")
        case "intervene":
            if status is None or status.policy.phase not in ("running", "ready"):
                return False
            return parse_state(status.state) in (State.POLICY, State.TELEOP)
        case "keep_last":
            return now is not None and phase == "ready" and bool(now.held_s)
        case "undo":
            return now is not None and phase == "ready" and now.episodes_kept > 0
        case "task" | "close_session":
            return phase == "ready"
        case "session":
            return phase == "closed"
        case _:
            return True
