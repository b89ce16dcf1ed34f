"""What `robotd dataset recover` lists: episodes that wait for a person."""

from collections.abc import Mapping
from typing import Any

from daemon.recorder.shelf import Shelf
from robotd.errors import RobotdError

_UNDECIDED = "it was ended without keep or discard"


def entries(shelf: Shelf, unsaved: Mapping[str, RobotdError]) -> list[dict[str, Any]]:
    """One entry an episode, oldest first: `state` "interrupted" (nobody decided on it) or "unsaved"
    (kept, but its dataset did not take it; `unsaved` says why, by journal id)."""
    found = [
        ("interrupted", manifest, manifest.reason or _UNDECIDED, "") for manifest in shelf.offered()
    ]
    found += [
        ("unsaved", manifest, unsaved[manifest.journal_id].what, unsaved[manifest.journal_id].do)
        for manifest in shelf.kept()
        if manifest.journal_id in unsaved
    ]
    return [
        {
            "journal": manifest.journal_id,
            "state": state,
            "dataset": manifest.spec.repo_id,
            "task": manifest.spec.task,
            "frames": manifest.rows,
            "seconds": manifest.rows / manifest.spec.fps,
            "why": why,
            "do": do,
        }
        for state, manifest, why, do in sorted(found, key=lambda each: each[1].journal_id)
    ]
