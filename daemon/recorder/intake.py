"""What rows are made from, as it comes: the ticks that are due, each with its pictures and world.

A row is made when each camera has shown a picture later than the row, so that the newest one before
it is known, or after a short wait without one. Nothing here waits.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from config.schema import Camera, Config
from daemon.recorder.follow import (
    ChunkFollower,
    FrameFollower,
    RowTick,
    TickFollower,
    WorldFollower,
)
from daemon.recorder.journal import Frames
from daemon.recorder.rows import JOINTS_PER_ARM, Body, make_row
from daemon.recorder.schema import Row
from daemon.recorder.takeover import Takeovers
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.errors import CameraError, StateError
from robotd.frames import Frame
from robotd.states import Source, State

_PICTURE_WAIT_NS = 120 * NS_PER_MS  # a USB picture of before the row may still be on its way
_PICTURES_SAFE_NS = NS_PER_S  # camera processes keep two seconds of them
_TICKS_STALE_NS = NS_PER_S

_FROZEN_MS = 1000.0
"""A picture this old is of the past: the arming list says so from here on too."""


class Intake:
    """The inputs of one robot's episodes. `gaps`, `repeated` and `takeovers` count since `begin`."""

    def __init__(self, config: Config, body: Body, runtime: Path, clock: Clock) -> None:
        self.gaps = 0  # rows that could not be made
        self.repeated = 0  # pictures written again, or too old
        self._config = config
        self._body = body
        self._clock = clock
        joints = JOINTS_PER_ARM * len(config.arms)
        self._ticks = TickFollower(runtime / "ticks", joints, body.ticks_per_row)
        self._cameras = {name: FrameFollower(runtime / f"frames-{name}") for name in config.cameras}
        self._world = WorldFollower(runtime / "plant" / "environment_state")
        self._chunks = ChunkFollower(runtime / "chunks")
        self._waiting: deque[RowTick] = deque()
        self._last_capture_ns: dict[str, int] = {}
        self._pictures_before: dict[str, Frame] = {}
        self._takeovers = Takeovers()

    @property
    def takeovers(self) -> int:
        """How often a person took the arm over from a policy."""
        return self._takeovers.count

    @property
    def broken(self) -> bool:
        """Whether control was started again since `begin`: rows before and after are not one run,
        and none after it are given."""
        return self._ticks.replaced

    def check(self) -> None:
        """Raise StateError or CameraError when an episode begun now would have nothing to show."""
        now_ns = self._clock.now_ns()
        tick = self._ticks.latest()
        if tick is None or now_ns - tick["deadline_ns"] > _TICKS_STALE_NS:
            raise StateError(
                "The control loop gives no ticks.",
                "It is starting, or it ended.",
                "Look: robotd status; robotd logs control.",
            )
        for name, camera in self._cameras.items():
            self._check_camera(name, camera, self._config.cameras[name], now_ns)

    def _check_camera(self, name: str, camera: FrameFollower, wanted: Camera, now_ns: int) -> None:
        frame = camera.newest_at(now_ns)
        if frame is None:
            raise CameraError(
                f"Camera {name} has given no picture.",
                "It is unplugged, or another program has it.",
                f"Look: robotd logs camera-{name}. Recording needs every camera.",
            )
        if camera.size() != (wanted.width, wanted.height):
            raise CameraError(
                f"Camera {name} gives {camera.size()} pixels, not {(wanted.width, wanted.height)}.",
                "The device has no such mode.",
                f"Set cameras.{name}.width and height to a mode that it has.",
            )
        # A busy moment delays pictures and is no reason to refuse; a camera that fell out is.
        stale_ms = max(_FROZEN_MS, self._config.recording.frame_stale_ms + 1000 / wanted.fps)
        age_ms = (now_ns - frame.stamp_ns) / NS_PER_MS
        if age_ms > stale_ms:
            raise CameraError(
                f"Camera {name} stands still: its newest picture is {age_ms / 1000:.1f} s old.",
                "It was unplugged, it hangs, or the machine is too busy to read it.",
                f"Look: robotd status; robotd logs camera-{name}. Unplug and replug the camera.",
            )

    def begin(self) -> None:
        """Start an episode with the next row that is not yet due."""
        self._ticks.begin()
        self._waiting.clear()
        self._last_capture_ns = {}
        self._pictures_before = {}
        self._takeovers = Takeovers()
        self.gaps = self.repeated = 0

    def moving(self) -> bool:
        """Whether somebody has the arm now."""
        tick = self._ticks.latest()
        return (
            tick is not None
            and State(tick["state"]).moving
            and self._clock.now_ns() - tick["deadline_ns"] <= _TICKS_STALE_NS
        )

    def under_way(self) -> int:
        """How many rows have their tick and still wait for a picture."""
        self._waiting.extend(self._ticks.rows())
        return len(self._waiting)

    def sample_world(self) -> None:
        """Take what the plant says of the objects, where this is recorded."""
        if self._config.recording.environment_state:
            self._world.sample()

    def due(self, crowded: Callable[[], bool] = lambda: False) -> Iterator[RowTick]:
        """The rows whose pictures are known by now, oldest first. While it is `crowded` behind
        them, a row stays as long as its pictures are safe in their rings."""
        self._waiting.extend(self._ticks.rows())
        now_ns = self._clock.now_ns()
        while self._waiting and self._settled(self._waiting[0], now_ns):
            waited_ns = now_ns - int(self._waiting[0].tick["deadline_ns"])
            if waited_ns < _PICTURES_SAFE_NS and crowded():
                return
            yield self._waiting.popleft()

    def rest(self) -> Iterator[RowTick]:
        """Every row whose tick is there, whichever pictures are."""
        self._waiting.extend(self._ticks.rows())
        while self._waiting:
            yield self._waiting.popleft()

    def _settled(self, row: RowTick, now_ns: int) -> bool:
        deadline_ns = int(row.tick["deadline_ns"])
        if now_ns - deadline_ns > _PICTURE_WAIT_NS:
            return True
        return all(camera.passed(deadline_ns) for camera in self._cameras.values())

    def row(self, row_tick: RowTick, task: str) -> tuple[Row, Frames] | None:
        """The row and its frames; None, a gap, where a camera has nothing to show."""
        self.gaps += row_tick.rows_lost
        deadline_ns = int(row_tick.tick["deadline_ns"])
        pictures: dict[str, Frame] = {}
        for name, camera in self._cameras.items():
            frame = camera.newest_at(deadline_ns) or self._pictures_before.get(name)
            if frame is None:
                self.gaps += 1  # the camera was replaced in the middle and has not started again
                return None
            pictures[name] = frame
        self._pictures_before = pictures
        world = None
        if self._config.recording.environment_state:
            world = self._world.newest_at(deadline_ns)
        row, frames = make_row(
            self._body, row_tick.tick, task, pictures, self._last_capture_ns, world
        )
        source, takeover = self._takeovers.of(Source(row_tick.tick["source"]))
        evidence = replace(
            row.evidence,
            source=source,
            intervention_id=takeover,
            chunk_latency_us=self._chunks.stages_us(row.evidence.chunk_id),
        )
        row = replace(row, evidence=evidence)
        self._last_capture_ns = dict(evidence.capture_ns)
        self.repeated += sum(row.evidence.repeated.values())
        return row, frames
