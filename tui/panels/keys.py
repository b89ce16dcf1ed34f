"""The two bottom lines: what just happened, and the keys that matter now."""

from rich.text import Text

from robotd.states import State
from tui.actions import Action, footer_actions, place_of, shown_key
from tui.look import parse_state
from tui.view import View, current_note


def draw_note(view: View, width: int, height: int) -> Text:
    """What just happened, in words, with its next action on the second line if there is one to
    show."""
    look = view.look
    note = current_note(view)
    if note is None:
        return _standing_advice(view, width)
    colour = {"info": look.accent, "warn": look.warn, "bad": look.bad}[note.level]
    mark = {"info": look.dot, "warn": look.alert, "bad": look.cross}[note.level]
    first = Text(f" {mark} {note.text}", style=colour)
    if height >= 2 and note.do:
        second = Text(f"   {note.do}", style=look.text)
        second.truncate(width)
        first.truncate(width)
        return Text("\n").join([first, second])
    if note.do:
        first.append(f"  {note.do}", style=look.text)
    first.truncate(width)
    return first


def _standing_advice(view: View, width: int) -> Text:
    """With nothing new to say: what is under way, or the next step."""
    look = view.look
    status = view.status
    if view.pending:
        return Text(f" {look.dot} {view.pending}", style=look.warn)
    if status is None or view.lost:
        return Text()
    text = Text()
    state = parse_state(status.state)
    if status.message:
        text = Text(f" {look.dot} {status.message}", style=look.dim)
    elif state is State.DISARMED and status.torque.lower() != "off":
        text = Text(
            f" {look.alert} disarmed, but torque is {status.torque.lower()}: the arm may be stiff "
            "(d lets it down)",
            style=look.warn,
        )
    elif state is State.DISARMED:
        text = Text(" The arm is limp. a shows the arming list.", style=look.dim)
    elif state is State.HOLDING:
        text = Text(" Holding. Tab gives the arm to a person, p to the policy.", style=look.dim)
    elif state is not None and state.moving:
        who = status.source.lower()
        text = Text(f" The arm moves ({who}). Esc stops and holds.", style=look.dim)
    text.truncate(width)
    return text


def draw_keys(view: View, width: int, _height: int) -> Text:
    """The footer: keys for this situation, from the registry, as many as fit; help always."""
    look = view.look
    actions = footer_actions(place_of(view.status, view.jog is not None, view.lost))
    tail = [action for action in actions if action.name in ("help", "command_palette", "quit")]
    body = [action for action in actions if action not in tail]
    end = Text()
    for action in tail:
        if width >= 100 or action.name == "help":
            end.append_text(_key(view, action))
    line = Text(" ")
    for action in body:
        item = _key(view, action)
        if line.cell_len + item.cell_len + end.cell_len > width:
            break
        line.append_text(item)
    line.pad_right(max(0, width - line.cell_len - end.cell_len))
    line.append_text(end)
    line.stylize(f"on {look.panel}")
    return line


def _key(view: View, action: Action) -> Text:
    look = view.look
    text = Text(shown_key(action, look), style=f"bold {look.accent}")
    return text.append(f" {action.label}  ", style=look.dim)
