"""What a policy's cameras were when it was trained, against what this robot's are now.

58 degrees of view against 52, a picture that is turned, another crop: each of them has made a good
policy useless on a good arm, for weeks, because nothing looks wrong. So framing travels with the
dataset (its episodes' pages) and with the checkpoint (`robotd_ckpt.json`), and what differs is said
before the arm is taken. Pure, but for reading small files.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from config.schema import Camera, Config
from policies.checkpoint.evidence import CameraSetup, read_sidecar, training_root
from policies.checkpoint.folder import read_json, renamed_inputs

type Drawn = Callable[[str], Mapping[str, str]]
"""What the simulation says of a camera that it draws, by its name; nothing on a real robot."""

_SAME_DEG = 0.5  # a field of view is not known better than that
_EPISODES = "robotd/episodes"
_IMAGES = "observation.images."


def is_depth(feature: Mapping[str, Any]) -> bool:
    """Whether a dataset's feature holds distances: by its kind (LeRobot's `is_depth_map`), and
    never by its name: a picture called `depth_rgb` is a picture."""
    info = feature.get("info") or {}
    video = feature.get("video_info") or {}
    return bool(
        info.get("is_depth_map")
        or info.get("video.is_depth_map")
        or video.get("video.is_depth_map")
    )


def setup_of(identity: Mapping[str, str], height: int, width: int) -> CameraSetup:
    """A camera's framing from what an episode's page says of it, as words."""
    crop = identity.get("crop", "none")
    numbers = crop.replace(" of ", ",").replace("x", ",").split(",")
    return CameraSetup(
        fov_deg=float(identity.get("fovy_deg") or 0.0),
        width=width,
        height=height,
        crop=tuple(int(n) for n in numbers) if crop != "none" else (),
        rotation_deg=int(identity.get("rotation_deg") or 0),
    )


def robot_setup(camera: Camera, drawn: Mapping[str, str]) -> CameraSetup:
    """This robot's camera as its profile has it; `drawn` is what the simulation says of its own."""
    crop = camera.crop
    return CameraSetup(
        fov_deg=camera.fovy_deg or float(drawn.get("fovy_deg") or 0.0),
        width=camera.width,
        height=camera.height,
        crop=(crop.left, crop.top, crop.of_width, crop.of_height) if crop else (),
        rotation_deg=camera.rotation_deg,
    )


def dataset_setups(root: Path) -> dict[str, CameraSetup]:
    """The cameras of the newest episode that robotd recorded into a dataset; none where none did."""
    pages = sorted((root / _EPISODES).glob("episode-*/episode.json"))
    if not pages:
        return {}
    spec = read_json(pages[-1]).get("spec") or {}
    return {
        str(each["name"]): setup_of(each.get("identity") or {}, each["height"], each["width"])
        for each in spec.get("cameras") or ()
    }


def trained_setups(folder: Path) -> Mapping[str, CameraSetup]:
    """The cameras that a checkpoint was trained with: as its sidecar has them, else its dataset.

    By the dataset's names, and by the checkpoint's own where its training renamed them.
    """
    setups = read_sidecar(folder).cameras
    if not setups:
        root = training_root(folder)
        setups = dataset_setups(root) if root is not None else {}
    renamed = {
        own.removeprefix(_IMAGES): setups[was.removeprefix(_IMAGES)]
        for own, was in renamed_inputs(folder).items()
        if was.removeprefix(_IMAGES) in setups
    }
    return {**setups, **renamed}


class CameraDifference(msgspec.Struct, frozen=True):
    """One camera of a policy that is not as it was in training."""

    camera: str
    what: str
    do: str

    @property
    def words(self) -> str:
        """One sentence."""
        return f"{self.camera}: {self.what}"


class Seen(Protocol):
    """A policy that is fitted to a robot, as far as cameras go."""

    @property
    def folder(self) -> Path | None:
        """Where its files lie; None for a server elsewhere."""
        ...

    @property
    def cameras(self) -> Mapping[str, str]:
        """The training's name of each camera, and this robot's."""
        ...


def compare(policy: Seen, config: Config, drawn: Drawn) -> tuple[CameraDifference, ...]:
    """How this robot's cameras are not those that the policy was trained with."""
    if policy.folder is None:
        return ()
    robot = {name: robot_setup(each, drawn(name)) for name, each in config.cameras.items()}
    return differences(trained_setups(policy.folder), robot, policy.cameras)


def differences(
    trained: Mapping[str, CameraSetup],
    robot: Mapping[str, CameraSetup],
    cameras: Mapping[str, str],
) -> tuple[CameraDifference, ...]:
    """What differs, for each camera that the policy looks through.

    `cameras` maps the training's names to this robot's. What the training does not tell is no
    difference; what it tells and the robot does not is one: nobody can have compared it.
    """
    found: list[CameraDifference] = []
    for name, own in cameras.items():
        if name in trained and own in robot:
            found += [
                CameraDifference(own, what, do)
                for what, do in _compared(trained[name], robot[own], own)
            ]
    return tuple(found)


def _compared(was: CameraSetup, now: CameraSetup, name: str) -> list[tuple[str, str]]:
    said = []
    if was.fov_deg and not now.fov_deg:
        said.append(
            (
                f"trained with a vertical field of view of {was.fov_deg:g}°, this one's is not noted",
                f"Measure it and note it as cameras.{name}.fovy_deg",
            )
        )
    elif was.fov_deg and abs(was.fov_deg - now.fov_deg) > _SAME_DEG:
        said.append(
            (
                f"trained with a vertical field of view of {was.fov_deg:g}°, this one has "
                f"{now.fov_deg:g}°",
                f"Use the training's lens, or crop to its view (cameras.{name}.crop)",
            )
        )
    if was.rotation_deg != now.rotation_deg:
        said.append(
            (
                f"trained with pictures turned by {was.rotation_deg}°, this one turns by "
                f"{now.rotation_deg}°",
                f"Set cameras.{name}.rotation_deg: {was.rotation_deg}, unless the camera itself is "
                "mounted otherwise now",
            )
        )
    if was.crop != now.crop:
        said.append(
            (
                f"trained with {_crop(was.crop)}, this one has {_crop(now.crop)}",
                f"Set cameras.{name}.crop as in training",
            )
        )
    if was.width and (was.width, was.height) != (now.width, now.height):
        narrow = was.width * now.height != was.height * now.width
        said.append(
            (
                f"trained at {was.width}x{was.height} pixels, this one has {now.width}x{now.height}"
                + (", of another shape" if narrow else ""),
                f"Set cameras.{name}.width and height as in training",
            )
        )
    return said


def _crop(crop: tuple[int, ...]) -> str:
    return f"the crop {','.join(map(str, crop))}" if crop else "no crop"
