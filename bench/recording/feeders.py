"""The loop and the two cameras that feed a recorder in `bench record`: as processes, and what they
did. The same for robotd and for LeRobot, which has no use for the ticks but shares the cores with them.
"""

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.recording.feed import Fed, Options
from bench.recording.scene import CAMERAS, FPS
from bench.rig import CONTROL_PRIORITY, Helper, Rig
from robotd.clock import NS_PER_S

_PHASE_S = {"overhead": 0.008, "wrist": 0.021}  # that a picture is taken before its row


class Feeders:
    """The loop and the cameras, running. `began_ns` is tick 0."""

    def __init__(self, rig: Rig, runtime: Path) -> None:
        self.began_ns = time.monotonic_ns() + round(0.2 * NS_PER_S)
        self._folder = rig.folder
        self._options = {
            name: Options(
                ring=str(runtime / ("ticks" if name == "loop" else f"frames-{name}")),
                out=str(rig.folder / f"fed-{name}.json"),
                camera="" if name == "loop" else name,
                hz=120 if name == "loop" else FPS,
                began_ns=self.began_ns - round(_PHASE_S.get(name, 0.0) * NS_PER_S),
                priority=CONTROL_PRIORITY + (name != "loop"),
            )
            for name in ("loop", *CAMERAS)
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """All of them, until the end."""
        processes: list[Helper] = []
        try:
            for options in self._options.values():
                encoded = msgspec.json.encode(options).decode()
                processes.append(Helper(self._folder, "bench.recording.feed", (encoded,)))
            for process in processes:
                process.ready()
            yield
        finally:
            for process in processes:
                process.stop()

    def fed(self, name: str) -> Fed:
        """What one did; once it has ended."""
        return msgspec.json.decode(Path(self._options[name].out).read_bytes(), type=Fed)

    def picture_at(self, camera: str, numbers: Sequence[int], stamp_ns: int) -> int:
        """The newest of a camera's pictures at that moment."""
        began_ns = self._options[camera].began_ns
        latest = (stamp_ns - began_ns) * FPS // NS_PER_S
        return numbers[max(0, bisect_right(numbers, latest) - 1)]

    def tick_ns(self, count: int) -> int:
        """When that tick was due."""
        return self.began_ns + round(count * NS_PER_S / self._options["loop"].hz)
