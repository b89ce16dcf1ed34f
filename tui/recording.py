"""What a recording key means right now. Pure: the phase in, a decision out.

A key pressed while an episode is being saved is dropped and said to be dropped; it never reaches
the next episode."""

from dataclasses import dataclass

from robotd import messages


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
class Label:
    """The label of the open episode is now this: True success, False failure, None no label."""

    success: bool | None


@dataclass(frozen=True, slots=True)
class AskSession:
    """No session is open: ask for the dataset first."""


Decision = Send | Dropped | Label | AskSession


def decide(
    key: str, phase: str, pending: str, label: bool | None, episodes_kept: int = 0
) -> Decision:
    """What `key` (episode, keep, redo, undo, success, fail) does.

    `phase` is RecordingStatus.phase; `pending` names a recording request whose answer has not come
    yet, or is empty; `label` is the open episode's label so far."""
    if phase == "saving":
        return Dropped("an episode is being saved")
    if pending:
        return Dropped(f"still {pending}")
    if phase == "closed":
        return AskSession() if key == "episode" else Dropped("no dataset is open (o opens one)")
    if phase == "recording":
        return _while_recording(key, label)
    if key == "episode":
        return Send(messages.StartEpisode(), "starting the episode")
    if key == "undo":
        if episodes_kept == 0:
            return Dropped("no episode of this session to undo")
        return Send(messages.UndoEpisode(), "undoing the last episode")
    return Dropped("no episode is open (Space starts one)")


def _while_recording(key: str, label: bool | None) -> Decision:
    if key in ("episode", "keep"):
        return Send(messages.KeepEpisode(success=label), "saving the episode")
    if key == "redo":
        return Send(messages.DiscardEpisode(), "discarding the episode")
    if key == "undo":
        return Dropped("an episode is open (← throws it away)")
    wanted = key == "success"
    return Label(None if label is wanted else wanted)
