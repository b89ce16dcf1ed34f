"""The screen's only way to the robot: states in, requests out, pictures, and the e-stop.

`Backend` is what the app is written against; `RobotBackend` is the real one over `robotd.client`.
Every method may block except `estop` and is called from a thread of its own, never from the event
loop."""

from pathlib import Path
from typing import Any, Protocol

from robotd import messages
from robotd.client import Robot, choose_instance
from robotd.errors import DaemonError
from robotd.estop import EstopCounter
from robotd.frames import Frame, FrameRingReader
from robotd.paths import runtime_dir
from robotd.shm import LayoutError


class Requester(Protocol):
    """One line to the daemon. Used by one thread."""

    def request(
        self, request: messages.AnyRequest, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Send and wait. Raises RobotdError when refused or not answered."""
        ...

    def close(self) -> None:
        """Give the line back. Changes nothing on the robot."""
        ...


class Backend(Protocol):
    """What the record screen needs of a robot."""

    @property
    def instance(self) -> messages.Instance:
        """The daemon that is shown."""
        ...

    def watch(self, timeout_s: float) -> messages.Status | None:
        """The next published state, or None when none came in time. One thread calls this."""
        ...

    def requester(self) -> Requester:
        """A new line for requests, for a thread of its own."""
        ...

    def frame(self, camera: str) -> Frame | None:
        """The newest picture of a camera, None before the first. One thread calls this."""
        ...

    def estop(self) -> int:
        """Press the software e-stop; returns the count. Never blocks, asks nobody."""
        ...

    def close(self) -> None:
        """Give everything back. Changes nothing on the robot."""
        ...


class RobotBackend:
    """The daemon called `name` (or the only one). Raises DaemonError when there is none.

    ZeroMQ reconnects by itself when a daemon comes back under the same name. Mapped files do not:
    the e-stop counter is opened anew at each press and a frame ring when its file was replaced, so
    neither can point at a dead daemon."""

    def __init__(self, name: str | None) -> None:
        self.instance = choose_instance(name)
        self._runtime = runtime_dir(self.instance.name)
        self._watcher = Robot(self.instance)
        self._rings: dict[str, tuple[int, FrameRingReader]] = {}

    def watch(self, timeout_s: float) -> messages.Status | None:
        return self._watcher.watch(timeout_s)

    def requester(self) -> Requester:
        return Robot(self.instance)

    def frame(self, camera: str) -> Frame | None:
        ring = self._ring(self._runtime / f"frames-{camera}", camera)
        return None if ring is None else ring.latest()

    def estop(self) -> int:
        try:
            counter = EstopCounter(self._runtime)
        except OSError as error:
            raise DaemonError(
                "The software e-stop could not be pressed: its file is gone.",
                "No daemon runs under this name any more.",
                "Pull the plug if the arm moves.",
            ) from error
        try:
            return counter.press()
        finally:
            counter.close()

    def close(self) -> None:
        for _, ring in self._rings.values():
            ring.close()
        self._rings.clear()
        self._watcher.close()

    def _ring(self, path: Path, camera: str) -> FrameRingReader | None:
        """The open ring of a camera, reopened when a new daemon made a new file."""
        try:
            file = path.stat().st_ino
        except FileNotFoundError:
            return None
        known = self._rings.get(camera)
        if known is not None and known[0] == file:
            return known[1]
        if known is not None:
            known[1].close()
            del self._rings[camera]
        try:
            ring = FrameRingReader(path)
        except (FileNotFoundError, LayoutError):
            return None  # no first frame yet
        self._rings[camera] = (file, ring)
        return ring
