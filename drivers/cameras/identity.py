"""Which camera a device is: what stays with the module when sockets and numbers change.

Read from udev's links and from sysfs, no device is opened. Modules of one make often share a serial
number; those differ only in the USB socket that they are in.
"""

from pathlib import Path
from typing import Final

from drivers.cameras.v4l2_devices import V4L_BY_ID, list_cameras, resolve_camera

V4L_BY_PATH: Final = Path("/dev/v4l/by-path")
V4L_SYSFS: Final = Path("/sys/class/video4linux")
_USB_FILES: Final = {"product": "product", "serial": "serial"}


def usb_identity(
    setting: str,
    by_id: Path = V4L_BY_ID,
    by_path: Path = V4L_BY_PATH,
    sysfs: Path = V4L_SYSFS,
) -> dict[str, str]:
    """What is known of the camera that a profile names: `by_id`, `usb_port`, `usb_id` (vendor and
    product), `product`, `serial`; each only where the system tells it.

    Raises CameraError when nothing, or more than one camera, has that name.
    """
    target = resolve_camera(setting, by_id).target
    found = {"by_id": _name_of(target, by_id), "usb_port": _name_of(target, by_path)}
    # videoN/device is the USB interface; the module's own files are one folder up.
    module = (sysfs / target.name / "device").resolve().parent
    vendor, product = _text(module / "idVendor"), _text(module / "idProduct")
    found["usb_id"] = f"{vendor}:{product}" if vendor and product else ""
    found |= {key: _text(module / name) for key, name in _USB_FILES.items()}
    return {key: value for key, value in found.items() if value}


def _name_of(target: Path, root: Path) -> str:
    return next((each.name for each in list_cameras(root) if each.target == target), "")


def _text(path: Path) -> str:
    """The one line of a sysfs file; "" where the module does not have it."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
