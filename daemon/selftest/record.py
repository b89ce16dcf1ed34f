"""What a selftest found: kept for each arm in the state folder, and shareable without serials.

One JSON file, `<state>/selftest/<id of the arm>.json`. The daemon reads it when it starts
(`daemon.selftest.evidence`).
"""

import os
from pathlib import Path

import msgspec

from daemon.selftest.facts import BY_ID, Verdict
from robotd import paths

SCHEMA = 1


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One fact with what was found. The texts stand here too: the file is read without robotd."""

    id: str
    text: str
    source: str
    how: str
    predicted: str
    measured: str
    verdict: Verdict


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One selftest of one arm. `at` is wall time (ISO 8601, UTC).

    `finished`: every step was gone through. `supply` and `present_v`: the servos and their voltage
    at rest, empty and 0 where they were not read. `telemetry_p99_ms`: of a whole telemetry read.
    `heaviest_hold_permille`: the largest duty that a hold took, `sinking_rad_s` the fastest joint
    of the governed release.
    """

    schema: int = SCHEMA
    arm: str
    at: str
    simulated: bool
    finished: bool
    stopped_by: str = ""
    firmware: str = ""
    supply: str = ""
    present_v: float = 0.0
    telemetry_p99_ms: float = 0.0
    heaviest_hold_permille: float = 0.0
    sinking_rad_s: float = 0.0
    facts: tuple[Measured, ...] = ()

    @property
    def trusted(self) -> bool:
        """Whether the arm may have its full speed and torque: all that is needed was confirmed."""
        verdicts = {fact.id: fact.verdict for fact in self.facts}
        needed = [fact.id for fact in BY_ID.values() if fact.needed]
        return self.finished and all(verdicts.get(each) == "confirmed" for each in needed)

    def count(self, verdict: Verdict) -> int:
        """How many facts ended so."""
        return sum(fact.verdict == verdict for fact in self.facts)

    @property
    def missing(self) -> tuple[str, ...]:
        """The needed facts that were not confirmed."""
        verdicts = {fact.id: fact.verdict for fact in self.facts}
        return tuple(
            fact.id
            for fact in BY_ID.values()
            if fact.needed and verdicts.get(fact.id) != "confirmed"
        )


def folder() -> Path:
    """Where the records are kept."""
    return paths.state_dir() / "selftest"


def load(arm: str, where: Path | None = None) -> Record | None:
    """The newest record of an arm (by its calibration's id); None for none that can be read."""
    try:
        data = ((where or folder()) / f"{arm}.json").read_bytes()
        record = msgspec.json.decode(data, type=Record)
    except (OSError, msgspec.DecodeError):
        return None
    return record if record.schema == SCHEMA else None


def save(record: Record, where: Path | None = None) -> Path:
    """Keep a record in place of the arm's last one; readers see old or new, never half.

    Raises OSError when the disk does not take it.
    """
    kept = where or folder()
    kept.mkdir(parents=True, exist_ok=True)
    path = kept / f"{record.arm}.json"
    partial = kept / f".{record.arm}.{os.getpid()}"
    partial.write_bytes(text(record))
    partial.replace(path)
    return path


def shareable(record: Record) -> Record:
    """The same without what names the arm or its owner."""
    return msgspec.structs.replace(record, arm="an SO-101")


def text(record: Record) -> bytes:
    """The record as a file's content."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
