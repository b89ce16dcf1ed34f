"""What robotd keeps beside a dataset, carried along when another dataset is made from it.

Evidence and labels follow their episodes, under the names that cameras and joints have there. What
belongs to the source's own history (commits, removed episodes, locks) stays with the source. Where
the new one comes from is in `robotd/provenance.json`: a list, oldest step first.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder.durable import link_or_copy
from daemon.recorder.film import Pick
from daemon.recorder.info import load_info
from daemon.recorder.sidecar import stage_sidecar
from daemon.recorder.staging import episode_folder
from daemon.recorder.transaction import COMMITS, INTENT, SIDECAR, STAGING
from dataset.place import is_download, name_of
from robotd import __version__
from robotd.errors import DatasetError

PROVENANCE = f"{SIDECAR}/provenance.json"
COLUMNS = f"{SIDECAR}/columns.json"
"""In an export: what its added columns mean."""

_ABOUT, _EVIDENCE = "episode.json", "evidence.parquet"
_CAMERA_COLUMNS = ("capture_ns/", "repeated/")
_IMAGES = "observation.images."
_JOINT_COLUMNS = ("requested_rad", "applied_rad")
_OF_THE_SOURCE = {
    Path(COMMITS).name,
    Path(INTENT).name,
    Path(STAGING).name,
    "removed",
    "lock",
    "episodes",
    Path(PROVENANCE).name,
    "convention.json",
}


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """One step from a source to this dataset. `source` is a name, never a path of a machine.

    `revision` is that of the hub's download, "" of a local dataset; `info_sha256` the hash of the
    source's info.json; `did` and `warnings` are sentences.
    """

    verb: str
    source: str
    revision: str
    info_sha256: str
    did: tuple[str, ...]
    wall_ns: int
    robotd: str = __version__
    warnings: tuple[str, ...] = ()


def read_provenance(root: Path) -> tuple[Provenance, ...]:
    """The steps that led to the dataset `root`; none for one that was recorded."""
    path = root / PROVENANCE
    if not path.exists():
        return ()
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Provenance, ...])
    except msgspec.DecodeError as error:
        raise DatasetError(
            f"{path} cannot be read: {error}.",
            "It was edited by hand, or written by a newer robotd.",
            "Restore it, or move it away.",
        ) from error


def write_provenance(
    source: Path,
    target: Path,
    *,
    verb: str,
    info_sha256: str,
    did: tuple[str, ...],
    warnings: tuple[str, ...],
    wall_ns: int,
) -> None:
    """Add one step to the source's own, in `target`."""
    step = Provenance(
        verb=verb,
        source=name_of(source),
        revision=source.name if is_download(source) else "",
        info_sha256=info_sha256,
        did=did,
        wall_ns=wall_ns,
        warnings=warnings,
    )
    path = target / PROVENANCE
    path.parent.mkdir(parents=True, exist_ok=True)
    steps = (*read_provenance(source), step)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(steps), indent=2))


def carry_sidecar(
    source: Path,
    target: Path,
    *,
    renamed: Mapping[str, str] | None = None,
    names: Mapping[str, tuple[str, ...]] | None = None,
    order: tuple[int, ...] = (),
) -> None:
    """Bring evidence, labels and notes of every episode of `source` to `target`.

    `renamed` maps feature keys of cameras; `names` gives the new joint names of "state_names" and
    "action_names" and `order` [joints] their places in the source.
    """
    if not (source / SIDECAR).exists():
        return
    for path in sorted((source / SIDECAR).iterdir()):
        if path.name in _OF_THE_SOURCE or path.name.startswith("."):
            continue
        for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if each.is_file():
                link_or_copy(each, target / each.relative_to(source), link=False)
    info = load_info(source)
    count = 0 if info is None else int(info["total_episodes"])
    stage_sidecar(target, [source], [Pick(0, episode) for episode in range(count)], {})
    cameras = {
        old.removeprefix(_IMAGES): new.removeprefix(_IMAGES) for old, new in (renamed or {}).items()
    }
    for episode in range(count) if cameras or names else ():
        folder = target / episode_folder(episode)
        if (folder / _ABOUT).exists():
            (folder / _ABOUT).write_bytes(_about(folder / _ABOUT, cameras, names or {}))
        evidence = folder / _EVIDENCE
        if evidence.exists() and (cameras or order):
            changed = _evidence(evidence, cameras, order)
            evidence.unlink()  # it may be the source's own file under a second name
            pq.write_table(changed, evidence, compression="zstd")


def _about(path: Path, cameras: Mapping[str, str], names: Mapping[str, tuple[str, ...]]) -> bytes:
    """The episode's page with its cameras and joints here; all else as it was recorded."""
    page: dict[str, Any] = json.loads(path.read_bytes())
    spec = page.get("spec", {})
    for camera in spec.get("cameras", []):
        camera["name"] = cameras.get(camera["name"], camera["name"])
    for key, each in names.items():
        if key in spec:
            spec[key] = list(each)
    return json.dumps(page, indent=2, ensure_ascii=False).encode()


def _evidence(path: Path, cameras: Mapping[str, str], order: tuple[int, ...]) -> pa.Table:
    table = pq.read_table(path)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name in table.column_names:
        kind = next((each for each in _CAMERA_COLUMNS if name.startswith(each)), "")
        camera = name.removeprefix(kind)
        column = table[name]
        if order and name in _JOINT_COLUMNS:
            rows = [[row[place] for place in order] for row in column.to_pylist()]
            column = pa.array(rows, column.type)
        columns[f"{kind}{cameras.get(camera, camera)}" if kind else name] = column
    return pa.table(columns)
