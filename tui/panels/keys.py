"""The two bottom lines: what just happened, and the keys that matter now."""

from rich.text import Text

from robotd.states import State
from tui.actions import Action, shown_key
from tui.flow import fitted
from tui.footer import footer_actions, offered, place_of
from tui.look import parse_state
from tui.view import SCRIPTED, View, current_note

NOTE_LINES = 4
"""Lines that a note takes at most, for as long as it is shown."""


def note_height(view: View, width: int, least: int) -> int:
    """Lines the note needs, at least `least`."""
    return max(least, len(_note_lines(view, width)))


def draw_note(view: View, width: int, height: int) -> Text:
    """What just happened, why likely, and the next action; on its own lines where they do not fit
    on one."""
    lines = _note_lines(view, width)
    return Text("\n").join(lines[:height]) if lines else _standing_advice(view, width)


def _note_lines(view: View, width: int) -> list[Text]:
    look = view.look
    note = current_note(view)
    if note is None:
        return []
    colour = {"info": look.accent, "warn": look.warn, "bad": look.bad}[note.level]
    mark = {"info": look.dot, "warn": look.alert, "bad": look.cross}[note.level]
    stop = "." if (note.likely or note.do) and note.text[-1:] not in ".!?" else ""
    what, likely, do = (
        (f"{mark} {note.text}{stop}", colour),
        (note.likely, look.dim),
        (note.do, look.text),
    )
    # The likely cause goes first when there is no room: what happened and what to do stay.
    lines = fitted([[what, likely, do], [what, do]], width - 2, NOTE_LINES, 2)
    return [Text(" ").append_text(line) for line in lines]


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
    if view.loop_silent_ms:
        words = f" {look.alert} Nobody knows what the arm does now. The plug always works."
        text = Text(words, style=look.bad)
    elif status.message:
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
        person = "a person"
        if view.simulated:
            person = "the keyboard, then the leader" if status.leader_ready else "the keyboard"
        text = Text(f" Holding. Tab gives the arm to {person}, p to a policy.", style=look.dim)
        if view.simulated and text.cell_len + len(SCRIPTED) + 2 <= width:
            text.append(f" {SCRIPTED[0].upper()}{SCRIPTED[1:]}.")
    elif view.jog is not None:
        up, down = ("Up", "Down") if look.ascii else (look.up, look.down)
        words = f" The keyboard has the arm: {up} {down} move {view.jog.joint_name}, 1-6 choose, "
        text = Text(f"{words}Esc holds.", style=look.dim)
    elif state is not None and state.moving:
        who = status.source.lower()
        text = Text(f" The arm moves ({who}). Esc stops and holds.", style=look.dim)
    text.truncate(width)
    return text


def draw_keys(view: View, width: int, _height: int) -> Text:
    """The footer: keys for this situation, from the registry, as many as fit; help always."""
    look = view.look
    place = place_of(view.status, view.jog is not None, view.lost)
    actions = [each for each in footer_actions(place) if offered(each, view.status)]
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
