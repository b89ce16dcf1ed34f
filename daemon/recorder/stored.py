"""Journals as they lie on the disk: their manifest, their check before publishing, their recovery."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from daemon.recorder import tables
from daemon.recorder.durable import sha256_of, sync_file, sync_folder, write_atomic
from daemon.recorder.schema import Manifest
from daemon.recorder.video import count_frames, cut_torn_tail
from robotd.errors import DatasetError

ROWS, EVIDENCE, MANIFEST = "rows.arrow", "evidence.arrow", "manifest.json"
RESERVE = "reserve"
"""A file that is given up when the disk is full, so that the episode can be closed."""


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a journal. Raises DatasetError when there is none that can be read."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise DatasetError(
            f"{folder} is not a readable episode journal: {error}.",
            "It is another kind of folder, or was made by a newer robotd.",
            "Move it out of the journals folder, or read it with the robotd that wrote it.",
        ) from error


def in_order(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The episodes as they were recorded, whatever the wall clock did meanwhile: within a boot by
    CLOCK_MONOTONIC, boots by the earliest wall time of their episodes. Where no boot is known, by
    wall time."""
    begins_ns: dict[str, int] = {}
    for each in manifests:
        boot, wall_ns = each.started.boot_id, each.started.wall_ns
        begins_ns[boot] = min(begins_ns.get(boot, wall_ns), wall_ns)

    def moment(manifest: Manifest) -> tuple[int, int, str]:
        started, name = manifest.started, manifest.journal_id
        if not started.boot_id:
            return started.wall_ns, 0, name
        return begins_ns[started.boot_id], started.monotonic_ns, name

    return sorted(manifests, key=moment)


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace a journal's manifest atomically."""
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    write_atomic(folder / MANIFEST, data)


def verify(folder: Path, manifest: Manifest) -> Manifest:
    """Read a closed journal back: rows == evidence == frames per camera. Returns it with hashes.

    Frames are counted packet by packet. What was interrupted may hold more than the rows that
    are whole in all files, never fewer. Raises DatasetError.
    """
    names = [ROWS, EVIDENCE, *(f"{camera.name}.mp4" for camera in manifest.spec.cameras)]
    counts = {
        name: tables.read_stream(folder / name).num_rows
        if name in (ROWS, EVIDENCE)
        else count_frames(folder / name)
        for name in names
    }
    rows, exact = manifest.rows, not manifest.reason
    wrong = {name: n for name, n in counts.items() if n < rows or (exact and n != rows)}
    if wrong:
        raise DatasetError(
            f"Episode {folder.name} has {rows} rows, but {wrong}.",
            "A file was changed while it was recorded, or the disk lost data.",
            f"robotd dataset recover --keep {folder.name} cuts it to what is whole and saves that.",
        )
    hashes = {name: sha256_of(folder / name) for name in names}
    return msgspec.structs.replace(manifest, sha256=hashes)


def recover_journal(folder: Path, reason: str) -> Manifest:
    """Make a journal whole that was never closed: cut torn tails, keep what all files have.

    The result is `interrupted`, to be offered to a person; without a single whole row it is
    `discarded`. Running it twice changes nothing.
    """
    manifest = read_manifest(folder)
    counts = [tables.read_stream(folder / name).num_rows for name in (ROWS, EVIDENCE)]
    for camera in manifest.spec.cameras:
        path = folder / f"{camera.name}.mp4"
        if path.exists():
            cut_torn_tail(path)
        counts.append(count_frames(path) if path.exists() else 0)
    rows = min(counts)
    if rows:
        # What a killed process wrote may be in memory still; the manifest promises it from now on.
        for name in (ROWS, EVIDENCE, *(f"{camera.name}.mp4" for camera in manifest.spec.cameras)):
            sync_file(folder / name)
        sync_folder(folder)
    (folder / RESERVE).unlink(missing_ok=True)
    recovered = msgspec.structs.replace(
        manifest,
        rows=rows,
        kept=False,
        state="interrupted" if rows else "discarded",
        reason=reason,
    )
    save_manifest(folder, recovered)
    return recovered
