"""A camera that is not there: a textured picture that moves, at full size and rate, for almost nothing.

Benchmarks of the loop and of the recorder want pictures that cost an encoder what real ones cost,
and a source that costs nothing, or they measure a software renderer. The texture is made once, from
a fixed seed, with a camera's grain in it; a frame is a window that slides over it. Deadlines are
absolute: a picture that nobody took in time is skipped, and its number with it, as on a real camera.
"""

from typing import Final

import numpy as np

from drivers.cameras.source import CameraSettings, CapturedFrame, RgbImage
from robotd.clock import NS_PER_S, Clock
from robotd.errors import CameraError

SYNTHETIC: Final = "synthetic"
"""The configuration's `device` of such a camera."""

_STEP_PIXELS: Final = 3  # a frame: at 30 Hz what a slow arm moves in its wrist camera
_GRAIN: Final = 4.0  # standard deviation of the grain, of 255
_SEED: Final = 7


class SyntheticCamera:
    """`width` x `height` pictures `fps` times a second on `clock`. See `FrameSource`."""

    def __init__(self, name: str, width: int, height: int, fps: float, clock: Clock) -> None:
        self._name = name
        self._settings = CameraSettings(width, height, fps, "RGB3")
        self._clock = clock
        self._texture: RgbImage | None = None
        self._began_ns = 0
        self._sequence = 0

    @property
    def identity(self) -> str:
        return f"{SYNTHETIC} {self._name}"

    @property
    def settings(self) -> CameraSettings:
        return self._settings

    def open(self) -> None:
        """Make the texture; the first picture is due one period from now."""
        self._texture = texture(self._settings.width, self._settings.height)
        self._began_ns = self._clock.now_ns()
        self._sequence = 0

    def read(self, timeout_s: float) -> CapturedFrame | None:
        picture = self._texture
        if picture is None:
            raise CameraError(
                f"The camera {self.identity} is not open.",
                "It was read before `open`, or after `close`.",
                "Open it first.",
            )
        now_ns = self._clock.now_ns()
        elapsed = int((now_ns - self._began_ns) * self._settings.fps) // NS_PER_S
        number = max(self._sequence + 1, elapsed)
        due_ns = self._began_ns + round(number * NS_PER_S / self._settings.fps)
        give_up_ns = now_ns + round(timeout_s * NS_PER_S)
        self._clock.sleep_until_ns(min(due_ns, give_up_ns))
        if due_ns > give_up_ns:
            return None
        self._sequence = number
        start = number * _STEP_PIXELS % self._settings.width
        window = picture[:, start : start + self._settings.width]
        return CapturedFrame(window, due_ns, number)

    def close(self) -> None:
        self._texture = None


def texture(width: int, height: int) -> RgbImage:
    """uint8 [height, 2*width, 3] that repeats after `width` columns: waves of several sizes, an edge
    here and there, and grain."""
    draw = np.random.default_rng(_SEED)
    columns, rows = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    tau = 2.0 * np.pi
    channels = []
    for phase in (0.0, 2.1, 4.2):
        waves = np.sin(tau * (columns + rows) + phase) + 0.6 * np.sin(tau * 5 * columns + phase)
        edges = np.sign(np.sin(tau * (3 * columns + 2 * rows) + phase))
        grain = draw.normal(0.0, _GRAIN, (height, width))
        channels.append(128.0 + 35.0 * waves + 25.0 * edges + grain)
    picture = np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)
    return np.concatenate((picture, picture), axis=1)
