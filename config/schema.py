"""The configuration schema: every key with its unit in the name and its range in the type.

The reason for each default stands in the shipped `config/defaults.yaml`, beside the value. A key that
is not here is an error that names the nearest one.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PositiveInt = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Six = Annotated[tuple[float, ...], Meta(min_length=6, max_length=6)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are refused in every section."""


class Leader(_Section, frozen=True, kw_only=True):
    """A leader arm: a serial device and its calibration's id."""

    port: str
    id: str


class Arm(_Section, frozen=True, kw_only=True):
    """One follower arm, and its leader if there is one."""

    port: str
    id: str
    leader: Leader | None = None
    base_xyz_m: Annotated[tuple[float, ...], Meta(min_length=3, max_length=3)] = (0.0, 0.0, 0.0)
    base_yaw_deg: Annotated[float, Meta(ge=-180, le=180)] = 0.0
    joint_offset_deg: Six = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Camera(_Section, frozen=True, kw_only=True):
    """One camera. `device`: a /dev/v4l/by-id name, a path, or `plant` for the simulated one."""

    device: str
    width: Annotated[int, Meta(ge=16, le=3840)] = 640
    height: Annotated[int, Meta(ge=16, le=2160)] = 480
    fps: Annotated[int, Meta(ge=1, le=120)] = 30
    fovy_deg: Annotated[float, Meta(gt=1, lt=179)] | None = None


class Control(_Section, frozen=True, kw_only=True):
    """The tick loop."""

    tick_hz: Annotated[int, Meta(ge=20, le=500)]
    read_deadline_ms: Annotated[float, Meta(gt=0.5, le=20)]
    realtime_priority: Annotated[int, Meta(ge=0, le=90)]
    command_stale_ms: Annotated[float, Meta(ge=20, le=2000)]
    supervisor_stale_s: Annotated[float, Meta(ge=0.2, le=30)]
    supervisor_gone_hold_s: Annotated[float, Meta(ge=0, le=600)]
    degraded_after_reads: PositiveInt
    bus_fault_after_reads: PositiveInt
    idle_release_s: NonNegative


class Limits(_Section, frozen=True, kw_only=True):
    """The gate's numbers, per arm. Six values are in joint order."""

    range_margin_deg: NonNegative
    step_deg: Positive
    speed_deg_s: Six
    acceleration_deg_s2: Six
    workspace_min_m: Annotated[tuple[float, ...], Meta(min_length=3, max_length=3)]
    workspace_max_m: Annotated[tuple[float, ...], Meta(min_length=3, max_length=3)]
    torque_limit_permille: Annotated[
        tuple[Annotated[int, Meta(ge=50, le=1000)], ...], Meta(min_length=6, max_length=6)
    ]
    arming_torque_permille: Annotated[int, Meta(ge=20, le=500)]
    arming_ramp_s: Annotated[float, Meta(ge=0.1, le=10)]
    derate_from_c: Annotated[float, Meta(ge=30, le=75)]
    stop_at_c: Annotated[float, Meta(ge=35, le=80)]
    squeeze_deg: Positive
    release_speed_rad_s: Annotated[float, Meta(gt=0.02, le=0.5)]


class Poses(_Section, frozen=True, kw_only=True):
    """Named poses of one arm, model frame."""

    home_deg: Six
    rest_deg: Six
    via_deg: Six
    move_speed_deg_s: Annotated[float, Meta(gt=1, le=120)]


class Twin(_Section, frozen=True, kw_only=True):
    """The mirror and the pre-flight."""

    enabled: bool
    verdict_budget_ms: Annotated[float, Meta(ge=1, le=1000)]
    late_rule: Literal["hold", "pass"]
    preflight: bool


class Policy(_Section, frozen=True, kw_only=True):
    """How chunks are played."""

    n_action_steps: PositiveInt
    crossfade_ms: NonNegative
    device: str


class Recording(_Section, frozen=True, kw_only=True):
    """Episodes and where they go."""

    fps: Annotated[int, Meta(ge=1, le=120)]
    robot_type: str
    video_crf: Annotated[int, Meta(ge=0, le=51)]
    min_free_gb: NonNegative
    frame_stale_ms: Positive
    environment_state: bool = False


class Simulation(_Section, frozen=True, kw_only=True):
    """The plant, only used with --sim."""

    seed: int
    task: str
    wire: Literal["1mbps", "zero"]


class Config(_Section, frozen=True, kw_only=True):
    """One robot."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,40}$")]
    arms: dict[str, Arm]
    cameras: dict[str, Camera]
    control: Control
    limits: Limits
    poses: Poses
    twin: Twin
    policy: Policy
    recording: Recording
    simulation: Simulation | None = None
