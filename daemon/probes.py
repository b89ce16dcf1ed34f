"""What probes of checkpoints found, kept by what was probed: these weights, read at this rate and in
these units, its inputs fed so. Another checkpoint, or the same one read otherwise, is another thing.

A probe (`robotd probe`) says whether a checkpoint does what people did in a recording. That is no
matter of this arm, so unlike a rehearsal it does not count calibration, limits or cameras. The last
probe stands, on whatever dataset it was; the dataset's hash is kept beside it.

Key and words are pure; `ProbeStore` is one small JSON file for each key in the state folder.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from robotd import paths
from robotd.errors import StateError

type Outcome = Literal["pass", "warn", "fail", "missing"]

_SCHEMA = 1


def probe_key(
    sha256: str, fps: float, units: str, rename: Mapping[str, str], embodiment: str = ""
) -> str:
    """The hash (64 hex digits) of a checkpoint and how it is read; empty for one that has none
    (a server's), of which no verdict can be kept."""
    if not sha256:
        return ""
    content = {
        "schema": _SCHEMA,
        "sha256": sha256,
        "fps": float(fps),
        "units": units,
        "rename": dict(rename),
        "embodiment": embodiment,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """How one probe ended. `at` is wall time (ISO 8601, UTC); `cause` and the three parts are empty
    when nothing was found. `held_out`: on episodes that it was not trained on (None: not known)."""

    outcome: Literal["pass", "warn", "fail"]
    at: str
    policy: str
    dataset: str
    dataset_sha256: str
    frames: int
    held_out: bool | None
    error: float
    cause: str = ""
    what: str = ""
    evidence: str = ""
    likely: str = ""
    do: str = ""

    @property
    def words(self) -> str:
        """One line for the arming list."""
        where = f"on {Path(self.dataset).name}, {self.frames} moments"
        if self.outcome == "pass":
            return f"does what people did {where} (error {self.error:.2f})"
        head = "FAILED" if self.outcome == "fail" else "a warning"
        return f"{head} {where}: {self.cause}. {self.what}"


_decode = msgspec.json.Decoder(Probe).decode


class ProbeStore:
    """The folder of verdicts: `<state>/probes/<key>.json`."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = paths.state_dir() / "probes" if folder is None else folder

    def find(self, key: str) -> Probe | None:
        """What is kept under a key. A file that is gone or cut short is no verdict."""
        try:
            return _decode((self.folder / f"{key}.json").read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    def keep(self, key: str, probe: Probe) -> Path:
        """Keep a verdict in place of the last; readers see old or new, never half.

        Raises OSError when the disk does not take it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{key}.json"
        partial = self.folder / f".{key}.{os.getpid()}"
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(probe), indent=1) + b"\n")
        partial.replace(path)
        return path


@dataclass(frozen=True, slots=True)
class Probed:
    """What a person reads before the arm is given away; `do` is empty when nothing is missing."""

    outcome: Outcome
    words: str
    do: str
    likely: str = ""


def probed(store: ProbeStore, key: str, policy: str) -> Probed | None:
    """How a checkpoint stands; None for one that cannot be probed by name (a server's)."""
    if not key:
        return None
    found = store.find(key)
    if found is None:
        ask = f"robotd probe --policy {policy} --dataset NAME"
        return Probed("missing", "never probed: whether it does what people did is not known", ask)
    return Probed(found.outcome, found.words, found.do, found.likely)


def refuse_failed(standing: Probed | None) -> None:
    """Raise StateError for a policy whose probe failed."""
    if standing is not None and standing.outcome == "fail":
        raise StateError(
            f"This policy's probe failed: {standing.words}",
            standing.likely,
            f"{standing.do} Then probe it again; or say that you take it all the same: "
            "--despite-probe.",
        )
