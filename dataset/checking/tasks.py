"""Findings about tasks: every row has one, at its place, that says something."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder.info import TASKS
from dataset.checking.contents import Contents, column
from dataset.checking.rows import Stretches
from dataset.findings import Finding, error, warning

LOST_TASK = "task {} (its sentence was lost)"
"""What a repair calls a task that nothing names any more."""


def check_tasks(found: Contents, rows: pa.Table, where: Stretches) -> list[Finding]:
    """Every task_index has a task, at its position, that says something."""
    numbers = [number for number, _ in found.tasks]
    used = column(rows, "task_index")
    result = []
    lacking = sorted(set(np.unique(used).tolist()) - set(numbers)) if len(used) else []
    if lacking:
        of = _of(lacking, used, where)
        result.append(
            error(
                "task-missing",
                f"{TASKS} has no task {', '.join(map(str, lacking))}"
                + (f": {found.tasks_problem}." if found.tasks_problem else "."),
                "The file was lost, edited, or its writer was killed.",
                "--fix takes the task from meta/episodes, or calls it lost where that does not say it.",
                episodes=of,
                mends=True,
            )
        )
    elif numbers != list(range(len(numbers))):
        result.append(
            error(
                "task-order",
                f"{TASKS} does not list the tasks 0, 1, 2, …; LeRobot finds a task by position.",
                "It was edited by hand or with another tool.",
                "--fix puts them in order.",
                mends=sorted(numbers) == list(range(len(numbers))),
            )
        )
    empty = [number for number, task in found.tasks if not task.strip()]
    if empty and len(used):
        of = _of(empty, used, where)
        result.append(
            warning(
                "task-empty",
                "The task is empty.",
                "It was recorded without a sentence for the task.",
                "A policy that reads language learns nothing from it: robotd dataset relabel.",
                episodes=of,
            )
        )
    lost = [number for number, task in found.tasks if task == LOST_TASK.format(number)]
    if lost and len(used):
        result.append(
            warning(
                "task-lost",
                "Nobody knows any more what the arm was to do.",
                f"{TASKS} was torn when the dataset was mended.",
                'Say it: robotd dataset relabel NAME --episodes … --task "…".',
                episodes=_of(lost, used, where),
            )
        )
    return result


def _of(numbers: list[int], used: npt.NDArray[Any], where: Stretches) -> tuple[int, ...]:
    """The episodes that have a row of one of those tasks."""
    return tuple(
        episode
        for episode, places in where.items()
        if any(np.isin(used[first:stop], numbers).any() for first, stop in places)
    )


def tasks_by_episodes(found: Contents, used: npt.NDArray[Any], where: Stretches) -> dict[int, str]:
    """Tasks by task_index that episodes of one task give away in meta/episodes."""
    result: dict[int, str] = {}
    for row in found.episodes:
        words = row.get("tasks") or []
        places = where.get(int(row["episode_index"]), [])
        if len(words) != 1 or len(places) != 1:
            continue
        numbers = np.unique(used[slice(*places[0])])
        if len(numbers) == 1:
            result.setdefault(int(numbers[0]), str(words[0]))
    return result
