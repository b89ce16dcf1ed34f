"""The configuration schema: every key with its unit in the name and its range in the type.

The reason for each default stands in the shipped `config/defaults.yaml`, beside the value. A key that
is not here is an error that names the nearest one.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_SIX = Meta(min_length=6, max_length=6)
_THREE = Meta(min_length=3, max_length=3)
# A pose's angles are judged joint by joint too (config/checks.py).
PoseDeg = Annotated[tuple[Annotated[float, Meta(ge=-180, le=180)], ...], _SIX]
# No-load speed of the servo is 270 deg/s; below 1 a park takes a quarter of an hour.
SpeedsDegS = Annotated[tuple[Annotated[float, Meta(ge=1, le=270)], ...], _SIX]
# 10 needs 12 s to reach 120 deg/s; 5000 is what the motor's stall torque gives the bare gripper.
AccelerationsDegS2 = Annotated[tuple[Annotated[float, Meta(ge=10, le=5000)], ...], _SIX]
# An arm reaches 0.41 m, and two of them stand on one table.
PointM = Annotated[tuple[Annotated[float, Meta(ge=-2, le=2)], ...], _THREE]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are refused in every section."""


class Leader(_Section, frozen=True, kw_only=True):
    """A leader arm: a serial device and its calibration's id."""

    port: Name
    id: Name


class Arm(_Section, frozen=True, kw_only=True):
    """One follower arm, and its leader if there is one.

    `supply`: which servos on which brick; `auto`: what the selftest found, else 12 V ones.
    """

    port: Name
    id: Name
    leader: Leader | None = None
    base_xyz_m: PointM = (0.0, 0.0, 0.0)
    base_yaw_deg: Annotated[float, Meta(ge=-180, le=180)] = 0.0
    supply: Literal["auto", "12V", "7.4V", "5V"] = "auto"
    joint_offset_deg: PoseDeg = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Crop(_Section, frozen=True, kw_only=True):
    """The part of a camera's mode that becomes the picture. Pixels, from the mode's upper left."""

    left: Annotated[int, Meta(ge=0, le=8192)]
    top: Annotated[int, Meta(ge=0, le=8192)]
    of_width: Annotated[int, Meta(ge=16, le=8192)]
    of_height: Annotated[int, Meta(ge=16, le=8192)]


class Camera(_Section, frozen=True, kw_only=True):
    """One camera. `device`: a /dev/v4l/by-id name, a path, `plant` for the simulated one, or, on the
    simulated arm only, `synthetic` for a pattern of this size and rate that costs next to nothing.

    `view` is the simulated scene's camera that a `plant` one shows; None: the one of its own name.
    `width` and `height` are the picture's, after `crop` and `rotation_deg` (clockwise). `fovy_deg` is
    the picture's vertical field of view, noted with every episode and compared with the last one's.
    """

    device: Name
    view: Name | None = None
    width: Annotated[int, Meta(ge=16, le=3840)] = 640
    height: Annotated[int, Meta(ge=16, le=2160)] = 480
    fps: Annotated[int, Meta(ge=1, le=120)] = 30
    fovy_deg: Annotated[float, Meta(gt=1, lt=179)] | None = None
    rotation_deg: Literal[0, 90, 180, 270] = 0
    crop: Crop | None = None


class Control(_Section, frozen=True, kw_only=True):
    """The tick loop."""

    tick_hz: Annotated[int, Meta(ge=20, le=500)]
    read_deadline_ms: Annotated[float, Meta(gt=0.5, le=20)]
    realtime_priority: Annotated[int, Meta(ge=0, le=90)]
    cpu: Literal["auto", "none"] | Annotated[int, Meta(ge=0, le=1023)]
    command_stale_ms: Annotated[float, Meta(ge=20, le=2000)]
    supervisor_stale_s: Annotated[float, Meta(ge=0.2, le=30)]
    supervisor_gone_hold_s: Annotated[float, Meta(ge=0, le=600)]
    guard_silent_s: Annotated[float, Meta(ge=0.5, le=10)]
    guard_hold_s: Annotated[float, Meta(ge=0, le=60)]
    degraded_after_reads: Annotated[int, Meta(ge=1, le=100)]
    bus_fault_after_reads: Annotated[int, Meta(ge=1, le=100)]
    idle_release_s: Annotated[float, Meta(ge=0, le=86_400)]


class Limits(_Section, frozen=True, kw_only=True):
    """The gate's numbers, per arm. Six values are in joint order."""

    range_margin_deg: Annotated[float, Meta(ge=0, le=20)]
    step_deg: Annotated[float, Meta(ge=1, le=90)]
    speed_deg_s: SpeedsDegS
    acceleration_deg_s2: AccelerationsDegS2
    workspace_min_m: PointM
    workspace_max_m: PointM
    torque_limit_permille: Annotated[tuple[Annotated[int, Meta(ge=50, le=1000)], ...], _SIX]
    arming_torque_permille: Annotated[int, Meta(ge=20, le=500)]
    arming_ramp_s: Annotated[float, Meta(ge=0.1, le=10)]
    derate_from_c: Annotated[float, Meta(ge=30, le=75)]
    stop_at_c: Annotated[float, Meta(ge=35, le=80)]
    squeeze_deg: Annotated[float, Meta(ge=0.5, le=45)]
    release_speed_rad_s: Annotated[float, Meta(gt=0.02, le=0.5)]
    reset_torque_permille: Annotated[int, Meta(ge=100, le=1000)]
    untried_speed_deg_s: Annotated[float, Meta(ge=1, le=270)]
    untried_torque_permille: Annotated[int, Meta(ge=100, le=1000)]
    soft_start_s: Annotated[float, Meta(ge=0, le=5)]
    supply_dip_s: Annotated[float, Meta(ge=0.05, le=5)]
    supply_fault_s: Annotated[float, Meta(ge=0.1, le=30)]


