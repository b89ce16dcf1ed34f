"""What the supervisor and a process that makes plans (policy, replay) say to each other.

A ZeroMQ PAIR over ipc in the runtime folder, one msgspec struct as JSON per message. The
supervisor binds, because it outlives the process it starts; the process connects. Nothing here
moves the arm: motion is asked of control, and the process sees in the tick ring when it is its
turn.
"""

from typing import Literal

import msgspec

POLICY_SOCKET = "policy.sock"
REPLAY_SOCKET = "replay.sock"

MODES = ("auto", "chunk", "ensemble", "rtc")
"""How chunks can be played (`policies.modes`)."""


class Load(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="load"):
    """Supervisor to policy: load this checkpoint folder and warm it up.

    `id` comes back in what is said of this load, so that the answer to an earlier one is not taken
    for it. What was loaded before is gone from the moment this arrives, whatever becomes of it.
    `n_action_steps` None: the configuration's. `fps` None: from the checkpoint's evidence. `units`
    empty: likewise. `mode`: one of `MODES`, empty for the configuration's. `ensemble`: "", "newest"
    or "oldest", optionally with a coefficient ("newest:0.01"). `rename` maps keys of the checkpoint
    to keys of the robot.

    `embodiment` names the convention of a Pi0 (empty: it is known from the checkpoint), `tokenizer`
    the file or folder of its tokenizer (empty: the configuration's, else looked for), `backend` what
    computes it (empty: the configuration's). `time_scale`
    0.5 plays chunks at half the speed they were trained at. `gripper_bias` percent of its opening are
    added to the gripper's goals, which `gripper_clip` (LOW:HIGH) then bounds.
    """

    id: int = 0
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


class ShadowOrder(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="shadow"):
    """Supervisor to policy: propose from what is seen while the arm is disarmed, for the twin only.

    `on` False: no more. `number` comes back in what is said of it.
    """

    number: int
    on: bool = True


class Shutdown(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="shutdown"):
    """Supervisor to process: end now, with exit code 0."""


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="progress"):
    """Process to supervisor: what it is busy with."""

    phase: str


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="ready"):
    """Process to supervisor: the arm can be given to it now. `id` is that of its `Load`.

    `told` names what the policy is told that a camera would have to see, `cameras` those that it
    looks through, `mode` how its chunks are played, in words; `sha256` is that of the files that
    decide what it does, or of a recording's actions; `inference_ms` that of one warm chunk.

    `embodiment` is the convention of a Pi0, `time_scale` how fast chunks are played, `changed` what is
    changed in its actions, `pauses` why the arm will stop between chunks; `camera_differences` how
    this robot's cameras are not those of the training, `camera_do` what to do about the first.
    """

    id: int = 0
    path: str
    kind: str
    fps: float
    fps_source: str
    units: str
    units_source: str
    chunk: int
    n_action_steps: int
    inference_ms: float = 0.0
    told: str = ""
    cameras: tuple[str, ...] = ()
    sha256: str = ""
    mode: str = ""
    embodiment: str = ""
    embodiment_source: str = ""
    time_scale: float = 1.0
    changed: str = ""
    pauses: str = ""
    camera_differences: tuple[str, ...] = ()
    camera_do: str = ""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="failed"):
    """Process to supervisor: it could not be done, and nothing is loaded.

    `kind` is the name of the RobotdError type; `id` that of the `Load`, 0 when it concerns none.
    """

    id: int = 0
    kind: str
    what: str
    likely: str
    do: str


class Trouble(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="trouble"):
    """Process to supervisor, once per change while it runs: why no plan can be made.

    Empty when it is over. Meanwhile the arm finishes what was approved and then holds.
    """

    reason: str


class Shadowed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="shadowed"):
    """Policy to supervisor, after each verdict: how the shadow of that number stands.

    `chunks` were judged, `refused` of them not passed (counted by reason in `reasons`) and `late`
    not judged in time. `inference_ms` is the median, the other two are the largest so far.
    `reach_deg` is how far a chunk goes and `jump_deg` how far from the arm it begins (`policies.reach`).
    """

    number: int
    chunks: int
    refused: int
    late: int
    reasons: dict[str, int]
    inference_ms: float
    inference_max_ms: float
    observation_age_max_ms: float
    reach_deg: float = 0.0
    jump_deg: float = 0.0


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="finished"):
    """Replay to supervisor: the last recorded action was due and had been approved."""


ToProcess = Load | ShadowOrder | Shutdown
FromProcess = Progress | Ready | Failed | Trouble | Shadowed | Finished

encode = msgspec.json.encode
_TO_PROCESS: msgspec.json.Decoder[ToProcess] = msgspec.json.Decoder(ToProcess)
_FROM_PROCESS: msgspec.json.Decoder[FromProcess] = msgspec.json.Decoder(FromProcess)
decode_to_process = _TO_PROCESS.decode
decode_from_process = _FROM_PROCESS.decode
