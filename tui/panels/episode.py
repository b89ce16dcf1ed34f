"""The task and episode panel: what is being recorded, how far it is, and the keys for it."""

from rich.text import Text

from robotd.messages import RecordingStatus
from tui.actions import ACTIONS, shown_key
from tui.flow import fitted
from tui.view import View, aged, clock_words

_REDO = next(action for action in ACTIONS if action.name == "redo")


def title(view: View) -> str:
    """The task, which is what a person chooses an episode by."""
    task = view.status.recording.task if view.status else ""
    return task or "no task"


def draw(view: View, width: int, height: int) -> Text:
    """The panel's inside, `width` by `height`."""
    if view.status is None:
        return Text("waiting for the first state", style=view.look.faint)
    recording = view.status.recording
    lines = [_counter(view, recording, width)]
    if recording.phase != "closed":
        lines.append(_progress(view, recording, width))
    lines.append(_said_line(view, recording))
    if recording.last_error:
        words = (f"{view.look.alert} {recording.last_error}", view.look.bad)
        do = (recording.last_error_do, view.look.text)
        lines += fitted([[words, do], [words]], width, 3, 2)
    elif recording.phase == "recording" and (recording.gaps or recording.repeated):
        lines.append(
            Text(
                f"{view.look.alert} {recording.gaps} gaps, {recording.repeated} repeated: "
                f"{shown_key(_REDO, view.look)} redo",
                style=view.look.warn,
            )
        )
    if recording.dataset:
        where = Text("into ", style=view.look.faint)
        where.append(recording.dataset, style=view.look.dim)
        if recording.phase == "ready" and where.cell_len + 10 <= width:
            where.append("   O", style=f"bold {view.look.accent}").append(" closes", view.look.dim)
        lines.append(where)
    if height > len(lines) + 1:
        lines += [Text()] * min(1, height - len(lines) - 1) + _keys(view, recording, width)
    return aged(view, lines[:height])


def _counter(view: View, recording: RecordingStatus, width: int) -> Text:
    look = view.look
    if recording.phase == "closed":
        text = Text("no dataset open   ", style=look.dim)
        text.append("o", style=f"bold {look.accent}")
        text.append(" opens one", style=look.dim)
        return text
    number = recording.episodes_kept + (0 if recording.phase == "ready" else 1)
    wanted = f" / {recording.episodes_wanted}" if recording.episodes_wanted else ""
    if recording.phase == "ready":
        text = Text().append(f"{number}{wanted} kept   ", style=f"bold {look.text}")
        text.append("Space", style=f"bold {look.accent}")
        text.append(f" starts episode {number + 1}", style=look.dim)
        return text
    text = Text().append(f"EPISODE {number}{wanted}  ", style=f"bold {look.text}")
    if recording.phase == "saving":
        text.append(f" {look.dot} SAVING ", style=f"bold {look.background} on {look.warn}")
        text.append("  keys wait", style=look.warn)
        return text
    elapsed = clock_words(recording.elapsed_s)
    word = "was REC" if view.lost else "REC"  # said in words: a plain look has no faint colour
    text.append(f" {look.record} {word} {elapsed} ", style=f"bold #ffffff on {look.filled_red}")
    frames = "frames" if width >= 46 else "fr"
    text.append(f"  {recording.frames} {frames}", style=look.text)
    if width >= 56:
        colour = look.warn if recording.gaps else look.dim
        text.append(f"  {recording.gaps} gaps", style=colour)
    return text


def _progress(view: View, recording: RecordingStatus, width: int) -> Text:
    """Elapsed over the limit while recording; episodes kept over wanted otherwise."""
    look = view.look
    running = recording.phase == "recording"
    if running and recording.limit_s:
        part, words = recording.elapsed_s / recording.limit_s, f"  limit {recording.limit_s:g} s"
    elif running or not recording.episodes_wanted:
        return Text()
    else:
        part = recording.episodes_kept / recording.episodes_wanted
        words = f"  {min(part, 1.0) * 100:.0f} %"
    columns = max(4, width - len(words) - 1)
    full = round(min(max(part, 0.0), 1.0) * columns)
    text = Text(look.full_bar * full, style=look.bad if running else look.accent)
    text.append(look.empty_bar * (columns - full), style=look.border)
    return text.append(words, style=look.dim)


def _said_line(view: View, recording: RecordingStatus) -> Text:
    """What was marked, taken over and noted in the open episode, or how the reset stands."""
    look = view.look
    if recording.phase == "recording":
        parts = [f"{recording.marks} marks"] if recording.marks else []
        parts += [f"{recording.takeovers} takeovers"] if recording.takeovers else []
        parts += [f"note: {recording.said}"] if recording.said else []
        return Text("   ".join(parts).replace("\n", " "), style=look.dim)
    left_s = recording.reset_left_s
    if recording.phase != "ready" or not left_s:
        return Text()
    text = Text(f"{look.stop} reset {left_s:.1f} s", style=f"bold {look.warn}")
    after = "then it goes on by itself" if recording.goes_on else "lay the things back"
    return text.append(f"   {after}", style=look.dim)


def _keys(view: View, recording: RecordingStatus, width: int) -> list[Text]:
    """The recording keys, wrapped to the panel, bright while they can be used."""
    look = view.look
    open_ = recording.phase == "recording"
    kept = recording.phase == "ready" and recording.episodes_kept > 0
    usable = {"episode": recording.phase in ("ready", "recording")}
    usable |= dict.fromkeys(("keep", "redo", "discard", "mark"), open_)
    usable |= dict.fromkeys(("success", "fail", "note"), open_ or kept)
    usable["undo"] = kept
    if recording.held_s is not None:
        usable["keep_last"] = recording.phase == "ready" and recording.held_s > 0
    shown = set()
    lines = [Text()]
    for action in ACTIONS:
        if action.name not in usable or action.name in shown:
            continue
        shown.add(action.name)
        item = Text(
            shown_key(action, look), style=look.accent if usable[action.name] else look.faint
        )
        item.append(f" {action.label}  ", style=look.dim if usable[action.name] else look.faint)
        if lines[-1].cell_len + item.cell_len > width:
            lines.append(Text())
        lines[-1].append_text(item)
    return lines
