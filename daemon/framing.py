"""From what a camera gives to the picture that everybody sees: cut out, then turned.

`width` and `height` of a camera are those of the picture. A turned one is asked of the device with
its sides changed, as LeRobot does; one that is cut out comes from the mode that `crop` names.
"""

import numpy as np
import numpy.typing as npt

from config.schema import Camera

_QUARTER_DEG = 90


def mode_size(camera: Camera) -> tuple[int, int]:
    """Width and height that the device is asked for, in pixels."""
    if camera.crop is not None:
        return camera.crop.of_width, camera.crop.of_height
    return cut_size(camera)


def cut_size(camera: Camera) -> tuple[int, int]:
    """Width and height of the picture before it is turned, in pixels."""
    turned = camera.rotation_deg % (2 * _QUARTER_DEG) != 0
    return (camera.height, camera.width) if turned else (camera.width, camera.height)


def framed(rgb: npt.NDArray[np.uint8], camera: Camera) -> npt.NDArray[np.uint8]:
    """The picture uint8 [height, width, 3] from a captured one of `mode_size`."""
    if camera.crop is not None:
        width, height = cut_size(camera)
        left, top = camera.crop.left, camera.crop.top
        rgb = rgb[top : top + height, left : left + width]
    return np.rot90(rgb, -(camera.rotation_deg // _QUARTER_DEG))  # clockwise
