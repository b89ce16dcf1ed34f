"""The list of this session's episodes, newest first."""

from rich.text import Text

from robotd.messages import EpisodeLine
from tui.look import Look
from tui.uploads_line import words
from tui.verdict_lines import newest_flagged, sentences, word
from tui.view import View, aged

_LINES_FOR_SENTENCES = 6
"""A panel lower than this keeps its lines for other episodes."""


def title(view: View) -> str:
    """How many were kept, and how far the uploads are."""
    parts = ["episodes"]
    if view.status is not None and view.status.recording.phase != "closed":
        parts.append(f"{view.status.recording.episodes_kept} kept")
    parts.append(words(view.uploads, view.look))
    return f" {view.look.dot} ".join(part for part in parts if part)


def draw(view: View, width: int, height: int) -> Text:
    """As many of the newest episodes as fit."""
    look = view.look
    if view.status is None or not view.status.recording.episodes:
        return Text("none yet", style=look.faint)
    told = newest_flagged(view.status.recording)
    lines: list[Text] = []
    for episode in reversed(view.status.recording.episodes):
        in_full = episode is told and height >= _LINES_FOR_SENTENCES
        lines.append(_line(look, episode, width, in_full))
        if in_full:
            lines += sentences(look, episode, width)
    return aged(view, lines[:height])


def _outcome(look: Look, outcome: str) -> tuple[str, str]:
    """Mark with word, and colour."""
    return {
        "success": (f"{look.tick} success", look.good),
        "fail": (f"{look.cross} fail", look.bad),
        "kept": (f"{look.tick} kept", look.text),
        "held": (f"{look.stop} held back", look.bad),
        "interrupted": (f"{look.stop} interrupted", look.warn),
        "discarded": (f"{look.dash} discarded", look.faint),
    }.get(outcome, (outcome, look.text))


def _line(look: Look, episode: EpisodeLine, width: int, in_full: bool) -> Text:
    mark, colour = _outcome(look, episode.outcome)
    minutes, seconds = divmod(round(episode.seconds), 60)
    text = Text(f"{episode.index:>3}  ", style=look.text)
    text.append(f"{minutes:02d}:{seconds:02d}  ", style=look.dim)
    text.append(f"{mark:<14}", style=colour)
    if width >= 52:
        text.append(f"{episode.frames:>5} fr  ", style=look.dim)
    words, style = word(look, episode, in_full)
    text.append(words, style=style)
    text.truncate(width)
    return text
