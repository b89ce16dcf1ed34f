"""The plant's cameras, in a process of their own: a renderer beside the servos would make their
replies late.

`python -m sim.plant.cameras --runtime DIR --options JSON` reads the world's pose from the slot
`DIR/plant/state` and appends what each camera sees to the ring `DIR/plant/camera-<name>`, stamped
with the time of the pose; `camera-<name>.json` says where it sits and how wide it sees. Each camera
has absolute deadlines of its own; a missed one is skipped and the phase kept. A pose already drawn
is not drawn again: when the plant stops, the pictures stop, as a camera's do. Ends on SIGTERM, or
when its parent is gone.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import mujoco

from robotd.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from robotd.errors import ModelError, RobotdError
from robotd.frames import FrameRingWriter
from robotd.shm import SlotReader
from sim.model.camera_identity import view_identity
from sim.model.render import SceneRenderer
from sim.model.scene import ArmPlacement, SceneOptions, build
from sim.plant.state_layout import STATE_FILE, state_layout
from sim.tasks.spec import kind_of, load_task

_STATE_WAIT_S = 30.0
_POLL_NS = 20 * NS_PER_MS
_NICENESS = 5
"""Below the servos: when the cores are short, a late picture hurts less than a late reply on the
bus."""


class PlantCamera(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One simulated camera. `view` is the model's camera; None means the camera's own name."""

    name: str
    width: int = 320
    height: int = 240
    fps: int = 15
    view: str | None = None
    frames_kept: int = 30  # two seconds at 15 fps: a recorder that hiccups loses nothing


class CamerasOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The command line's JSON. `arms` and `task` must be those of the plant, or the pose has
    another length."""

    cameras: tuple[PlantCamera, ...]
    arms: tuple[ArmPlacement, ...] = (ArmPlacement(),)
    task: str = "block_in_bowl"


class _Channel:
    """One camera: its deadlines and its ring."""

    def __init__(self, folder: Path, camera: PlantCamera, first_ns: int) -> None:
        self.view = camera.view or camera.name
        self.size = (camera.width, camera.height)
        self._first_ns = first_ns
        self._period_ns = NS_PER_S // camera.fps
        self.deadline_ns = first_ns
        self.drawn_ns = -1
        self._sequence = 0
        self._ring = FrameRingWriter(
            folder / f"camera-{camera.name}", camera.width, camera.height, camera.frames_kept
        )

    def append(self, stamp_ns: int, rgb: bytes) -> None:
        self._ring.append(stamp_ns, self._sequence, rgb)
        self._sequence += 1
        self.drawn_ns = stamp_ns

    def advance(self, now_ns: int) -> None:
        """Move to the next deadline that is not past, in phase with the first."""
        periods = max((now_ns - self._first_ns) // self._period_ns, 0) + 1
        self.deadline_ns = self._first_ns + periods * self._period_ns

    def close(self) -> None:
        self._ring.close()


def run_cameras(
    runtime: Path,
    options: CamerasOptions,
    clock: Clock,
    stopping: Callable[[], bool],
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Draw until `stopping()`; `ready` is called once, before the first picture.

    Raises ModelError when there is no model, no GL or no plant.
    """
    kind = kind_of(load_task(options.task))
    model = build(SceneOptions(use="plant", arms=options.arms, kind=kind))
    known = [model.camera(number).name for number in range(model.ncam)]
    for camera in options.cameras:
        if (camera.view or camera.name) not in known:
            raise ModelError(
                f"The simulated scene has no camera named {camera.view or camera.name!r}.",
                "The profile names a camera that only a real robot has.",
                f"Use one of: {', '.join(known)}.",
            )
    data = mujoco.MjData(model)
    folder = runtime / "plant"
    state = _open_state(folder / STATE_FILE, model.nq, clock, stopping)
    if state is None:
        return
    renderers = {
        size: SceneRenderer(model, *size)
        for size in {(camera.width, camera.height) for camera in options.cameras}
    }
    start_ns = clock.now_ns()
    channels = [
        # Spread over one period: two pictures at once would be a burst of work on two cores.
        _Channel(
            folder, camera, start_ns + number * NS_PER_S // (camera.fps * len(options.cameras))
        )
        for number, camera in enumerate(options.cameras)
    ]
    for camera in options.cameras:
        _describe(folder, camera, model)
    ready()
    try:
        while not stopping():
            channel = min(channels, key=lambda each: each.deadline_ns)
            clock.sleep_until_ns(channel.deadline_ns)
            record = state.read()
            if record is not None and record["stamp_ns"] != channel.drawn_ns:
                data.qpos[:] = record["qpos"]
                mujoco.mj_kinematics(model, data)
                mujoco.mj_comPos(model, data)
                mujoco.mj_camlight(model, data)
                picture = renderers[channel.size].render(data, channel.view)
                channel.append(record["stamp_ns"], picture.tobytes())
            channel.advance(clock.now_ns())
    finally:
        for channel in channels:
            channel.close()
        for renderer in renderers.values():
            renderer.close()
        state.close()


def _describe(folder: Path, camera: PlantCamera, model: mujoco.MjModel) -> None:
    """Say beside the ring what this camera is, as a USB camera's own files do."""
    path = folder / f"camera-{camera.name}.json"
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(view_identity(model, camera.view or camera.name)))
    part.replace(path)


def _open_state(
    path: Path, nq: int, clock: Clock, stopping: Callable[[], bool]
) -> SlotReader | None:
    """The plant's state slot once it exists; None when told to stop first."""
    give_up_ns = clock.now_ns() + int(_STATE_WAIT_S * NS_PER_S)
    while not stopping():
        try:
            return SlotReader(path, state_layout(nq))
        except FileNotFoundError as error:
            if clock.now_ns() > give_up_ns:
                raise ModelError(
                    f"The plant published no state for {_STATE_WAIT_S:.0f} s.",
                    "The plant's physics process did not start, or uses another runtime folder.",
                    "Look at its log: robotd logs",
                ) from error
        clock.sleep_until_ns(clock.now_ns() + _POLL_NS)
    return None


def _ready() -> None:
    sys.stdout.write("READY\n")  # so that clients see it running, not starting
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process: returns its exit status."""
    parser = argparse.ArgumentParser(prog="sim.plant.cameras", description=__doc__)
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--options", required=True, help="CamerasOptions as JSON")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="end when this one does")
    given = parser.parse_args(arguments)
    stop_signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop_signals.append(number))
    signal.signal(signal.SIGINT, lambda number, _: stop_signals.append(number))
    os.nice(_NICENESS)

    def stopping() -> bool:
        return bool(stop_signals) or os.getppid() != given.parent

    try:
        options = msgspec.json.decode(given.options, type=CamerasOptions)
        run_cameras(given.runtime, options, MonotonicClock(), stopping, _ready)
    except RobotdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
