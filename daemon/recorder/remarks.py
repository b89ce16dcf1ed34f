"""What a person says of an episode while the session is open: marks, success, notes.

The running episode takes it at once; the last kept one takes it wherever it is by then, in its
journal or in its dataset.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from daemon.recorder.intake import Intake
from daemon.recorder.labels import check_mark_name, check_note, said
from daemon.recorder.plan import Plan
from daemon.recorder.saving import Failed, Saving
from daemon.recorder.schema import Mark
from daemon.recorder.session import Session
from robotd.errors import StateError

type Answered = Callable[[dict[str, Any]], None]


def put_mark(session: Session, intake: Intake, name: str) -> dict[str, Any]:
    """Mark the row of this moment; its number among those of that name. Raises DatasetError for a
    name that is none, StateError while nothing is recorded."""
    check_mark_name(name)
    row = session.rows + intake.under_way()
    after = session.annotate(
        lambda before: msgspec.structs.replace(before, marks=(*before.marks, Mark(row, name)))
    )
    return {"row": row, "number": sum(mark.name == name for mark in after.marks)}


def put_label(
    session: Session,
    saving: Saving,
    plan: Plan,
    success: bool | None,
    note: str | None,
    answered: Answered,
    failed: Failed,
) -> None:
    """Say of the running episode, or of the last kept one, what is not None.

    Raises DatasetError for a note that is no text, StateError when there is no such episode.
    """
    check_note(note or "")
    episode = session.recording
    if episode is not None:
        session.annotate(lambda before: said(before, success, note))
        answered({"journal": episode.journal_id})
        return
    if not plan.kept:
        raise StateError(
            "There is no episode to say something of.",
            "None is being recorded, and none was kept in this session.",
            "Episodes of earlier sessions: robotd dataset relabel.",
        )
    journal_id = plan.kept[-1]

    def labelled() -> None:
        if success is not None:
            plan.relabelled(journal_id, "success" if success else "fail")
        answered({"journal": journal_id})

    root = Path(plan.spec.dataset_root)
    saving.relabel(root, journal_id, lambda before: said(before, success, note), labelled, failed)
