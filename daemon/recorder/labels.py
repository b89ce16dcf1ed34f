"""What a person said of an episode, as columns in the field's names; pure.

`next.done`, `next.success` and `next.reward` speak of the frame after the row, as LeRobot's
evaluation writes them: they are set at the episode's last row. `subgoal` counts the marks of that
name: the row at which one was put is the first of the next subgoal.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from daemon.recorder.schema import Label, Manifest

DONE, SUCCESS, REWARD, SUBGOAL = "next.done", "next.success", "next.reward", "subgoal"
"""The names that LeRobot's evaluation and its learning code use, and ours of a mark."""


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


def final_reward(label: Label) -> float:
    """The reward of the episode's last frame."""
    return label.reward if label.reward is not None else float(label.success is True)