class Protection(_Section, frozen=True, kw_only=True):
    """What is done about joints that push in vain, jaws that hold, and what the mirror finds."""

    stall_load_permille: Annotated[tuple[Annotated[int, Meta(ge=50, le=780)], ...], _SIX]
    stall_error_deg: Annotated[tuple[Annotated[float, Meta(ge=1, le=45)], ...], _SIX]
    stall_hold_deg: Annotated[tuple[Annotated[float, Meta(ge=0, le=20)], ...], _SIX]
    stall_current_a: Annotated[float, Meta(ge=0.1, le=5)]
    stall_ms: Annotated[float, Meta(ge=50, le=1500)]
    stall_fault_s: Annotated[float, Meta(ge=0.1, le=60)]
    stall_repeats: Annotated[int, Meta(ge=2, le=20)]
    stall_within_s: Annotated[float, Meta(ge=1, le=120)]
    grasp_squeeze_deg: Annotated[float, Meta(ge=0.5, le=5)]
    grasp_ms: Annotated[float, Meta(ge=50, le=2000)]
    twin_faults: tuple[
        Literal["stalled", "slipped", "collision", "joint_sign", "swapped_arm", "twin_diverged"],
        ...,
    ]
    twin_fault_ms: Annotated[float, Meta(ge=0, le=10_000)]


class Poses(_Section, frozen=True, kw_only=True):
    """Named poses of one arm, model frame."""

    home_deg: PoseDeg
    rest_deg: PoseDeg
    via_deg: PoseDeg
    move_speed_deg_s: Annotated[float, Meta(gt=1, le=120)]


class Obstacle(_Section, frozen=True, kw_only=True):
    """Something that stands around the arm and never moves, for the twin alone.

    `foot_m` is the middle of its underside, in the frame in which the arms' bases stand (one arm at
    the origin: its base frame). `size_m`: width, depth and height; a cylinder stands upright and is
    as wide as deep. `fingers`: they may touch it, as they may touch the table.
    """

    shape: Literal["box", "cylinder"]
    foot_m: PointM
    size_m: Annotated[tuple[Annotated[float, Meta(gt=0, le=4)], ...], _THREE]
    yaw_deg: Annotated[float, Meta(ge=-180, le=180)] = 0.0
    fingers: bool = False


class Twin(_Section, frozen=True, kw_only=True):
    """The mirror and the pre-flight."""

    enabled: bool
    verdict_budget_ms: Annotated[float, Meta(ge=1, le=1000)]
    late_rule: Literal["hold", "pass"]
    preflight: bool
    observation_stale_ms: Annotated[float, Meta(ge=50, le=60_000)]
    obstacles: dict[str, Obstacle] = {}


class Policy(_Section, frozen=True, kw_only=True):
    """How chunks are played."""

    n_action_steps: Annotated[int, Meta(ge=1, le=1000)]
    mode: Literal["auto", "chunk", "ensemble", "rtc"]
    crossfade_ms: Annotated[float, Meta(ge=0, le=5000)]
    rtc_horizon: Annotated[int, Meta(ge=0, le=128)]
    rtc_schedule: Literal["linear", "exp", "ones", "zeros"]
    rtc_max_weight: Annotated[float, Meta(gt=0, le=1000)]
    device: Name
    dtype: Literal["auto", "bf16", "f32"]
    backend: Literal["torch", "jax"]
    num_steps: Annotated[int, Meta(ge=0, le=100)]
    compile: Literal["auto", "off", "graphs", "full"]
    tokenizer: str
    embodiment: str
    seed: Annotated[int, Meta(ge=0)] | None


class Recording(_Section, frozen=True, kw_only=True):
    """Episodes and where they go."""

    fps: Annotated[int, Meta(ge=1, le=120)]
    robot_type: str
    video_crf: Annotated[int, Meta(ge=0, le=51)]
    encoder: Literal["auto", "x264", "nvenc", "vaapi"] = "auto"
    min_free_gb: Annotated[float, Meta(ge=0)]
    warn_left_min: Annotated[float, Meta(ge=0)] = 15.0
    frame_stale_ms: Annotated[float, Meta(gt=0)]
    environment_state: bool = False
    reset_s: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    keep_last_s: Annotated[float, Meta(ge=0, le=300)] = 0.0
    gate: Literal["flag", "hold"] = "flag"
    camera_change: Literal["refuse", "warn"] = "refuse"


class Simulation(_Section, frozen=True, kw_only=True):
    """The plant, only used with --sim."""

    seed: int
    task: str
    wire: Literal["1mbps", "zero"]
    supply: Literal["12V", "7.4V", "5V"] = "12V"


class Config(_Section, frozen=True, kw_only=True):
    """One robot."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,40}$")]
    arms: dict[str, Arm]
    cameras: dict[str, Camera]
    control: Control
    limits: Limits
    protection: Protection
    poses: Poses
    twin: Twin
    policy: Policy
    recording: Recording
    simulation: Simulation | None = None
