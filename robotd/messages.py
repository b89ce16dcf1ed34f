"""What travels over ZeroMQ: requests and replies (ROUTER), and the state people watch (PUB).

Messages are msgspec Structs as JSON, tagged by `type`. Every envelope carries `schema`, so that a
client of another version is told so instead of being misread. `docs/api.md` is the reference.
"""

from typing import Any

import msgspec

from robotd.health import HealthStatus

SCHEMA = 1
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

    Newest wins: an earlier load that is not answered yet is refused with a StateError.
    """

    path: str
    task: str = ""
    n_action_steps: int | None = None
    fps: int | None = None
    ensemble: str = ""
    rename: dict[str, str] = {}
    units: str = ""


class RunPolicy(Request, frozen=True, kw_only=True, tag="run_policy"):
    """Give the arm to the loaded policy; the policy is reset first.

    After `seconds` the arm holds, whatever became of the client; None: no limit. A real arm is only
    given to a policy that was rehearsed (`robotd rehearse`), or with `unrehearsed`.
    """

    seconds: float | None = None
    unrehearsed: bool = False


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
    """

    dataset: str
    task: str
    episodes: int = 50
    episode_limit_s: float | None = None
    units: str = ""


class CloseSession(Request, frozen=True, kw_only=True, tag="close_session"):
    """End the recording session; an open episode is kept as interrupted.

    Answered when every kept episode was published, or could not be: `kept`, `published`, `root`,
    and `error`, `error_likely`, `error_do` (why kept episodes are not in the dataset, else empty).
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
    """End the running episode and throw it away (kept aside until space is needed)."""


class UndoEpisode(Request, frozen=True, kw_only=True, tag="undo_episode"):
    """Take the last kept episode of this session back out of the dataset."""


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


# --- state ----------------------------------------------------------------------------------------


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the arming list. `outcome`: pass, warn or fail."""

    name: str
    outcome: str
    detail: str
    do: str = ""


class JointStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One joint, newest tick. Positions in radians (model frame) and LeRobot's units."""

    name: str
    position_rad: float
    position_units: float
    requested_rad: float
    applied_rad: float
    applied_units: float
    requested_units: float
    age_ms: float
    temperature_c: float
    load_percent: float
    voltage_v: float
    current_a: float
    torque_limit_percent: float
    limited_by: str
    status: int


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One camera: `age_ms` is that of its newest frame; None before the first."""

    name: str
    age_ms: float | None
    fps: float
    width: int
    height: int


class LoopStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How well control keeps time. Late figures are over the last ten seconds."""

    tick_hz: int
    ticks: int
    missed_ticks: int
    late_p50_us: float
    late_p99_us: float
    read_p50_us: float
    read_p99_us: float
    age_ms: float
    scheduler: str
    memory_locked: bool
    rss_mb: float


class EpisodeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One episode of this session, newest last."""

    index: int
    seconds: float
    frames: int
    outcome: str  # success, fail, kept, interrupted, discarded
    note: str = ""


class RecordingStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The recording session. `phase`: closed, ready, recording, saving."""

    phase: str = "closed"
    dataset: str = ""
    root: str = ""
    task: str = ""
    episodes_wanted: int = 0
    episodes_kept: int = 0
    episodes_published: int = 0
    frames: int = 0
    gaps: int = 0
    repeated: int = 0
    elapsed_s: float = 0.0
    limit_s: float | None = None
    disk_left_s: float | None = None
    last_error: str = ""
    last_error_likely: str = ""
    last_error_do: str = ""
    episodes: tuple[EpisodeLine, ...] = ()


class TwinStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The mirror and the pre-flight.

    `verdict` is that of the newest plan: pass, reject, late or none. `last_reason` says what the
    newest plan that was not passed would have done, `refused_ago_s` how long ago that was (None:
    every plan passed).
    """

    alive: bool = False
    residual_deg: tuple[float, ...] = ()
    park_clear: bool = False
    plans_passed: int = 0
    plans_rejected: int = 0
    verdict: str = "none"
    last_reason: str = ""
    refused_ago_s: float | None = None
    last_verdict_ms: float = 0.0


class PolicyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The loaded policy. `phase`: none, loading, ready, running, failed.

    `error`, `likely` and `do` are the three parts of why it failed; while it runs, `error` alone
    says why no plan can be made now.
    """

    phase: str = "none"
    path: str = ""
    kind: str = ""
    fps: float = 0.0
    told: str = ""  # what the policy is told that a camera would have to see
    cameras: tuple[str, ...] = ()  # those that it looks through
    rehearsed: bool = (
        False  # a rehearsal that is evidence for this robot was made, however it ended
    )
    rehearsal: str = ""  # the same in words
    rehearsal_do: str = ""  # what is missing; empty when it passed
    inference_ms: float = 0.0
    observation_age_ms: float = 0.0
    chunks: int = 0
    error: str = ""
    likely: str = ""
    do: str = ""


class ReplayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The newest replay. `phase`: none, loading, running, finished, failed.

    `finished` means that the last recorded action was due while an approved plan was followed;
    whatever else ended it is `failed`, with `error`, `likely` and `do`. `number` counts the replays
    of this daemon; the reply to `Replay` has it as `replay`.
    """

    phase: str = "none"
    number: int = 0
    dataset: str = ""
    episode: int = -1
    error: str = ""
    likely: str = ""
    do: str = ""


class ShadowStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The newest shadow. `phase`: none, running, finished, failed.

    `chunks` were judged by the twin, `refused` of them not passed (by reason in `reasons`), `late`
    not judged in time; `late` ones count as neither. `trouble` says why no chunk is made now.
    `finished`: its time was over and its verdict is kept; `passed` says how, and the three parts
    why not. `failed`: it broke off and nothing is kept.
    """

    phase: str = "none"
    number: int = 0
    seconds: float = 0.0
    elapsed_s: float = 0.0
    chunks: int = 0
    refused: int = 0
    late: int = 0
    reasons: dict[str, int] = {}
    inference_ms: float = 0.0
    inference_max_ms: float = 0.0
    observation_age_max_ms: float = 0.0
    trouble: str = ""
    passed: bool = False
    key: str = ""
    error: str = ""
    likely: str = ""
    do: str = ""


class GuardStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The guard. `state`: watching, killing, taking, holding, releasing, down, cannot; `none` when
    there is none. `what` and `do` say why it cannot bring the arm down."""

    state: str = "none"
    scheduler: str = ""
    what: str = ""
    do: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a person or the TUI shows. Published ten times a second."""

    schema: int = SCHEMA
    name: str
    simulated: bool
    state: str
    torque: str
    source: str
    fault: str = ""
    fault_do: str = ""
    left_stiff: str = ""  # robotd ends and the arm is not down: why, and what to do
    message: str = ""
    stamp_ns: int
    uptime_s: float
    handover_version: int
    estop_presses: int
    joints: tuple[JointStatus, ...]
    cameras: tuple[CameraStatus, ...]
    loop: LoopStatus
    arming: tuple[Check, ...] = ()
    recording: RecordingStatus = RecordingStatus()
    twin: TwinStatus = TwinStatus()
    policy: PolicyStatus = PolicyStatus()
    replay: ReplayStatus = ReplayStatus()
    shadow: ShadowStatus = ShadowStatus()
    leader_ready: bool | None = None
    guard: GuardStatus = GuardStatus()
    processes: dict[str, str] = {}
    health: HealthStatus = HealthStatus()


encode = msgspec.json.encode
decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_reply = msgspec.json.Decoder(Reply).decode
decode_status = msgspec.json.Decoder(Status).decode
decode_instance = msgspec.json.Decoder(Instance).decode
