"""What travels over ZeroMQ: requests and replies (ROUTER), and the state people watch (PUB).

Messages are msgspec Structs as JSON, tagged by `type`. Every envelope carries `schema`, so that a
client of another version is told so instead of being misread. `docs/api.md` is the reference.
"""

from typing import Any, Literal

import msgspec

from robotd.status import SCHEMA as SCHEMA
from robotd.status import CameraStatus as CameraStatus
from robotd.status import Check as Check
from robotd.status import EpisodeLine as EpisodeLine
from robotd.status import GuardStatus as GuardStatus
from robotd.status import JointStatus as JointStatus
from robotd.status import LoopStatus as LoopStatus
from robotd.status import PolicyStatus as PolicyStatus
from robotd.status import RecordingStatus as RecordingStatus
from robotd.status import ReplayStatus as ReplayStatus
from robotd.status import ShadowStatus as ShadowStatus
from robotd.status import Status as Status
from robotd.status import TwinStatus as TwinStatus

API_SOCKET = "api.sock"
STATE_SOCKET = "state.sock"
INSTANCE_FILE = "instance.json"


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """`instance.json` in the runtime folder: what a reader must know to open the rings."""

    schema: int = SCHEMA
    name: str
    pid: int
    boot_id: str
    simulated: bool
    joints: tuple[str, ...]
    cameras: tuple[str, ...]
    tick_hz: int
    fps: int
    config_file: str | None = None
    environment_state: bool = False


# --- requests -------------------------------------------------------------------------------------


