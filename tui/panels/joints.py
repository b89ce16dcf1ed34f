"""The joints table: where each joint is, where it was asked to go, where it was allowed to go, and
why not further."""

from collections.abc import Sequence

from rich.text import Text

from robotd.messages import JointStatus, Status
from robotd.states import State
from tui.look import Look, parse_state
from tui.view import View, age_words, aged

OLD_MS = 150.0
"""A joint is read every tick (8 ms): this is some twenty missed reads."""

WARM_C, HOT_C = 55.0, 65.0
"""Where a person should look, and where an STS3215 is five degrees from its own protection (70)."""

WIDE = 62
"""Inner columns from which the numbers fit beside the bars."""

_RANGE_DEG = (110.0, 100.0, 97.0, 95.0, 160.0)
"""Half of each body joint's range in upstream's so101_new_calib.xml, in bus order. The gripper's is
0..100."""

_SHORT = {
    "shoulder_pan": "pan",
    "shoulder_lift": "lift",
    "elbow_flex": "elbow",
    "wrist_flex": "w.flex",
    "wrist_roll": "w.roll",
    "gripper": "grip",
}

_STATUS_BITS = (
    (0x01, "voltage"),
    (0x02, "encoder"),
    (0x04, "over-temperature"),
    (0x08, "over-current"),
    (0x20, "overload"),
)
"""The error byte of the SMS/STS protocol, as the vendor's SDK names its bits."""

_COLUMNS = (("measured", 10), ("goal", 8), ("applied", 9), ("temp", 7), ("load", 7))
_NUMBERS = sum(columns for _, columns in _COLUMNS)


def title(view: View) -> str:
    """The panel's title, with the age of everything in it when the daemon is lost."""
    if view.status is not None and view.lost:
        return f"joints, as of {age_words(view.age_s)} ago"
    if view.loop_silent_ms:
        return f"joints, as of {age_words(view.loop_silent_ms / 1000)} ago"
    return "joints"


def draw(view: View, width: int, height: int) -> Text:
    """The panel's inside."""
    if view.status is None:
        return Text("waiting for the first state", style=view.look.faint)
    joints = view.status.joints
    if not joints:
        return Text("no joint was read yet: control is starting", style=view.look.warn)
    lines = _table(view, joints, width) if width >= WIDE else _bars(view, joints, width, height)
    left = max(0, height - len(lines))
    lines += _reasons(view, view.status, width)[:left]
    return aged(view, lines[:height])


def _table(view: View, joints: Sequence[JointStatus], width: int) -> list[Text]:
    look = view.look
    name_width = max(len(joint.name) for joint in joints) + 3
    bar_width = max(9, width - name_width - _NUMBERS - 3)
    head = Text(" " * (name_width + bar_width), style=look.faint)
    for word, columns in _COLUMNS:
        head.append(word.rjust(columns), style=look.faint)
    lines = [head]
    goals = _has_goals(view.status)
    for number, joint in enumerate(joints):
        line = _name(view, number, joint.name.ljust(name_width - 2))
        line.append_text(bar(view, number, joint, bar_width))
        line.append(f"{round(joint.position_units, 1) + 0.0:10.1f}", style=look.text)
        line.append(_goal(joint.requested_units, goals, look, 8), style=look.dim)
        line.append(_goal(joint.applied_units, goals, look, 9), style=look.text)
        age_ms = max(joint.age_ms, view.loop_silent_ms)  # a dead loop counts no ages
        if age_ms > OLD_MS:
            line.append(f"  old: {age_words(age_ms / 1000)}", style=look.warn)
            line.stylize(look.faint, 0, name_width + bar_width + 27)
        else:
            line.append_text(_temperature(look, joint.temperature_c))
            line.append(f"{abs(joint.load_percent):5.0f}%", style=_load_colour(look, joint))
        line.append(f" {look.alert}" if joint.limited_by else "  ", style=look.warn)
        lines.append(line)
    return lines


def _bars(view: View, joints: Sequence[JointStatus], width: int, height: int) -> list[Text]:
    """Short names, bars and one number each; two arms stand side by side."""
    columns = 2 if len(joints) > 6 and height < len(joints) + 2 else 1
    cell = width // columns
    rows = (len(joints) + columns - 1) // columns
    lines = []
    for row in range(rows):
        line = Text()
        for number in range(row, len(joints), rows):
            line.append_text(_short_cell(view, number, joints[number], cell))
        lines.append(line)
    return lines


