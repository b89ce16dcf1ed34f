"""The interface every camera has, and the frame it yields."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One picture.

    `rgb` is uint8 [H, W, 3]. `stamp_ns` is CLOCK_MONOTONIC at capture, not at arrival. `sequence`
    counts up by one a frame; a gap is a frame that was lost before it came here.
    """

    rgb: RgbImage
    stamp_ns: int
    sequence: int


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """How a camera runs, as read back from it. `fourcc` is the format on the cable."""

    width: int
    height: int
    fps: float
    fourcc: str


class FrameSource(Protocol):
    """A camera. One thread only."""

    @property
    def identity(self) -> str:
        """A name that stays with this camera, not with its place in the list of devices."""
        ...

    @property
    def settings(self) -> CameraSettings:
        """The settings read back by `open`. Raises CameraError before it."""
        ...

    def open(self) -> None:
        """Start the camera. Raises CameraError when it is absent or refuses its settings."""
        ...

    def read(self, timeout_s: float) -> CapturedFrame | None:
        """Return the next frame, or None when none came in time. Raises CameraError when gone."""
        ...

    def close(self) -> None:
        """Stop the camera. May be called twice."""
        ...
