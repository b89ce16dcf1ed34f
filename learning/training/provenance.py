"""What a checkpoint has to know of its dataset: written beside its weights while it is trained.

LeRobot's checkpoints carry neither rate nor units nor cameras, and the dataset may be gone when one
is loaded. So every checkpoint of a run gets a `robotd_ckpt.json` as soon as it is whole.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.recorder.cameras import last_cameras
from daemon.recorder.convention import convention_of
from dataset.place import is_download, name_of
from learning.training.plan import CHECKPOINTS, PRETRAINED
from policies.border import IMAGES
from policies.camera_contract import is_depth, setup_of
from policies.checkpoint.evidence import (
    SIDECAR,
    UNITS,
    CameraSetup,
    TrainedOn,
    amend_sidecar,
    dataset_units,
    joint_names,
)
from policies.checkpoint.folder import read_json
from robotd.errors import DatasetError

_STEP = "training_state/training_step.json"  # LeRobot writes it last
_BLOCK = 1 << 20


def dataset_revision(root: Path) -> str:
    """Which state of a dataset this is: a hub's commit, or a hash of its rows and its meta data.

    Of videos names and sizes count: hashing hours of them would take as long as copying them.
    """
    if is_download(root):
        return root.name
    digest = hashlib.sha256()
    for path in sorted(each for each in root.rglob("*") if each.is_file()):
        name = path.relative_to(root)
        if name.parts[0] not in ("meta", "data", "videos"):
            continue
        digest.update(f"{name.as_posix()}\0{path.stat().st_size}\0".encode())
        if name.parts[0] != "videos":
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
    return f"sha256:{digest.hexdigest()[:32]}"


def sidecar_of(root: Path, *, units: str = "", revision: str = "") -> dict[str, Any]:
    """The keys of `robotd_ckpt.json` for a checkpoint trained on the dataset in `root`.

    `units` is what a person said of a dataset that does not tell. Raises DatasetError where nobody
    knows, or no arm could be sent what such a policy says.
    """
    info = read_json(root / "meta/info.json")
    convention = convention_of(root)
    if convention is not None and not convention.recordable:
        raise DatasetError(
            f"{root} holds {convention.in_words()}.",
            "It was converted for another framework: what a policy of LeRobot says when it was "
            "trained on it, no arm of robotd can be sent.",
            "Train on the dataset that it was made from (its robotd/provenance.json names it).",
        )
    known = units or dataset_units(root)
    if known not in UNITS:
        raise DatasetError(
            f"Nothing says in which units {root} was recorded.",
            "Its actions stay within ±100, which fits degrees and LeRobot's ±100 range alike.",
            "Say it: --units degrees (LeRobot since 0.4) or --units range_m100_100.",
        )
    return {
        "schema": 1,
        "fps": float(info["fps"]),
        "units": known,
        "joints": list(joint_names(info.get("features", {}).get("action", {}))),
        "dataset": name_of(root),
        "cameras": camera_setups(root, info),
        "training": TrainedOn(dataset=name_of(root), revision=revision or dataset_revision(root)),
    }


def camera_setups(root: Path, info: Mapping[str, Any]) -> dict[str, CameraSetup]:
    """Each camera of the dataset by its name: size from its feature, framing from robotd's notes.

    What a feature is its kind says, not its name; a depth map is no camera that a policy sees.
    """
    noted = {camera.name: camera.identity for camera in last_cameras(root)}
    return {
        key.removeprefix(IMAGES): setup_of(noted.get(key.removeprefix(IMAGES), {}), *_size(feature))
        for key, feature in info.get("features", {}).items()
        if feature.get("dtype") in ("video", "image") and not is_depth(feature)
    }


def _size(feature: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of a picture's feature, whichever order its shape has."""
    shape = [int(length) for length in feature["shape"]]
    names = [str(name) for name in feature.get("names") or ()]
    if "height" in names and "width" in names:
        return shape[names.index("height")], shape[names.index("width")]
    return (shape[1], shape[2]) if shape[0] in (1, 3) else (shape[0], shape[1])


def stamp(output: Path, content: Mapping[str, Any]) -> list[Path]:
    """Write the sidecar into every whole checkpoint of a run that has none; returns those."""
    stamped = []
    for folder in sorted((output / CHECKPOINTS).glob("[0-9]*")):
        target = folder / PRETRAINED
        if (target / SIDECAR).exists() or not (folder / _STEP).exists():
            continue
        amend_sidecar(target, **content, step=int(folder.name))
        stamped.append(target)
    return stamped
