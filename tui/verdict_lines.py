"""What the quality gate said, as the panels show it: a word beside an episode, sentences below it.

A verdict comes a moment after an episode was kept; until then nothing is said, and no news is no
good news: a sound episode says ok."""

from rich.text import Text

from robotd.messages import EpisodeLine, RecordingStatus
from tui.flow import fitted
from tui.look import Look

_SENTENCE_LINES = 5


def word(look: Look, episode: EpisodeLine, told: bool) -> tuple[str, str]:
    """A few words on an episode and their style: what its recording noted, or the gate found.
    `told`: the sentences stand below."""
    if episode.verdict in ("warn", "bad"):
        count = len(episode.findings)
        more = f" (+{count - 1})" if count > 1 else ""
        first = "" if told or not count else f": {episode.findings[0]}"
        return f"{look.alert} {episode.verdict}{more}{first}", colour(look, episode)
    if episode.note and episode.note != "ok":
        return f"{look.alert} {episode.note}", look.warn
    if episode.outcome == "discarded":
        return "", look.faint
    return "ok", look.good if episode.verdict == "ok" else look.faint


def colour(look: Look, episode: EpisodeLine) -> str:
    """The colour of a verdict."""
    return look.bad if episode.verdict == "bad" else look.warn


def newest_flagged(recording: RecordingStatus) -> EpisodeLine | None:
    """The newest kept episode, if the gate flagged it: that is the one which can still be redone."""
    judged = [each for each in recording.episodes if each.verdict]
    newest = judged[-1] if judged else None
    return newest if newest is not None and newest.findings else None


def sentences(look: Look, episode: EpisodeLine, width: int) -> list[Text]:
    """The worst finding in full and what to do, on a few lines."""
    what = [(episode.findings[0], colour(look, episode)), (f"{episode.do}.", look.text)]
    return [
        Text("     ").append_text(line) for line in fitted([what], width - 5, _SENTENCE_LINES, 0)
    ]


def warnings(look: Look, recording: RecordingStatus, width: int) -> list[Text]:
    """Cameras that are not as they were in the dataset's last episode, the disk, the encoder; and
    what could be done while nothing is recorded."""
    lines: list[Text] = []
    for each in recording.warnings:
        lines += fitted([[(f"{look.alert} {each}", look.warn)]], width, 3, 2)
    if recording.offer:
        lines += fitted([[(recording.offer, look.faint)]], width, 4, 2)
    return lines
