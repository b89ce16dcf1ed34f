"""What a person said of an episode: whether it is text, and as columns in the field's names; pure.

`next.done`, `next.success` and `next.reward` speak of the frame after the row, as LeRobot's
evaluation writes them: they are set at the episode's last row. `subgoal` counts the marks of that
name: the row at which one was put is the first of the next subgoal.
"""

import unicodedata
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from daemon.recorder.schema import Label, Manifest, Mark
from robotd.errors import DatasetError

DONE, SUCCESS, REWARD, SUBGOAL = "next.done", "next.success", "next.reward", "subgoal"
"""The names that LeRobot's evaluation and its learning code use, and ours of a mark."""

NOTE_LIMIT_CHARACTERS = 4000
MARK_LIMIT_CHARACTERS = 60
_NO_TEXT = {"Cc", "Cs"}  # control characters, and half a surrogate pair


def columns(manifest: Manifest) -> dict[str, npt.NDArray[Any]]:
    """One value a row: `next.done` and `next.success` bool, `next.reward` float32, `subgoal` int64.

    Without a word about success there is no `next.success`: false would be a label nobody gave.
    """
    rows = manifest.rows
    done = np.zeros(rows, dtype=np.bool_)
    reward = np.zeros(rows, dtype=np.float32)
    subgoal = np.zeros(rows, dtype=np.int64)
    if rows:
        done[-1] = True
        reward[-1] = final_reward(manifest.label)
    for mark in manifest.marks:
        if mark.name == SUBGOAL:
            subgoal[mark.row :] += 1
    found: dict[str, npt.NDArray[Any]] = {DONE: done, REWARD: reward, SUBGOAL: subgoal}
    if manifest.label.success is not None:
        found[SUCCESS] = done & manifest.label.success
    return found


def said(manifest: Manifest, success: bool | None, note: str | None) -> Manifest:
    """`manifest` after a person said that; what is None stays as it was."""
    label = manifest.label
    return msgspec.structs.replace(
        manifest,
        label=Label(
            success=label.success if success is None else success,
            note=label.note if note is None else note,
            source="person",
            reward=label.reward if success is None else None,
        ),
    )


def final_reward(label: Label) -> float:
    """The reward of the episode's last frame."""
    return label.reward if label.reward is not None else float(label.success is True)


def check_note(note: str) -> None:
    """Raise DatasetError for a note that is no text. Several lines are; so is any language."""
    if len(note) > NOTE_LIMIT_CHARACTERS:
        raise DatasetError(
            f"The note is {len(note)} characters long; {NOTE_LIMIT_CHARACTERS} is the limit.",
            "A file or a log was pasted.",
            "Write what matters of it.",
        )
    _check_text("note", note.replace("\n", "").replace("\t", ""))


def check_mark_name(name: str) -> None:
    """Raise DatasetError for the name of a mark that is none: empty, long, or not of one line."""
    if not name.strip() or len(name) > MARK_LIMIT_CHARACTERS:
        raise DatasetError(
            f"{name!r} is no name for a mark.",
            f"A name has 1 to {MARK_LIMIT_CHARACTERS} characters.",
            f"Use {SUBGOAL}, or another word or two.",
        )
    _check_text("name of the mark", name)


def fitted(marks: tuple[Mark, ...], rows: int) -> tuple[Mark, ...]:
    """The marks of an episode that ended with `rows` rows, in order: a mark that was put at a row
    that could not be made any more stands at the last one."""
    inside = [Mark(min(mark.row, rows - 1), mark.name) for mark in marks if rows]
    return tuple(sorted(inside, key=lambda mark: mark.row))


def _check_text(what: str, text: str) -> None:
    strange = next((each for each in text if unicodedata.category(each) in _NO_TEXT), None)
    if strange is not None:
        raise DatasetError(
            f"The {what} contains the character U+{ord(strange):04X}, which is no text.",
            "It was pasted with an escape sequence or a control character.",
            "Write it in plain words.",
        )
