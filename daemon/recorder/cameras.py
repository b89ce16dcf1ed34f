"""Which cameras an episode is recorded with, and whether they are those of the episode before.

A camera is known by what stays with the module (by-id name, serial number), for modules that share
both by their USB socket, and for simulated ones by where they sit. A policy trained on pictures of
two fields of view, or of two cameras in each other's place, fails for no reason that can be seen.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from config.schema import Camera, Config
from daemon.recorder.schema import CameraSpec, Manifest
from daemon.recorder.transaction import SIDECAR
from drivers.cameras.identity import usb_identity
from robotd.errors import CameraError, DatasetError

log = logging.getLogger(__name__)

type Identity = dict[str, str]

_DRAWN = ("plant", "synthetic")
_MODULE = ("by_id", "usb_id", "serial")
_FRAMING = {
    "fovy_deg": "a vertical field of view of {}°",
    "crop": "crop {}",
    "rotation_deg": "rotation {}°",
}
_PLACE = ("view", "body", "pos_m", "quat_wxyz")


class CameraChange(NamedTuple):
    """One camera that is not as it was. `serious`: its pictures do not belong with those before."""

    camera: str
    serious: bool
    what: str
    likely: str
    do: str


def declared(camera: Camera) -> Identity:
    """What the profile says of a camera, as words."""
    words = {"device": camera.device, "rotation_deg": str(camera.rotation_deg), "crop": "none"}
    if camera.crop is not None:
        crop = camera.crop
        words["crop"] = f"{crop.left},{crop.top} of {crop.of_width}x{crop.of_height}"
    if camera.fovy_deg is not None:
        words["fovy_deg"] = f"{camera.fovy_deg:g}"
    return words


def found(config: Config, runtime: Path) -> dict[str, Identity]:
    """What can be found out of each camera now, beyond what the profile says; never raises."""
    return {name: _found(name, camera, runtime) for name, camera in config.cameras.items()}


def _found(name: str, camera: Camera, runtime: Path) -> Identity:
    if camera.device in _DRAWN:
        path = runtime / "plant" / f"camera-{name}.json"
        if camera.device == "synthetic" or not path.exists():
            return {}
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    try:
        return usb_identity(camera.device)
    except CameraError as error:  # it is missing: starting an episode says so
        log.info("camera %s cannot be identified: %s", name, error.what)
        return {}


def last_cameras(root: Path) -> tuple[CameraSpec, ...]:
    """The cameras of the newest episode of `root` that robotd recorded; none where there is none."""
    folder = root / SIDECAR / "episodes"
    for each in sorted(folder.iterdir(), reverse=True) if folder.exists() else []:
        path = each / "episode.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest).spec.cameras
        except (OSError, msgspec.DecodeError) as error:
            log.warning("%s says nothing of its cameras: %s", path, error)
    return ()


def changes(before: Sequence[CameraSpec], now: Sequence[CameraSpec]) -> list[CameraChange]:
    """What differs between the cameras of two episodes. What one of both does not tell is no
    difference. Pure."""
    old = {camera.name: camera for camera in before}
    shared = _shared_modules(before) | _shared_modules(now)
    then = {name: _who(camera, shared) for name, camera in old.items()}
    result = []
    for camera in now:
        if camera.name not in old:
            continue
        who, was = _who(camera, shared), then[camera.name]
        took = next((name for name, each in then.items() if each == who and who), "")
        if who and was and who != was:
            result.append(_exchanged(camera.name, was, who, took))
        result += _framing_changes(old[camera.name], camera)
    return result


def _shared_modules(cameras: Sequence[CameraSpec]) -> set[str]:
    """Modules that two cameras of one episode have: same make, same serial number."""
    modules = [_module(camera) for camera in cameras]
    return {module for module in modules if modules.count(module) > 1}


def _module(camera: CameraSpec) -> str:
    return " ".join(camera.identity[key] for key in _MODULE if key in camera.identity)


def _who(camera: CameraSpec, shared: set[str]) -> str:
    module, port = _module(camera), camera.identity.get("usb_port", "")
    return f"{module} at {port}" if module in shared and port else module


def _exchanged(name: str, was: str, who: str, took: str) -> CameraChange:
    if took:
        return CameraChange(
            name,
            True,
            f"Camera {name} is the one that was {took} in the last episode ({who}).",
            "Two cameras were plugged into each other's sockets, or their lines were exchanged.",
            f"Put them back, or exchange cameras.{name}.device and cameras.{took}.device",
        )
    return CameraChange(
        name,
        False,
        f"Camera {name} is another module ({who}) than in the last episode ({was}).",
        "It was replaced.",
        "Compare its picture with an old episode's; note its field of view as "
        f"cameras.{name}.fovy_deg",
    )


def _framing_changes(before: CameraSpec, now: CameraSpec) -> list[CameraChange]:
    result, name = [], now.name
    if (before.width, before.height) != (now.width, now.height):
        then = f"{before.width}x{before.height} pixels"
        result.append(_reframed(name, f"{now.width}x{now.height} pixels", then))
    for key, words in _FRAMING.items():
        was, value = before.identity.get(key), now.identity.get(key)
        if was is not None and value is not None and was != value:
            result.append(_reframed(name, words.format(value), words.format(was)))
    if any(before.identity.get(key, "") != now.identity.get(key, "") for key in _PLACE):
        result.append(
            CameraChange(
                name,
                False,
                f"Camera {name} sits elsewhere in the simulated scene than in the last episode.",
                "The scene is of another version, or `view` was changed.",
                "Record into a new dataset if policies are to see one view",
            )
        )
    return result


def _reframed(name: str, value: str, was: str) -> CameraChange:
    return CameraChange(
        name,
        True,
        f"Camera {name} has {value}; in the dataset's last episode it had {was}.",
        "The profile was changed, or the camera was.",
        f"Set cameras.{name} in the robot's profile back",
    )


def check_cameras(root: Path, cameras: Sequence[CameraSpec], rule: str) -> tuple[str, ...]:
    """What a person should know of cameras that changed since the last episode of `root`.

    Raises DatasetError for a serious change where `rule` is "refuse" (recording.camera_change).
    """
    found = changes(last_cameras(root), cameras)
    serious = next((change for change in found if change.serious), None)
    if serious is not None and rule == "refuse":
        raise DatasetError(
            serious.what,
            serious.likely,
            f"{serious.do}, or record into a new dataset (--dataset NAME); "
            "recording.camera_change: warn records it all the same.",
        )
    return tuple(f"{change.what} {change.do}." for change in found)
