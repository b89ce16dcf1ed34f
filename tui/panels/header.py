"""The top of the screen: which robot, what it is doing, how well the loop keeps time, and the
e-stop."""

from rich.text import Text

from tui.actions import ESTOP_WORDS
from tui.look import LATCHED, parse_state, state_look
from tui.view import View, age_words

WIDE = 124
"""Columns from which everything fits on one line."""


def height(width: int) -> int:
    """Lines the header needs."""
    return 1 if width >= WIDE else 2


def estop_label(view: View, width: int) -> Text:
    """The e-stop as it stands at the right of the first line."""
    look = view.look
    label = Text().append(f" {look.stop} F12  E-STOP ", style=f"bold #ffffff on {look.filled_red}")
    if width >= WIDE:
        label.append(f" {ESTOP_WORDS} ", style=look.dim)
    return label


def draw(view: View, width: int, _height: int) -> Text:
    """The header in one or two lines of `width` columns."""
    one_line = width >= WIDE
    first = _identity(view)
    first.append_text(_state(view))
    if one_line:
        first.append("  ")
        first.append_text(_loop(view, short=width < 170))
    stop = estop_label(view, width)
    first.truncate(width - stop.cell_len)
    first.pad_right(width - stop.cell_len - first.cell_len)
    first.append_text(stop)
    if one_line:
        return first
    second = Text(" ")
    second.append_text(_loop(view, short=True))
    words = Text(ESTOP_WORDS + " ", style=view.look.dim)
    second.truncate(width - words.cell_len)
    second.pad_right(width - words.cell_len - second.cell_len)
    second.append_text(words)
    return Text("\n").join([first, second])


def _identity(view: View) -> Text:
    look = view.look
    text = Text()
    if view.simulated:
        text.append(" SIM ", style=f"bold {look.background} on {look.violet}")
    else:
        text.append(" REAL ARM ", style=f"bold {look.background} on {look.warn}")
    text.append(f" {view.instance.name}  ", style=f"bold {look.text}")
    return text


def _state(view: View) -> Text:
    look = view.look
    status = view.status
    if status is None:
        return Text("waiting for the daemon", style=look.warn)
    if view.lost:
        last = state_look(status.state).word
        return Text(f"? LOST (was {last})", style=f"bold {look.bad}")
    state = state_look(status.state)
    if view.loop_silent_ms and parse_state(status.state) not in LATCHED:
        # The word is of the last tick: nobody knows what the arm does now.
        return Text(f"? {state.word} (loop silent)", style=f"bold {look.bad}")
    colour = look.colour(state.role)
    style = f"bold {look.background} on {colour}" if state.filled else f"bold {colour}"
    text = Text().append(f" {look.glyph(state)} {state.word} ", style=style)
    who = status.source.lower().replace("_", " ")
    known = parse_state(status.state)
    if known is not None and known.moving and who not in ("", "none", "hold", state.word.lower()):
        text.append(f" {who}", style=colour)
    torque = status.torque.lower()
    colours = {"off": look.dim, "on": look.text}
    if view.loop_silent_ms:
        text.append(f"  torque was {torque}", style=look.warn)
        return text
    text.append(f"  torque {torque}", style=colours.get(torque, look.warn))
    if status.leader_ready is not None:
        words = "leader ready" if status.leader_ready else "leader absent"
        text.append(f"  {words}", style=look.good if status.leader_ready else look.warn)
    return text


def _loop(view: View, short: bool) -> Text:
    look = view.look
    if view.status is None:
        return Text()
    loop = view.status.loop
    if view.lost:
        return Text(f"loop: no news for {age_words(view.age_s)}", style=look.faint)
    if view.loop_silent_ms:
        words = age_words(view.loop_silent_ms / 1000)
        return Text(f"{look.alert} loop silent {words}", style=look.bad)
    text = Text(f"{loop.tick_hz} Hz  p99 {loop.late_p99_us / 1000:.1f} ms  ", style=look.dim)
    missed = f"{loop.missed_ticks} missed"
    text.append(missed, style=look.warn if loop.missed_ticks else look.dim)
    if not short:
        text.append(f"  read {loop.read_p99_us / 1000:.1f} ms", style=look.faint)
    return text
