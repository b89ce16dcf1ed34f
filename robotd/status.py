"""The state that people watch: what the supervisor publishes ten times a second (PUB).

Parts of it are filled by the rooms they are about; `robotd.messages` offers all of them to clients.
"""

import msgspec

from robotd.health import HealthStatus

SCHEMA = 1
"""Of every envelope: a client of another version is told so instead of being misread."""


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
    """One episode of this session, newest last.

    `episode` is its number in the dataset once it is there, -1 before. `verdict` of the quality gate
    comes with it, a moment after the keep: empty until then, else ok, warn or bad; `findings` are its
    sentences, the worst first, and `do` what to do about that one. `held`: kept, but the gate holds
    it back until a person decides.
    """

    index: int
    seconds: float
    frames: int
    outcome: str  # success, fail, kept, held, interrupted, discarded
    note: str = ""
    marks: int = 0
    takeovers: int = 0
    episode: int = -1
    verdict: str = ""
    findings: tuple[str, ...] = ()
    do: str = ""


class RecordingStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The recording session. `phase`: closed, ready, recording, saving.

    `reset_left_s` counts down between two episodes (0: it is over; None: there is none), and
    `goes_on` says that the next one then begins by itself. `held_s` of the past can be kept (None:
    the session holds none). `marks`, `takeovers` and `said` (a
    person's note) are the open episode's.

    `disk_left_s` is at the rate that was measured, `disk_low` when that is less than the
    configuration warns from. `encoder` is the one in use, `encoder_note` why others are not;
    `encoder_behind_s` how far it is behind the rows, and `lagged` how many pictures of the newest
    episode came too late for it and are the one before again (`repeated` counts them too).
    """

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
    disk_low: bool = False
    encoder: str = ""
    encoder_note: str = ""
    encoder_behind_s: float = 0.0
    lagged: int = 0
    last_error: str = ""
    last_error_likely: str = ""
    last_error_do: str = ""
    episodes: tuple[EpisodeLine, ...] = ()
    auto: bool = False
    goes_on: bool = False
    reset_left_s: float | None = None
    held_s: float | None = None
    marks: int = 0
    takeovers: int = 0
    said: str = ""
    warnings: tuple[str, ...] = ()  # of changed cameras, the disk, the encoder
    offer: str = ""  # what could be done for the dataset while nothing is recorded


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


class StageLatency(msgspec.Struct, frozen=True, kw_only=True):
    """How long one stage of a chunk takes, over the newest 256 that were followed."""

    p50_ms: float = 0.0
    p95_ms: float = 0.0
    max_ms: float = 0.0


class PolicyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The loaded policy. `phase`: none, loading, ready, running, failed.

    `mode` is how its chunks are played (chunk, ensemble newest:0.01, rtc), `n_action_steps` how many
    actions of one before the next. `latency` has the stages of `robotd.latency.STAGES` once a chunk
    was followed: from the exposure of the oldest picture to the first goal written.
    `error`, `likely` and `do` are the three parts of why it failed; while it runs, `error` alone
    says why no plan can be made now.
    """

    phase: str = "none"
    path: str = ""
    kind: str = ""
    sha256: str = ""  # of all that decides what it does
    fps: float = 0.0
    told: str = ""  # what the policy is told that a camera would have to see
    cameras: tuple[str, ...] = ()  # those that it looks through
    rehearsed: bool = (
        False  # a rehearsal that is evidence for this robot was made, however it ended
    )
    rehearsal: str = ""  # the same in words
    rehearsal_do: str = ""  # what is missing; empty when it passed
    probed: str = ""  # pass, warn, fail or missing: does it do what people did (robotd probe)?
    probe: str = ""  # the same in words
    probe_do: str = ""  # what is missing or mends it; empty when it passed
    inference_ms: float = 0.0
    observation_age_ms: float = 0.0
    chunks: int = 0
    mode: str = ""
    n_action_steps: int = 0
    latency: dict[str, StageLatency] = {}
    embodiment: str = ""  # of a Pi0, and where that is known from
    time_scale: float = 1.0  # 0.5: chunks are played at half the speed they were trained at
    changed: str = ""  # what is changed in its actions
    pauses: str = ""  # why the arm will stop between chunks: it is too slow for their length
    camera_differences: tuple[str, ...] = ()  # how this robot's cameras are not the training's
    camera_do: str = ""  # what to do about the first
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
    why not. `failed`: it broke off and nothing is kept. `reach_deg` is how far the furthest joint goes
    in a chunk, `jump_deg` how far from the arm a chunk begins; the medians.
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
    reach_deg: float = 0.0
    jump_deg: float = 0.0
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
