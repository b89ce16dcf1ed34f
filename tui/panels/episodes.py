"""The list of this session's episodes, newest first."""

from rich.text import Text

from robotd.messages import EpisodeLine
from tui.look import Look
from tui.view import View, aged


def title(view: View) -> str:
    """How many were kept."""
    if view.status is None or view.status.recording.phase == "closed":
        return "episodes"
    return f"episodes {view.look.dot} {view.status.recording.episodes_kept} kept"


def draw(view: View, width: int, height: int) -> Text:
    """As many of the newest episodes as fit."""
    look = view.look
    if view.status is None or not view.status.recording.episodes:
        return Text("none yet", style=look.faint)
    newest = list(reversed(view.status.recording.episodes))[:height]
    lines = [_line(look, episode, width) for episode in newest]
    return aged(view, lines)


def _outcome(look: Look, outcome: str) -> tuple[str, str]:
    """Mark with word, and colour."""
    return {
        "success": (f"{look.tick} success", look.good),
        "fail": (f"{look.cross} fail", look.bad),
        "kept": (f"{look.tick} kept", look.text),
        "interrupted": (f"{look.stop} interrupted", look.warn),
        "discarded": (f"{look.dash} discarded", look.faint),
    }.get(outcome, (outcome, look.text))


def _line(look: Look, episode: EpisodeLine, width: int) -> Text:
    mark, colour = _outcome(look, episode.outcome)
    minutes, seconds = divmod(round(episode.seconds), 60)
    text = Text(f"{episode.index:>3}  ", style=look.text)
    text.append(f"{minutes:02d}:{seconds:02d}  ", style=look.dim)
    text.append(f"{mark:<14}", style=colour)
    if width >= 52:
        text.append(f"{episode.frames:>5} fr  ", style=look.dim)
    if episode.note and episode.note != "ok":
        text.append(f"{look.alert} {episode.note}", style=look.warn)
    elif episode.outcome not in ("discarded",):
        text.append("ok", style=look.faint)
    text.truncate(width)
    return text