def _short_cell(view: View, number: int, joint: JointStatus, width: int) -> Text:
    look = view.look
    side, _, rest = joint.name.partition("_")
    paired = side in ("left", "right") and rest in _SHORT
    short = f"{side[0].upper()} {_SHORT[rest]}" if paired else _SHORT.get(joint.name, joint.name)
    text = _name(view, number, short.ljust(9 if paired else 7))
    age_ms = max(joint.age_ms, view.loop_silent_ms)
    old = age_ms > OLD_MS
    tail = f" {round(joint.position_units, 1) + 0.0:6.1f}"
    extra = f" {age_words(age_ms / 1000)} old" if old else ""
    if not old and width >= 36:
        extra = f" {joint.temperature_c:3.0f}{look.degree or 'C'}"
    mark = f" {look.alert}" if joint.limited_by else "  "
    space = width - text.cell_len - len(tail) - len(extra) - 3
    text.append_text(bar(view, number, joint, max(5, space)))
    text.append(tail, style=look.text)
    text.append(extra, style=look.warn if old else _warmth(look, joint.temperature_c))
    text.append(mark + " ", style=look.warn)
    if old:
        text.stylize(look.faint, 0, width - len(extra) - 3)
    return text


def _name(view: View, number: int, name: str) -> Text:
    chosen = view.jog is not None and view.jog.joint == number
    if chosen:
        return Text().append(f"> {name}", style=f"bold {view.look.good}")
    return Text(f"  {name}", style=view.look.text)


def bar(view: View, number: int, joint: JointStatus, width: int) -> Text:
    """One joint on its range: measured, applied where it differs, goal where that differs too."""
    look = view.look
    gripper = joint.name.endswith("gripper")
    half = 100.0 if gripper else _RANGE_DEG[number % 6 if number % 6 < 5 else 0]
    low = 0.0 if gripper else -half

    def column(value: float) -> int:
        return round((value - low) / (half - low) * (width - 1))

    cells = [(look.track, look.border)] * width
    cells[min(max(column(0.0), 0), width - 1)] = (look.zero, look.faint)
    here = column(joint.position_units)
    colour = look.warn if joint.limited_by else look.good
    marks = [(here, look.measured, colour)]
    if _has_goals(view.status):
        applied, goal = column(joint.applied_units), column(joint.requested_units)
        marks = [(goal, look.goal, look.dim), (applied, look.applied, look.accent), *marks]
    for at, glyph, style in marks:
        if at < 0:
            cells[0] = (look.beyond_left, style)
        elif at >= width:
            cells[-1] = (look.beyond_right, style)
        else:
            cells[at] = (glyph, style)
    text = Text()
    for glyph, style in cells:
        text.append(glyph, style=style)
    return text


def _has_goals(status: Status | None) -> bool:
    state = None if status is None else parse_state(status.state)
    return state not in (None, State.DISARMED)


def _goal(value: float, shown: bool, look: Look, columns: int) -> str:
    return (f"{round(value, 1) + 0.0:.1f}" if shown else look.dash).rjust(columns)


def _warmth(look: Look, celsius: float) -> str:
    return look.bad if celsius >= HOT_C else look.warn if celsius >= WARM_C else look.dim


def _temperature(look: Look, celsius: float) -> Text:
    mark = "!" if celsius >= WARM_C else " "
    return Text(f"{celsius:5.0f}{look.degree or 'C'}{mark}", style=_warmth(look, celsius))


def _load_colour(look: Look, joint: JointStatus) -> str:
    return look.warn if abs(joint.load_percent) >= 60 else look.dim


def _reasons(view: View, status: Status, width: int) -> list[Text]:
    """What limited the arm and what a servo complains of, in words; the newest stay a moment after
    they end."""
    look = view.look
    lines: list[Text] = []
    now_limited = {joint.name for joint in status.joints if joint.limited_by}
    by_words: dict[tuple[bool, str], list[str]] = {}
    for entry in view.limited.values():
        by_words.setdefault((entry.joint in now_limited, entry.words), []).append(entry.joint)
    small = []
    for (current, words), names in sorted(by_words.items(), key=lambda item: not item[0][0]):
        if width < WIDE:
            names = [_SHORT.get(name, name) for name in names]
        who = ", ".join(names) if len(names) < 4 else f"{len(names)} joints"
        if current and width < WIDE:
            small.append(f"{who}: {words}")
        elif current:
            lines.append(Text(f"{look.alert} {who} limited by: {words}", style=look.warn))
        else:
            lines.append(Text(f"  a moment ago: {who}: {words}", style=look.dim))
    if small:  # one line is all there may be
        lines.insert(0, Text(f"{look.alert} {'; '.join(small)}", style=look.warn))
    for joint in status.joints:
        said = [word for bit, word in _STATUS_BITS if joint.status & bit]
        if said:
            words = f"{look.alert} {joint.name}: servo reports {', '.join(said)}"
            lines.insert(0, Text(words, style=look.bad))
        if joint.temperature_c >= WARM_C:
            words = f"{look.alert} {joint.name} {joint.temperature_c:.0f} C: let it rest (d disarm)"
            lines.append(Text(words, style=look.warn))
    if view.jog is not None:
        jog = view.jog
        line = Text().append(f"jog {jog.joint_name} ", style=f"bold {look.good}")
        keys = "Up Down" if look.ascii else f"{look.up}{look.down}"
        line.append(f"{keys} {jog.step_deg:g}{look.degree or ' deg'}", style=look.text)
        line.append("  1-6 joint  [ ] step", style=look.dim)
        lines.insert(0, line)
    for line in lines:
        line.truncate(width)
    return lines
