"""One moment of something that is watched, small enough to keep hundreds of: what is drawn, later or now."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sim.view.compose import CameraPicture, Caption, Rgb, fit
from sim.view.lines import Line
from sim.view.twin import TwinPicture

_HEIGHT_PX, _WIDTH_PX = 240, 320  # as large as `compose` shows two of them


@dataclass(frozen=True, slots=True)
class Seen:
    """Where the arm and the objects were, the lines, the words, and the cameras' pictures as JPEGs."""

    position_rad: tuple[float, ...]
    truth_qpos: tuple[float, ...] | None
    lines: tuple[Line, ...]
    cameras: tuple[tuple[CameraPicture, bytes], ...]
    caption: Caption

    def drawn(self, twin: TwinPicture) -> tuple[Rgb, list[CameraPicture], Caption]:
        """What `sim.view.compose.compose` takes."""
        picture = twin.draw(self.position_rad, self.truth_qpos, self.lines)
        return picture, [_unpacked(*each) for each in self.cameras], self.caption


def packed(camera: CameraPicture) -> tuple[CameraPicture, bytes]:
    """A camera's picture for a `Seen`."""
    if camera.rgb is None:
        return camera, b""
    small = fit(camera.rgb, _HEIGHT_PX, _WIDTH_PX)
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]))
    return replace(camera, rgb=None), jpeg.tobytes()


def _unpacked(camera: CameraPicture, jpeg: bytes) -> CameraPicture:
    if not jpeg:
        return camera
    found = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return camera if found is None else replace(camera, rgb=np.asarray(found[..., ::-1], np.uint8))
