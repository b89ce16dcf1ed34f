"""What was rehearsed, and for exactly what: a hash of all that moves the arm or feeds the policy.

A verdict is about one combination: these weights, played so, through these cameras, on this
calibration, under these limits. Change any of them and it is about something else, so it is kept
under their hash and found only by the same one. What only concerns recording, or the USB plug that
the arm is in, does not count. The rate of rows does: a policy's observations are made at it.

Hash and words are pure; `RehearsalStore` is one small JSON file for each hash in the state folder.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from config.schema import Config
from robotd import paths

type Kind = Literal["shadow", "plant"]

_SCHEMA = 1


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is to move the arm, and how it is played.

    `sha256` is that of the checkpoint's files or of a recorded episode's actions. The task's words
    are not part of it.
    """

    sha256: str
    fps: float
    units: str
    n_action_steps: int = 0
    mode: str = ""
    rename: dict[str, str] = {}
    embodiment: str = ""
    time_scale: float = 1.0
    changed: str = ""


def rehearsal_key(config: Config, calibrations: Sequence[str], subject: Subject) -> str:
    """The hash (64 hex digits) of subject, robot and calibration.

    `calibrations` are the fingerprints (`drivers.calibration.fingerprint`) of the follower arms, in
    the configuration's order. Left out of the configuration: name, ports, leaders, `control`
    but for its rate, `recording` but for the rate of rows.
    """
    content = {
        "schema": _SCHEMA,
        "subject": msgspec.to_builtins(subject),
        "calibrations": list(calibrations),
        "simulated": config.simulation is not None,
        "arms": {
            name: [arm.base_xyz_m, arm.base_yaw_deg, arm.joint_offset_deg, arm.supply]
            for name, arm in config.arms.items()
        },
        "cameras": msgspec.to_builtins(config.cameras),
        "tick_hz": config.control.tick_hz,
        "row_hz": config.recording.fps,
        "limits": msgspec.to_builtins(config.limits),
        "poses": msgspec.to_builtins(config.poses),
        "twin": msgspec.to_builtins(config.twin),
        "policy": msgspec.to_builtins(config.policy),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Which kinds of rehearsal say something about the run that is to come, and why."""

    shadow: bool
    plant: bool
    why: str

    def of(self, kind: Kind) -> bool:
        """Whether a rehearsal of that kind is evidence."""
        return self.shadow if kind == "shadow" else self.plant


def evidence(
    *, simulated: bool, cameras: Sequence[str], told: str, replay: bool = False
) -> Evidence:
    """What is evidence for a run on this robot.

    `cameras` are those that the policy looks through; `told` is what a simulator tells it, empty
    for nothing.
    """
    if simulated:
        why = "this robot is simulated: both hold for it, and neither for an arm on a table"
        return Evidence(True, True, why)
    if told:
        why = f"it is told {told}, which only a simulator knows: the plant is all that it can play"
        return Evidence(False, True, why)
    if replay:
        why = "a replay sees nothing: plant and measured arm both get exactly what was recorded"
        return Evidence(True, True, why)
    if cameras:
        why = (
            f"it looks through {', '.join(cameras)}: rendered pictures are not those that it was "
            "trained on, so only shadow shows what it does"
        )
        return Evidence(True, False, why)
    return Evidence(True, True, "it sees joints only, and the plant has those too")


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """How one rehearsal ended. `at` is wall time (ISO 8601, UTC).

    `what`, `likely` and `do` are empty when it passed. `chunks` counts those that the twin judged,
    `late` those that it did not judge in time; `reasons` counts the refused ones by reason.
    `episodes` and `successes` are the plant's; `successes` None: the task is not known to it.
    """

    kind: Kind
    passed: bool
    evidence: bool
    why_evidence: str
    at: str
    robot: str
    subject: str
    task: str = ""
    seconds: float
    chunks: int
    refused: int
    late: int = 0
    reasons: dict[str, int] = {}
    episodes: int = 0
    successes: int | None = None
    faults: tuple[str, ...] = ()
    limited: dict[str, int] = {}
    inference_ms: float = 0.0
    inference_max_ms: float = 0.0
    observation_age_max_ms: float = 0.0
    notes: tuple[str, ...] = ()
    what: str = ""
    likely: str = ""
    do: str = ""

    @property
    def words(self) -> str:
        """One line for the arming list."""
        where = "in shadow" if self.kind == "shadow" else "in the plant"
        parts = [f"rehearsed {where} {self.seconds:.0f} s, {self.refused} of {self.chunks} chunks"]
        parts[0] += " refused"
        if self.late:
            parts.append(f"{self.late} without a verdict in time")
        if self.successes is not None:
            parts.append(f"{self.successes} of {self.episodes} episodes succeeded")
        if self.faults:
            parts.append(f"faults: {', '.join(self.faults)}")
        return ", ".join(parts)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The newest rehearsal of each kind for one hash."""

    shadow: Rehearsal | None = None
    plant: Rehearsal | None = None

    def newest(self, *, evidence: bool) -> Rehearsal | None:
        """The newest one that is evidence, or of any."""
        found = [each for each in (self.shadow, self.plant) if each is not None]
        found = [each for each in found if each.evidence or not evidence]
        return max(found, key=lambda each: each.at, default=None)


_decode = msgspec.json.Decoder(Kept).decode


class RehearsalStore:
    """The folder of verdicts: `<state>/rehearsals/<hash>.json`."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = paths.state_dir() / "rehearsals" if folder is None else folder

    def find(self, key: str) -> Kept:
        """What is kept under a hash. A file that is gone or cut short is no verdict."""
        try:
            return _decode((self.folder / f"{key}.json").read_bytes())
        except (OSError, msgspec.DecodeError):
            return Kept()

    def keep(self, key: str, rehearsal: Rehearsal) -> Path:
        """Keep a verdict in place of the last one of its kind; readers see old or new, never half.

        Raises OSError when the disk does not take it.
        """
        known = self.find(key)
        if rehearsal.kind == "shadow":
            kept = msgspec.structs.replace(known, shadow=rehearsal)
        else:
            kept = msgspec.structs.replace(known, plant=rehearsal)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{key}.json"
        partial = self.folder / f".{key}.{os.getpid()}"
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
        partial.replace(path)
        return path


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person reads before the arm is given away. `do` is empty when nothing is missing;
    `rehearsed` says whether the newest rehearsal that is evidence ended well."""

    rehearsed: bool
    words: str
    do: str


def standing(kept: Kept, command: str) -> Standing:
    """How something stands; `command` is how it is rehearsed."""
    found = kept.newest(evidence=True)
    if found is not None:
        do = "" if found.passed else f"{found.do} {command}".strip()
        return Standing(found.passed, found.words, do)
    other = kept.newest(evidence=False)
    if other is not None:
        return Standing(False, f"{other.words}; that shows little: {other.why_evidence}", command)
    return Standing(False, "never rehearsed", command)


def outcome(
    *,
    chunks: int,
    refused: int,
    reasons: dict[str, int],
    faults: Sequence[str],
    trouble: str,
    silent_s: float = 0.0,
) -> tuple[str, str, str]:
    """Why a rehearsal did not pass, in three parts; three empty strings when it did.

    `trouble` is why no chunk is made now, `silent_s` the longest time without one where that is
    more than may be.
    """
    if faults:
        return (
            f"The arm faulted: {', '.join(faults)}.",
            "It ran into something, or was asked for more than its servos give.",
            "Watch it: robotd start --sim and robotd view; then choose another checkpoint.",
        )
    if chunks == 0:
        return (
            "No chunk was judged, so nothing was rehearsed.",
            trouble
            or "The policy had no time, or nothing to look at; or the twin was always too late.",
            "Look: robotd status shows cameras and policy; robotd logs policy. Then again.",
        )
    if silent_s:
        return (
            f"For {silent_s:.0f} s no chunk was judged.",
            trouble or "A camera, the policy or the twin hung for that time.",
            "Look: robotd status shows cameras and policy; robotd logs policy. Then again.",
        )
    if refused:
        often = sorted(reasons.items(), key=lambda item: -item[1])
        named = ", ".join(f"{why} ({count})" for why, count in often)
        return (
            f"{refused} of {chunks} chunks were refused by the twin: {named}.",
            "The start is not one of its data, the calibration is another arm's, or the policy is "
            "not trained enough. On the arm each of them would be a hold.",
            "Put the arm where its demonstrations start and the scene as it was; then rehearse "
            "again.",
        )
    return "", "", ""
