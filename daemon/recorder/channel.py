"""What the supervisor and the recorder say to each other.

A ZeroMQ PAIR over ipc in the runtime folder, one msgspec struct as JSON per message. The supervisor
binds, because it outlives a recorder that is restarted. Every command is answered by `Done` or
`Refused` with its `id`; the state comes unasked, on every change and a few times a second.
"""

from typing import Any

import msgspec

from robotd.errors import RobotdError
from robotd.messages import RecordingStatus

RECORDER_SOCKET = "recorder.sock"


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """The base of every command."""

    id: int


class Open(Command, frozen=True, kw_only=True, tag="open"):
    """Begin a session: where episodes go. Checks that they would fit; creates nothing.

    A session that is open is ended, unless it is recording. `units` is what a person says of a
    dataset that does not tell its own.
    """

    dataset: str
    task: str
    episodes: int
    episode_limit_s: float | None = None
    units: str = ""
    reset_s: float = 0.0
    auto: bool = False
    keep_last_s: float = 0.0


class Close(Command, frozen=True, kw_only=True, tag="close"):
    """End the session when everything kept is in its dataset. An open episode is interrupted."""


class SetTask(Command, frozen=True, kw_only=True, tag="set_task"):
    """The task of the next episode."""

    task: str


class Start(Command, frozen=True, kw_only=True, tag="start"):
    """Begin an episode. `policy_sha256` is empty when no policy is loaded."""

    policy_sha256: str = ""


class Keep(Command, frozen=True, kw_only=True, tag="keep"):
    """End the episode and save it. Answered when its journal is on the disk."""

    success: bool | None = None


class Discard(Command, frozen=True, kw_only=True, tag="discard"):
    """End the episode as unwanted. `again`: the next one begins by itself."""

    again: bool = False


class Mark(Command, frozen=True, kw_only=True, tag="mark"):
    """Put a mark at the row of this moment."""

    name: str


class SetLabel(Command, frozen=True, kw_only=True, tag="set_label"):
    """Say something of the open episode, or with none open of the last kept one. None: as it is."""

    success: bool | None = None
    note: str | None = None


class KeepLast(Command, frozen=True, kw_only=True, tag="keep_last"):
    """Keep the last seconds as an episode though none was recorded. Answered when it is safe."""

    seconds: float | None = None
    success: bool | None = None


class SetPolicy(Command, frozen=True, kw_only=True, tag="set_policy"):
    """Which policy is loaded, for episodes that begin by themselves. Not answered."""

    sha256: str


class Undo(Command, frozen=True, kw_only=True, tag="undo"):
    """Take the last kept episode back out."""


class ListInterrupted(Command, frozen=True, kw_only=True, tag="list_interrupted"):
    """Which episodes wait for a person: interrupted ones, and kept ones that could not be saved."""


class Decide(Command, frozen=True, kw_only=True, tag="decide"):
    """Keep or discard one of them. Answered when it is in the dataset, or why it is not.

    `into` names another dataset than the one it was recorded for.
    """

    journal: str
    keep: bool
    into: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="done"):
    """The command was carried out."""

    id: int
    data: dict[str, Any] = {}


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="refused"):
    """It was not, and nothing changed; `kind` is the name of the RobotdError type."""

    id: int
    kind: str
    what: str
    likely: str
    do: str


class Now(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="now"):
    """The recorder's state."""

    status: RecordingStatus


ToRecorder = (
    Open
    | Close
    | SetTask
    | Start
    | Keep
    | Discard
    | Undo
    | Mark
    | SetLabel
    | SetPolicy
    | KeepLast
    | ListInterrupted
    | Decide
)
FromRecorder = Done | Refused | Now

encode = msgspec.json.encode
decode_to_recorder = msgspec.json.Decoder(ToRecorder).decode
decode_from_recorder = msgspec.json.Decoder(FromRecorder).decode


def refused(command_id: int, error: RobotdError) -> Refused:
    """The answer to a command that was not carried out."""
    return Refused(
        id=command_id,
        kind=type(error).__name__,
        what=error.what,
        likely=error.likely,
        do=error.do,
    )
