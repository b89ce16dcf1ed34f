"""The line under the header that is only there when something needs a person: lost daemon, fault,
e-stop."""

from rich.text import Text

from robotd.states import State
from tui.flow import fitted
from tui.look import parse_state
from tui.view import View, age_words

MOST_LINES = 5


def height(view: View, width: int) -> int:
    """Lines the banner needs; 0 when it has nothing to say."""
    return len(_flowed(view, width))


def draw(view: View, width: int, _height: int) -> Text:
    """The banner, padded to `width` so that its colour fills the line."""
    lines = _flowed(view, width)
    for line in lines:
        line.pad_right(width - line.cell_len)
    return Text("\n").join(lines)


def _flowed(view: View, width: int) -> list[Text]:
    """The matter on a coloured ground, and below it, on as many lines as it needs, what to do."""
    ink = view.look.background
    lines: list[Text] = []
    for number, (text, colour) in enumerate(_lines(view)):
        style = f"bold {ink} on {colour}" if number == 0 else colour
        for line in fitted([[(text, "")]], width - 2, 3, 0):
            lines.append(Text(f" {line.plain} ", style=style))
    return lines[:MOST_LINES]


def _lines(view: View) -> list[tuple[str, str]]:
    """Text and colour of each line, the most urgent matter only."""
    look = view.look
    alert = look.alert
    if view.status is None or view.lost:
        age = age_words(view.age_s)
        if view.status is None and not view.lost:
            return []
        if view.status is None:
            what = f"{alert} no word from {view.instance.name} for {age}"
        else:
            what = f"{alert} DAEMON LOST: no word for {age}; everything below is that old"
        return [
            (what, look.bad),
            (
                "Reconnecting. F12 reaches the loop if it lives; the plug always works. robotd logs",
                look.bad,
            ),
        ]
    state = parse_state(view.status.state)
    if state is State.FAULT:
        fault = view.status.fault or "unnamed fault"
        fix = view.status.fault_do or "Find the cause"
        return [
            (f"{alert} FAULT: {fault}", look.bad),
            (f"{fix.rstrip('.')}.  (c: clear)", look.bad),
        ]
    if state is State.ESTOP:
        return [
            (f"{alert} E-STOP pressed: the arm is being let down. F12 again: limp now", look.bad),
            ("This was the software stop. The plug is the emergency stop. c clears it.", look.bad),
        ]
    ill = [
        f"{name} {word}"
        for name, word in view.status.processes.items()
        if word not in ("running", "starting")
    ]
    if ill:
        return [(f"{alert} not running: {', '.join(ill)}   (robotd logs)", look.warn)]
    return []
