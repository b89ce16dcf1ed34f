"""A camera process: `python -m daemon.camera --runtime DIR --name NAME`.

One device, one ring `frames-NAME`, each picture stamped at capture. A camera that is unplugged is
tried again for ever, further and further apart, with one log line when it goes and one when it is
back; nothing else notices but by the age of its pictures. Prints READY at the first picture. Ends
on SIGTERM, or when the supervisor is gone.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from config.schema import Camera, Config
from daemon.framing import framed, mode_size
from drivers.cameras.ring import RingCamera
from drivers.cameras.source import CapturedFrame, FrameSource, RgbImage
from drivers.cameras.synthetic import SYNTHETIC, SyntheticCamera
from robotd.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from robotd.errors import CameraError
from robotd.frames import FrameRingWriter

log = logging.getLogger("camera")

PLANT = "plant"
_KEPT_S = 2.0  # pictures a slow reader may lag behind; the recorder's spill
_READ_S = 0.5
_SILENT_READS = 4  # two seconds without a picture: the device is there but stuck, open it again
_FIRST_BACKOFF_NS = 200 * NS_PER_MS
_LONGEST_BACKOFF_NS = 5 * NS_PER_S


class CameraPump:
    """Moves frames from a source to a ring, each cut and turned by `framing`; owns the reconnecting."""

    def __init__(
        self,
        source: FrameSource,
        open_ring: Callable[[], FrameRingWriter],
        clock: Clock,
        ready: Callable[[], None],
        framing: Callable[[RgbImage], RgbImage] = lambda rgb: rgb,
    ) -> None:
        self._source = source
        self._framing = framing
        self._open_ring = open_ring
        self._ring: FrameRingWriter | None = None
        self._clock = clock
        self._ready = ready
        self._opened = False
        self._silent = 0
        self._backoff_ns = _FIRST_BACKOFF_NS
        self._complaint = ""

    def step(self) -> None:
        """Read one frame, or try once to open the camera. Waits no longer than its time limits."""
        if not self._opened and not self._open():
            self._clock.sleep_until_ns(self._clock.now_ns() + self._backoff_ns)
            self._backoff_ns = min(2 * self._backoff_ns, _LONGEST_BACKOFF_NS)
            return
        try:
            frame = self._source.read(_READ_S)
        except CameraError as error:
            self._lost(error)
            return
        if frame is not None:
            self._take(frame)
            return
        self._silent += 1
        if self._silent >= _SILENT_READS:
            self._lost(
                CameraError(
                    f"Camera {self._source.identity} gives no pictures.",
                    "The device is stuck, or the USB bus has no room for it.",
                    "It is opened again by itself; if that does not help, plug it in again.",
                )
            )

    def close(self) -> None:
        self._source.close()
        if self._ring is not None:
            self._ring.close()

    def _open(self) -> bool:
        try:
            self._source.open()
        except CameraError as error:
            self._complain(error)
            return False
        self._opened = True
        self._silent = 0
        return True

    def _take(self, frame: CapturedFrame) -> None:
        self._silent = 0
        self._backoff_ns = _FIRST_BACKOFF_NS
        first = self._ring is None
        if self._ring is None:
            self._ring = self._open_ring()
        self._ring.append(frame.stamp_ns, frame.sequence, self._framing(frame.rgb).tobytes())
        if first:
            log.info("%s: %s", self._source.identity, self._source.settings)
            self._ready()
        elif self._complaint:
            log.warning("%s: back", self._source.identity)
        self._complaint = ""

    def _lost(self, error: CameraError) -> None:
        self._complain(error)
        self._source.close()
        self._opened = False

    def _complain(self, error: CameraError) -> None:
        if error.what != self._complaint:
            log.warning("%s", error)
        self._complaint = error.what


def make_source(name: str, camera: Camera, runtime: Path, clock: Clock) -> FrameSource:
    """The source that the configuration names: the plant's ring, a pattern, or a V4L2 device."""
    if camera.device == PLANT:
        return RingCamera(runtime / PLANT / f"camera-{name}", camera.fps, clock)
    if camera.device == SYNTHETIC:
        return SyntheticCamera(name, camera.width, camera.height, camera.fps, clock)
    from drivers.cameras.v4l2 import V4l2Camera

    return V4l2Camera(camera.device, *mode_size(camera), camera.fps, clock)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m daemon.camera", description=__doc__)
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    runtime: Path = arguments.runtime
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    supervisor = os.getppid()
    config = msgspec.json.decode((runtime / "config.json").read_bytes(), type=Config)
    camera = config.cameras[arguments.name]
    clock = MonotonicClock()

    def open_ring() -> FrameRingWriter:
        capacity = max(8, round(_KEPT_S * camera.fps))
        path = runtime / f"frames-{arguments.name}"
        return FrameRingWriter(path, camera.width, camera.height, capacity)

    def ready() -> None:
        sys.stdout.write("READY\n")
        sys.stdout.flush()

    source = make_source(arguments.name, camera, runtime, clock)
    pump = CameraPump(source, open_ring, clock, ready, partial(framed, camera=camera))
    try:
        while not ending and os.getppid() == supervisor:
            pump.step()
    finally:
        pump.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