class Request(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    """The base of every request."""


class GetStatus(Request, frozen=True, kw_only=True, tag="status"):
    """Answered with `Status`."""


class Arm(Request, frozen=True, kw_only=True, tag="arm"):
    """Run the arming list; with `consent` and no failed check, take the arm."""

    consent: bool = False


class Disarm(Request, frozen=True, kw_only=True, tag="disarm"):
    """Park where the path is clear, then let the arm down slowly. `in_place`: no parking."""

    in_place: bool = False


class Clear(Request, frozen=True, kw_only=True, tag="clear"):
    """Clear a latched fault or e-stop, by a person."""


class Hold(Request, frozen=True, kw_only=True, tag="hold"):
    """End whatever source moves the arm and hold the pose."""


class Home(Request, frozen=True, kw_only=True, tag="home"):
    """Move to the home pose, within limits."""


class Teleop(Request, frozen=True, kw_only=True, tag="teleop"):
    """Give the arm to `source`: leader, keyboard or scripted."""

    source: str


class Goal(Request, frozen=True, kw_only=True, tag="goal"):
    """The newest goal of the active keyboard or scripted source. Newest wins; it goes stale.

    `goal_rad` is in the robot's joint order, model frame. `handover_version` is the one that the
    `Teleop` reply gave: goals of an earlier hand-over are refused.
    """

    source: str
    handover_version: int
    goal_rad: tuple[float, ...]


class LoadPolicy(Request, frozen=True, kw_only=True, tag="load_policy"):
    """Load a checkpoint folder in the policy process and warm it up. Moves nothing.

    Newest wins: an earlier load that is not answered yet is refused with a StateError. The fields
    are those of `robotd.policy_channel.Load`.
    """

    path: str
    task: str = ""
    n_action_steps: int | None = None
    fps: int | None = None
    mode: str = ""
    ensemble: str = ""
    rename: dict[str, str] = {}
    units: str = ""
    embodiment: str = ""
    tokenizer: str = ""
    backend: Literal["", "torch", "jax"] = ""
    time_scale: float = 1.0
    gripper_bias: float = 0.0
    gripper_clip: str = ""


class RunPolicy(Request, frozen=True, kw_only=True, tag="run_policy"):
    """Give the arm to the loaded policy; the policy is reset first.

    After `seconds` the arm holds, whatever became of the client; None: no limit. A real arm is only
    given to a policy that was rehearsed (`robotd rehearse`), or with `unrehearsed`; no arm to one
    whose probe failed (`robotd probe`), or with `despite_probe`.
    """

    seconds: float | None = None
    unrehearsed: bool = False
    despite_probe: bool = False


class Shadow(Request, frozen=True, kw_only=True, tag="shadow"):
    """Let the loaded policy look and propose while the arm is disarmed; its plans go to the twin
    only. Writes no goal and no torque. How it goes stands in `Status.shadow`; the reply has its
    number as `shadow`. After `seconds` it ends and its verdict is kept."""

    seconds: float = 40.0
    task: str = ""


class EndShadow(Request, frozen=True, kw_only=True, tag="end_shadow"):
    """End the shadow now; no verdict is kept."""


class Replay(Request, frozen=True, kw_only=True, tag="replay"):
    """Play one recorded episode through the twin and the gate. Moves to its first pose softly.

    `fps` None: the recorded rate. `units` empty: those that the dataset proves.
    """

    dataset: str
    episode: int
    fps: int | None = None
    units: str = ""


class OpenSession(Request, frozen=True, kw_only=True, tag="open_session"):
    """Choose the dataset that episodes go to. Creates it on the first kept episode.

    A session that is open but not recording is replaced. `units`: "degrees" says so of a dataset
    that does not tell its own. The reply's `interrupted` counts the episodes of `ListInterrupted`.
    After a kept episode `reset_s` are counted down (None: `recording.reset_s`); with `auto` the next
    episode then begins by itself, once somebody has the arm. `keep_last_s` seconds of what was are
    held while nothing is recorded, for `KeepLast` (None: `recording.keep_last_s`; 0: none).
    """

    dataset: str
    task: str
    episodes: int = 50
    episode_limit_s: float | None = None
    units: str = ""
    reset_s: float | None = None
    auto: bool = False
    keep_last_s: float | None = None


class CloseSession(Request, frozen=True, kw_only=True, tag="close_session"):
    """End the recording session; an open episode is kept as interrupted.

    Answered when every kept episode was published, or could not be: `kept`, `published`, `root`,
    and `error`, `error_likely`, `error_do` (why kept episodes are not in the dataset, else empty);
    `flagged` has what the quality gate found: `episode`, `verdict`, `findings` and `do` of each.
    """


class SetTask(Request, frozen=True, kw_only=True, tag="set_task"):
    """Change the task text of the next episode."""

    task: str


class StartEpisode(Request, frozen=True, kw_only=True, tag="start_episode"):
    """Begin recording."""


class KeepEpisode(Request, frozen=True, kw_only=True, tag="keep_episode"):
    """End the running episode and save it. `success` is the label, None for no label."""

    success: bool | None = None


class DiscardEpisode(Request, frozen=True, kw_only=True, tag="discard_episode"):
    """End the running episode and throw it away (kept aside until space is needed).

    `again`: the next one begins by itself: at once, or after the countdown of an `auto` session.
    """

    again: bool = False


class MarkEpisode(Request, frozen=True, kw_only=True, tag="mark_episode"):
    """Put a mark at this row of the running episode. The reply has its `row`, and its `number`
    among those of that name, from 1."""

    name: str = "subgoal"


class LabelEpisode(Request, frozen=True, kw_only=True, tag="label_episode"):
    """Say something of the running episode or, with none running, of the last one kept in this
    session, saved or not. What is None stays as it is."""

    success: bool | None = None
    note: str | None = None


class UndoEpisode(Request, frozen=True, kw_only=True, tag="undo_episode"):
    """Take the last kept episode of this session back out of the dataset."""


class KeepLast(Request, frozen=True, kw_only=True, tag="keep_last"):
    """Keep the last `seconds` (None: all that is held) as an episode, though nobody pressed record.

    It begins at a key frame, so it may be half a second longer. The reply has `journal`, `frames`.
    """

    seconds: float | None = None
    success: bool | None = None


class ListInterrupted(Request, frozen=True, kw_only=True, tag="list_interrupted"):
    """List the episodes that wait for a person: interrupted ones, and kept ones that could not be
    saved. `interrupted` in the reply holds `journal`, `state`, `dataset`, `task`, `frames`,
    `seconds`, `why` and `do` of each."""


class DecideInterrupted(Request, frozen=True, kw_only=True, tag="decide_interrupted"):
    """Keep or discard one of them, by its journal id. `into` keeps it in another dataset.

    The reply says `published`, and `error`, `error_likely`, `error_do` where it still could not be.
    """

    journal: str
    keep: bool
    into: str = ""


class Shutdown(Request, frozen=True, kw_only=True, tag="shutdown"):
    """Stop the daemon: park, let the arm down, close every file."""


AnyRequest = (
    GetStatus
    | Arm
    | Disarm
    | Clear
    | Hold
    | Home
    | Teleop
    | Goal
    | LoadPolicy
    | RunPolicy
    | Shadow
    | EndShadow
    | Replay
    | OpenSession
    | CloseSession
    | SetTask
    | StartEpisode
    | KeepEpisode
    | DiscardEpisode
    | MarkEpisode
    | LabelEpisode
    | KeepLast
    | UndoEpisode
    | ListInterrupted
    | DecideInterrupted
    | Shutdown
)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A request on the wire. `id` comes back in the reply."""

    schema: int
    id: int
    request: AnyRequest


class Ok(msgspec.Struct, frozen=True, tag_field="type", tag="ok", kw_only=True):
    """Done. `data` depends on the request (see `docs/api.md`)."""

    id: int
    data: dict[str, Any] = {}


class Failed(msgspec.Struct, frozen=True, tag_field="type", tag="failed", kw_only=True):
    """Not done. What it leaves behind, `docs/api.md` says; a refused one leaves all as it was."""

    id: int
    kind: str  # the name of the RobotdError type
    what: str
    likely: str
    do: str
    data: dict[str, Any] = {}


Reply = Ok | Failed


encode = msgspec.json.encode
decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_reply = msgspec.json.Decoder(Reply).decode
decode_status = msgspec.json.Decoder(Status).decode
decode_instance = msgspec.json.Decoder(Instance).decode
