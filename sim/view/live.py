"""What a running robot looks like now: reads its shared memory and composes one picture of it.

Only a reader: it opens the rings and slots that the daemon's processes write and never sends
anything. Files that are not there yet, or that a restarted daemon replaced, are opened when they
appear."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from config.schema import Config
from robotd.clock import NS_PER_S, Clock, MonotonicClock
from robotd.errors import DaemonError
from robotd.frames import FrameRingReader
from robotd.layouts import plan_layout, tick_layout
from robotd.messages import Instance, Status
from robotd.shm import LayoutError, RingReader, SlotReader
from robotd.states import Source, State, Torque
from sim.model.scene import ArmPlacement
from sim.plant.state_layout import STATE_FILE, state_layout
from sim.tasks.spec import kind_of, load_task
from sim.view.compose import CameraPicture, Caption, Rgb, compose
from sim.view.seen import Seen, packed
from sim.view.twin import TwinPicture
from sim.view.whiskers import Whiskers

TRUTH_NOTE = "left: the twin, posed from measured joints; objects: the simulator's truth"
REAL_NOTE = "left: the twin, posed from measured joints; it knows nothing of objects"


def arm_placements(config: Config) -> tuple[ArmPlacement, ...]:
    """Where the configured arms stand; one arm has no prefix, two have their names."""
    single = len(config.arms) == 1
    return tuple(
        ArmPlacement(
            prefix="" if single else f"{name}_",
            x_m=arm.base_xyz_m[0],
            y_m=arm.base_xyz_m[1],
            yaw_rad=math.radians(arm.base_yaw_deg),
        )
        for name, arm in config.arms.items()
    )


STATUS_OLD_NS = 2 * NS_PER_S
"""States come ten times a second: after this long without one, its last words are no news."""


class LiveView:
    """Pictures of one running robot. Holds GL objects: one thread; close it.

    Raises DaemonError when the runtime folder has no readable configuration, ModelError when
    nothing can be drawn."""

    def __init__(
        self,
        runtime: Path,
        instance: Instance,
        pretty: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._runtime = runtime
        self._instance = instance
        self._clock = clock or MonotonicClock()
        config = _config(runtime)
        simulated = config.simulation
        kind = "place" if simulated is None else kind_of(load_task(simulated.task))
        self._twin = TwinPicture(
            arm_placements(config), objects=instance.simulated, pretty=pretty, kind=kind
        )
        self._whiskers = Whiskers(config)
        self._open: dict[str, tuple[int, Any]] = {}
        self._rest = (0.0,) * len(instance.joints)

    def parts(self, status: Status | None = None) -> tuple[Rgb, list[CameraPicture], Caption]:
        """What `compose` takes, as things are now: twin, cameras, words.

        `status` adds what shared memory does not say: episode and policy.
        """
        tick = self._tick()
        position_rad = self._rest if tick is None else tick["present_position_rad"]
        lines = self._whiskers.of(self._plan(), tick, self._clock.now_ns())
        twin = self._twin.draw(position_rad, self._truth(), lines)
        return twin, self._cameras(), self._caption(tick, status)

    def moment(self, status: Status | None = None) -> Seen:
        """How things are now, to be looked at later too: `drawn` makes the picture of it."""
        tick = self._tick()
        position_rad = self._rest if tick is None else tick["present_position_rad"]
        lines = self._whiskers.of(self._plan(), tick, self._clock.now_ns())
        cameras = tuple(packed(camera) for camera in self._cameras())
        return Seen(position_rad, self._truth(), lines, cameras, self._caption(tick, status))

    def drawn(self, seen: Seen) -> tuple[Rgb, list[CameraPicture], Caption]:
        """What `compose` takes, as things were at that moment."""
        return seen.drawn(self._twin)

    def picture(self, status: Status | None = None) -> Rgb:
        """The robot as it is now, words and all: uint8 [546, 964, 3] with cameras."""
        return compose(*self.parts(status))

    def close(self) -> None:
        """Close every reader and free the GL objects."""
        for _, reader in self._open.values():
            reader.close()
        self._open.clear()
        self._twin.close()

    def _tick(self) -> dict[str, Any] | None:
        layout = tick_layout(len(self._instance.joints))
        ring = self._reader("ticks", lambda path: RingReader(path, layout))
        return None if ring is None else ring.latest()

    def _plan(self) -> dict[str, Any] | None:
        """The newest plan with its verdict: what an arm follows, or what a shadow would do."""
        layout = plan_layout(len(self._instance.joints))
        slot = self._reader("plan", lambda path: SlotReader(path, layout))
        return None if slot is None else slot.read()

    def _truth(self) -> tuple[float, ...] | None:
        if not self._instance.simulated:
            return None
        layout = state_layout(self._twin.positions)
        slot = self._reader(f"plant/{STATE_FILE}", lambda path: SlotReader(path, layout))
        record = None if slot is None else slot.read()
        return None if record is None else record["qpos"]

    def _cameras(self) -> list[CameraPicture]:
        pictures = []
        now_ns = self._clock.now_ns()
        for name in self._instance.cameras:
            ring = self._reader(f"frames-{name}", FrameRingReader)
            frame = None if ring is None else ring.latest()
            if frame is None:
                pictures.append(CameraPicture(name))
                continue
            rgb = np.frombuffer(frame.rgb, np.uint8).reshape(frame.height, frame.width, 3)
            pictures.append(CameraPicture(name, rgb, (now_ns - frame.stamp_ns) / 1e6))
        return pictures

    def _caption(self, tick: dict[str, Any] | None, status: Status | None) -> Caption:
        note = TRUTH_NOTE if self._instance.simulated else REAL_NOTE
        recording = ""
        if status is not None and self._clock.now_ns() - status.stamp_ns > STATUS_OLD_NS:
            recording = "DAEMON SILENT"  # the loop may live on; what it records nobody knows
        elif status is not None:
            if status.policy.phase == "running" and status.policy.told:
                note = f"the policy is told {status.policy.told}; {note}"
            if status.shadow.phase == "running":
                shadow = status.shadow
                recording = f"SHADOW {shadow.refused} of {shadow.chunks} refused"
            if status.recording.phase == "recording":
                number = status.recording.episodes_kept + 1
                recording = f"REC {number}  {status.recording.elapsed_s:.1f} s"
        if tick is None:
            return Caption(self._instance.name, self._instance.simulated, None, note=note)
        return Caption(
            robot=self._instance.name,
            simulated=self._instance.simulated,
            state=State(tick["state"]),
            detail=_detail(tick),
            recording=recording,
            note=note,
            age_ms=(self._clock.now_ns() - tick["read_ns"]) / 1e6,
        )

    def _reader(self, name: str, make: Callable[[Path], Any]) -> Any:
        """The reader of a file, opened anew when it was replaced; None while there is none."""
        path = self._runtime / name
        try:
            file = path.stat().st_ino
            known = self._open.get(name)
            if known is not None and known[0] == file:
                return known[1]
            reader = make(path)
        except (FileNotFoundError, LayoutError):
            return None
        if known is not None:
            known[1].close()  # of a daemon that was here before
        self._open[name] = (file, reader)
        return reader


def _detail(tick: dict[str, Any]) -> str:
    """Who moves the arm, and its torque, in words."""
    torque = f"torque {Torque(tick['torque']).name.lower()}"
    source = Source(tick["source"])
    if State(tick["state"]).moving and source not in (Source.NONE, Source.HOLD):
        return f"{source.name.lower()}, {torque}"
    return torque


def _config(runtime: Path) -> Config:
    try:
        return msgspec.json.decode((runtime / "config.json").read_bytes(), type=Config)
    except (OSError, msgspec.DecodeError) as error:
        raise DaemonError(
            f"The configuration of the running robot could not be read: {error}.",
            "The daemon ended just now, or it is of another version.",
            "Look: robotd status. Start it again if it has ended.",
        ) from error
