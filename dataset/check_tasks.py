"""Findings about tasks: every row has one, at its place, that says something."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder.info import TASKS
from dataset.check_contents import Contents, column
from dataset.check_rows import Stretches
from dataset.findings import Finding, error, warning


def check_tasks(found: Contents, rows: pa.Table, where: Stretches) -> list[Finding]:
    """Every task_index has a task, at its position, that says something."""
    numbers = [number for number, _ in found.tasks]
    used = column(rows, "task_index")
    result = []
    lacking = sorted(set(np.unique(used).tolist()) - set(numbers)) if len(used) else []
    if lacking:
        of = tuple(
            e
            for e, places in where.items()
            if any(np.isin(used[a:b], lacking).any() for a, b in places)
        )
        result.append(
            error(
                "task-missing",
                f"{TASKS} has no task {', '.join(map(str, lacking))}"
                + (f": {found.tasks_problem}." if found.tasks_problem else "."),
                "The file was lost, edited, or its writer was killed.",
                "--fix takes the task from meta/episodes, where that says it.",
                episodes=of,
                mends=set(lacking) <= set(tasks_by_episodes(found, used, where)),
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
        of = tuple(
            e
            for e, places in where.items()
            if any(np.isin(used[a:b], empty).any() for a, b in places)
        )
        result.append(
            warning(
                "task-empty",
                "The task is empty.",
                "It was recorded without a sentence for the task.",
                "A policy that reads language learns nothing from it: robotd dataset relabel.",
                episodes=of,
            )
        )
    return result


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
