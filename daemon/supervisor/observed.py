"""What the supervisor knows of the robot now: the newest tick, cameras, twin, policy, memory.

Refreshed ten times a second and read by every handler; nothing here changes anything.
"""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from config.joints import joint_names
from config.schema import Config
from daemon.control.realtime import resident_mb
from daemon.supervisor.children import Children
from daemon.supervisor.control_link import FrameWatch, LateSlot, ReportSlot, TickWatch
from daemon.supervisor.latency_watch import LatencyWatch
from daemon.supervisor.status import twin_status
from daemon.supervisor.timing_watch import TimingWatch
from robotd import layouts
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.messages import CameraStatus, TwinStatus
from robotd.paths import lerobot_home
from robotd.states import State

_TICK_STALE_NS = 500 * NS_PER_MS
_LEADER_STALE_NS = 500 * NS_PER_MS
_SLOW_NS = 2 * NS_PER_S


class Observed:
    """Readers of everything that other processes publish."""

    def __init__(self, config: Config, runtime: Path, clock: Clock, children: Children) -> None:
        joints = len(joint_names(config))
        self.ticks = TickWatch(runtime / "ticks", joints)
        self.reports = ReportSlot(runtime / "report")
        self.cameras: tuple[CameraStatus, ...] = ()
        self.twin = TwinStatus()
        self.twin_finding = (0, -1)  # what the mirror finds wrong, a `Fault`, and at which joint
        self.policy_slot: dict[str, Any] | None = None
        self.latency = LatencyWatch(runtime / "chunks")
        self.realtime: dict[str, Any] = {}
        self.timing = TimingWatch(runtime / "timing", joint_names(config))
        self.control_rss_mb = 0.0
        self.disk_free_gb: float | None = None
        self._config = config
        self._clock = clock
        self._children = children
        self._realtime_file = runtime / "realtime.json"
        self._frames = {name: FrameWatch(runtime / f"frames-{name}") for name in config.cameras}
        self._twin = LateSlot(runtime / "twin", layouts.twin_layout(joints))
        self._policy = LateSlot(runtime / "policy", layouts.POLICY)
        self._slow_ns = 0

    def tick(self) -> dict[str, Any] | None:
        """The newest tick, however old."""
        return self.ticks.latest()

    def fresh_tick(self) -> dict[str, Any] | None:
        """The newest tick, None when control is not ticking."""
        tick = self.ticks.latest()
        if tick is None or self._clock.now_ns() - tick["deadline_ns"] > _TICK_STALE_NS:
            return None
        return tick

    @property
    def state(self) -> State:
        """The motion state of the newest tick; disarmed before the first."""
        tick = self.ticks.latest()
        return State.DISARMED if tick is None else State(tick["state"])

    @property
    def leader_ready(self) -> bool:
        """Whether every leader arm answered lately."""
        tick = self.fresh_tick()
        return tick is not None and 0 <= tick["leader_age_ns"] < _LEADER_STALE_NS

    @property
    def leader_wanted(self) -> bool:
        return any(arm.leader is not None for arm in self._config.arms.values())

    def refresh(self) -> None:
        """Look at everything again."""
        now_ns = self._clock.now_ns()
        self.ticks.digest()
        self.timing.look(now_ns)
        self.cameras = tuple(
            self._camera(name, watch, now_ns) for name, watch in self._frames.items()
        )
        twin = self._twin.read()
        self.twin = twin_status(self._config, twin, now_ns)
        self.twin_finding = (0, -1) if twin is None else (twin["finding"], twin["finding_joint"])
        self.policy_slot = self._policy.read()
        self.latency.look()
        if now_ns - self._slow_ns > _SLOW_NS or not self.realtime:
            self._slow_ns = now_ns
            self._refresh_slow()

    def _refresh_slow(self) -> None:
        control = self._children.get("control")
        if control is not None and control.process is not None:
            self.control_rss_mb = resident_mb(control.process.pid)
        try:
            self.realtime = msgspec.json.decode(self._realtime_file.read_bytes(), type=dict)
        except (OSError, msgspec.DecodeError):
            self.realtime = {}  # control has not written it yet
        self.disk_free_gb = _free_gb(lerobot_home())

    def _camera(self, name: str, watch: FrameWatch, now_ns: int) -> CameraStatus:
        camera = self._config.cameras[name]
        age_ms, fps = watch.look(now_ns)
        return CameraStatus(
            name=name, age_ms=age_ms, fps=fps, width=camera.width, height=camera.height
        )


def _free_gb(folder: Path) -> float | None:
    """Free space where `folder` is or will be; None when its disk does not answer (EIO, EACCES, a
    mount that is gone): the arming list then says so."""
    try:
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free / 1e9
    except OSError:
        return None
