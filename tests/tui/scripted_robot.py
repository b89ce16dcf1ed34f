"""A scripted robot for the screen: states and pictures from a test's own list, requests kept and
answered.

The clock stands still until a test moves it, so that every age on a picture is the same in each
run."""

import math
import queue
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robotd import messages
from robotd.errors import RobotdError
from robotd.frames import Frame

NOW_NS = 1_000_000_000_000
JOINTS = (
    "shoulder_pan",
    "shoulder_lift",
    "elbow_flex",
    "wrist_flex",
    "wrist_roll",
    "gripper",
)
PROCESSES = ("control", "twin", "recorder", "camera-overhead", "camera-wrist", "plant")
INSTANCE = messages.Instance(
    name="so101-sim",
    pid=1,
    boot_id="boot",
    simulated=True,
    joints=JOINTS,
    cameras=("overhead", "wrist"),
    tick_hz=120,
    fps=15,
)


class StillClock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.at_ns = NOW_NS

    def now_ns(self) -> int:
        return self.at_ns

    def sleep_until_ns(self, deadline_ns: int) -> None:
        self.at_ns = max(self.at_ns, deadline_ns)


def joint(name: str, at: float, goal: float | None = None, **changes: Any) -> messages.JointStatus:
    """One joint at `at` degrees (percent for the gripper), asked to go to `goal`."""
    wanted = at if goal is None else goal
    values: dict[str, Any] = {
        "name": name,
        "position_rad": math.radians(at),
        "position_units": at,
        "requested_rad": math.radians(wanted),
        "applied_rad": math.radians(wanted),
        "applied_units": wanted,
        "requested_units": wanted,
        "age_ms": 4.0,
        "temperature_c": 38.0,
        "load_percent": 11.0,
        "voltage_v": 12.1,
        "current_a": 0.2,
        "torque_limit_percent": 100.0,
        "limited_by": "",
        "status": 0,
    }
    return messages.JointStatus(**(values | changes))


POSE = (12.4, -31.2, 48.0, 61.5, -1.0, 2.0)


def status(**changes: Any) -> messages.Status:
    """A quiet, disarmed arm; `changes` make it anything else."""
    values: dict[str, Any] = {
        "name": "so101-sim",
        "simulated": True,
        "state": "disarmed",
        "torque": "off",
        "source": "none",
        "stamp_ns": NOW_NS,
        "uptime_s": 812.0,
        "handover_version": 4,
        "estop_presses": 0,
        "joints": tuple(joint(name, at) for name, at in zip(JOINTS, POSE, strict=True)),
        "cameras": (
            messages.CameraStatus(name="overhead", age_ms=33, fps=15, width=320, height=240),
            messages.CameraStatus(name="wrist", age_ms=31, fps=15, width=320, height=240),
        ),
        "loop": messages.LoopStatus(
            tick_hz=120,
            ticks=97_440,
            missed_ticks=0,
            late_p50_us=60,
            late_p99_us=310,
            read_p50_us=900,
            read_p99_us=1400,
            age_ms=5,
            scheduler="other",
            memory_locked=True,
            rss_mb=62,
        ),
        "twin": messages.TwinStatus(
            alive=True, residual_deg=(0.2, 1.1, 0.8, 0.1, 0.0, 0.3), park_clear=True
        ),
        "recording": messages.RecordingStatus(disk_left_s=22_200.0),
        "leader_ready": True,
        "processes": dict.fromkeys(
            ("control", "twin", "recorder", "camera-overhead", "camera-wrist", "plant"), "running"
        ),
    }
    return messages.Status(**(values | changes))


EPISODES = (
    messages.EpisodeLine(
        index=13, seconds=30.0, frames=450, outcome="interrupted", note="recovered"
    ),
    messages.EpisodeLine(index=14, seconds=8.0, frames=120, outcome="fail"),
    messages.EpisodeLine(
        index=15, seconds=11.0, frames=165, outcome="success", note="overhead 3 repeats"
    ),
    messages.EpisodeLine(index=16, seconds=9.0, frames=135, outcome="success"),
)


def recording_status(phase: str, **changes: Any) -> messages.RecordingStatus:
    """A session with sixteen episodes kept."""
    values: dict[str, Any] = {
        "phase": phase,
        "dataset": "local/block-in-bowl",
        "task": "pick up the block and place it in the bowl",
        "episodes_wanted": 50,
        "episodes_kept": 16,
        "frames": 111,
        "elapsed_s": 7.4,
        "limit_s": 30.0,
        "disk_left_s": 22_200.0,
        "episodes": EPISODES,
    }
    return messages.RecordingStatus(**(values | changes))


def scene(camera: str, width: int = 320, height: int = 240) -> np.ndarray:
    """A drawn table with a block and a bowl, so that a picture can be recognised."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.array([height, width])[:, None, None]
    rgb = np.empty((height, width, 3), np.float32)
    rgb[:] = (204, 196, 184)
    rgb *= (0.82 + 0.18 * (1 - y))[..., None]
    shift = 0.0 if camera == "overhead" else 0.12
    block = (abs(x - 0.28 - shift) < 0.07) & (abs(y - 0.4) < 0.05)
    rgb[block] = (204, 30, 24)
    ring = ((x - 0.7) * width) ** 2 + ((y - 0.6) * height) ** 2
    rgb[ring < 44**2] = (41, 117, 148)
    rgb[ring < 34**2] = (28, 84, 108)
    arm = (abs(x - 0.5 - shift + 0.25 * (y - 0.5)) < 0.035) & (y > 0.35)
    rgb[arm] = (245, 168, 36)
    return rgb.astype(np.uint8)


@dataclass
class ScriptedBackend:
    """Answers what a test told it to. Thread-safe in the few places threads meet."""

    instance: messages.Instance = INSTANCE
    pictures: bool = True
    presses: int = 0
    requests: list[messages.AnyRequest] = field(default_factory=list)
    answers: dict[type, dict[str, Any] | RobotdError] = field(default_factory=dict)
    hold_back: threading.Event | None = None
    slow: dict[type, threading.Event] = field(default_factory=dict)
    closed: bool = False
    picture_ns: int = NOW_NS - 33_000_000

    def __post_init__(self) -> None:
        self._states: queue.Queue[messages.Status] = queue.Queue()

    def publish(self, state: messages.Status) -> None:
        """The next state that the screen sees."""
        self._states.put(state)

    def watch(self, timeout_s: float) -> messages.Status | None:
        try:
            return self._states.get(timeout=min(timeout_s, 0.05))
        except queue.Empty:
            return None

    def requester(self) -> "ScriptedBackend._Line":
        return ScriptedBackend._Line(self)

    def frame(self, camera: str) -> Frame | None:
        if not self.pictures:
            return None
        rgb = scene(camera)
        height, width = rgb.shape[:2]
        return Frame(0, self.picture_ns, 0, width, height, rgb.tobytes())

    def estop(self) -> int:
        self.presses += 1
        return self.presses

    def close(self) -> None:
        self.closed = True

    class _Line:
        def __init__(self, backend: "ScriptedBackend") -> None:
            self._backend = backend

        def request(
            self, request: messages.AnyRequest, timeout_s: float | None = None
        ) -> dict[str, Any]:
            self._backend.requests.append(request)
            stopping = isinstance(request, messages.Hold)
            if self._backend.hold_back is not None and not stopping:
                self._backend.hold_back.wait(10)
            if type(request) in self._backend.slow:
                self._backend.slow[type(request)].wait(10)
            answer = self._backend.answers.get(type(request), {})
            if isinstance(answer, RobotdError):
                raise answer
            return answer

        def close(self) -> None: ...
