"""Which V4L2 cameras there are, by names that survive a reboot.

/dev/videoN follows the order in which cameras were found, so robotd names them by their links under
/dev/v4l/by-id. Only `…-video-index0` is a camera; index1 is its metadata. Two modules with the same
serial number share one name: those are told apart by their USB socket, with a path under
/dev/v4l/by-path.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from robotd.errors import CameraError

V4L_BY_ID: Final = Path("/dev/v4l/by-id")
_CAMERA_SUFFIX: Final = "-video-index0"


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """A camera by its stable name (`name`, `path`) and where that points now (`target`)."""

    name: str
    path: Path
    target: Path


def list_cameras(root: Path = V4L_BY_ID) -> list[CameraDevice]:
    """Return the cameras that are plugged in, sorted by name."""
    if not root.is_dir():
        return []
    return [
        CameraDevice(link.name.removesuffix(_CAMERA_SUFFIX), link, link.resolve())
        for link in sorted(root.iterdir())
        if link.name.endswith(_CAMERA_SUFFIX)
    ]


def resolve_camera(setting: str, root: Path = V4L_BY_ID) -> CameraDevice:
    """Return the camera for a setting: a device path, or a by-id name (whole, or a part of it).

    Raises CameraError when nothing or more than one camera fits, naming what is plugged in.
    """
    cameras = list_cameras(root)
    if "/" in setting:
        path = Path(setting).expanduser()
        if path.exists():
            return CameraDevice(path.name.removesuffix(_CAMERA_SUFFIX), path, path.resolve())
        matches: list[CameraDevice] = []
    else:
        wanted = setting.removesuffix(_CAMERA_SUFFIX)
        exact = [camera for camera in cameras if camera.name == wanted]
        matches = exact or [camera for camera in cameras if wanted in camera.name]
    if len(matches) == 1:
        return matches[0]
    plugged_in = ", ".join(camera.name for camera in cameras) or "none"
    if matches:
        raise CameraError(
            f"'{setting}' names {len(matches)} cameras.",
            f"The name is too short to tell them apart: {plugged_in}.",
            "Write the whole name into the robot's profile.",
        )
    raise CameraError(
        f"There is no camera '{setting}'.",
        f"It is not plugged in, or has another name. Plugged in: {plugged_in}.",
        f"Check its USB cable, then `ls {root}` and put that name in the robot's profile.",
    )
