"""What a recording key means right now. Pure: the session's state in, a decision out.

The keys are those of `robotd record`. One pressed while an episode is being saved is dropped and
said to be dropped; it never reaches the next episode."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robotd import messages
from robotd.messages import RecordingStatus

JUST_BEGUN_S = 1.0
"""A Space this soon after an episode began by itself was meant to begin it."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send `request`; `doing` says what is under way."""

    request: messages.AnyRequest
    doing: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """The key does nothing, for this reason."""

    why: str


@dataclass(frozen=True, slots=True)
class AskSession:
    """No session is open: ask for the dataset first."""


Decision = Send | Dropped | AskSession

_LABELS = {"success": True, "fail": False}


def decide(key: str, now: RecordingStatus, pending: str) -> Decision:
    """What `key` (episode, keep, redo, discard, undo, success, fail, mark, note, keep_last) does.

    `pending` names a recording request whose answer has not come yet, or is empty. A note's text is
    asked for by the caller."""
    if now.phase == "saving":
        return Dropped("an episode is being saved")
    if pending:
        return Dropped(f"still {pending}")
    if now.phase == "closed":
        return AskSession() if key == "episode" else Dropped("no dataset is open (o opens one)")
    if now.phase == "recording":
        return _while_recording(key, now)
    return _between(key, now)


def _while_recording(key: str, now: RecordingStatus) -> Decision:
    if key == "episode" and now.auto and now.elapsed_s < JUST_BEGUN_S:
        return Dropped("this episode has just begun by itself")
    if key in ("episode", "keep", "success", "fail"):
        return Send(messages.KeepEpisode(success=_LABELS.get(key)), "saving the episode")
    if key == "redo":
        return Send(messages.DiscardEpisode(again=True), "beginning the episode again")
    if key == "discard":
        return Send(messages.DiscardEpisode(), "discarding the episode")
    if key == "mark":
        return Send(messages.MarkEpisode(), "marking")
    if key == "keep_last":
        return Dropped("an episode is open, and the last seconds are in it (→ keeps it)")
    if key == "undo":
        return Dropped("an episode is open (← throws it away)")
    return Send(messages.LabelEpisode(), "noting")


def _between(key: str, now: RecordingStatus) -> Decision:
    if key == "episode":
        return Send(messages.StartEpisode(), "starting the episode")
    if key == "keep_last":
        return Send(messages.KeepLast(), "keeping the last seconds")
    if key not in ("undo", "success", "fail", "note"):
        return Dropped("no episode is open (Space starts one)")
    if now.episodes_kept == 0:
        return Dropped("no episode was kept in this session yet")
    if key == "undo":
        return Send(messages.UndoEpisode(), "undoing the last episode")
    if key == "note":
        return Send(messages.LabelEpisode(), "noting")
    return Send(messages.LabelEpisode(success=_LABELS[key]), "labelling the last episode")


def done_words(request: messages.AnyRequest, data: Mapping[str, Any]) -> str:
    """What to say of a request that was carried out; empty where the screen shows it anyway."""
    match request:
        case messages.MarkEpisode(name=name):
            return f"{name} {data.get('number', '')} at row {data.get('row', '')}"
        case messages.KeepLast():
            return f"the last {data.get('frames', '')} frames are kept as an episode"
        case messages.LabelEpisode(note=str()):
            return "noted"
        case messages.LabelEpisode(success=success):
            return f"the last kept episode is a {'success' if success else 'failure'} now"
        case _:
            return ""
