"""What a rehearsal leaves behind: the verdict that is kept, and the report that a person reads."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from daemon.rehearsals import Evidence, Rehearsal, RehearsalStore
from robotd.errors import RobotdError, StateError
from robotd.messages import ShadowStatus


def of_shadow(
    ended: ShadowStatus, means: Evidence, robot: str, subject: str, task: str
) -> Rehearsal:
    """A shadow that the daemon has kept already, as a report."""
    return Rehearsal(
        kind="shadow",
        passed=ended.passed,
        evidence=means.shadow,
        why_evidence=means.why,
        at=now(),
        robot=robot,
        subject=subject,
        task=task,
        seconds=ended.elapsed_s,
        chunks=ended.chunks,
        refused=ended.refused,
        late=ended.late,
        reasons=ended.reasons,
        inference_ms=ended.inference_ms,
        inference_max_ms=ended.inference_max_ms,
        observation_age_max_ms=ended.observation_age_max_ms,
        what=ended.error,
        likely=ended.likely,
        do=ended.do,
    )


def keep(key: str, rehearsal: Rehearsal) -> Rehearsal:
    """Keep a verdict and give it back. Raises StateError when the disk does not take it."""
    try:
        RehearsalStore().keep(key, rehearsal)
    except OSError as error:
        raise StateError(
            f"The verdict could not be kept: {error.strerror or error}.",
            "The disk of the state folder is full or read-only.",
            "Make room (robotd status --paths names the folder), then rehearse again.",
        ) from error
    return rehearsal


def now() -> str:
    """Wall time, as verdicts carry it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def plain(done: Sequence[Rehearsal]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [msgspec.to_builtins(each) | {"words": each.words} for each in done]


def show(rehearsal: Rehearsal) -> None:
    """The report: what came of it, what it means, and why it failed in three parts."""
    print(f"{'passed' if rehearsal.passed else 'FAILED'}: {rehearsal.words}")
    if rehearsal.inference_ms:
        print(
            f"  {rehearsal.inference_ms:.0f} ms a chunk, {rehearsal.inference_max_ms:.0f} at most"
        )
    if rehearsal.observation_age_max_ms:
        print(f"  it saw what was {rehearsal.observation_age_max_ms:.0f} ms old at most")
    for why, count in sorted(rehearsal.reasons.items(), key=lambda item: -item[1]):
        print(f"  refused {count}: {why}")
    for why, count in sorted(rehearsal.limited.items(), key=lambda item: -item[1]):
        print(f"  limited in {count} ticks by {why}")
    for note in rehearsal.notes:
        print(f"  note: {note}")
    weight = "evidence" if rehearsal.evidence else "NO evidence for this robot"
    print(f"  {weight}: {rehearsal.why_evidence}")
    if rehearsal.what:
        print(RobotdError(rehearsal.what, rehearsal.likely, rehearsal.do))
