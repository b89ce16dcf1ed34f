"""Which episodes of a recording a checkpoint was not trained on, as far as anybody wrote that down.

LeRobot keeps the name of the dataset, a list of episodes and the split in `train_config.json`. On
episodes that it was trained on a policy that only remembers looks as good as one that understood, so
where nothing is known, or nothing is left, the report says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The episodes to look at. `held_out`: none of them was trained on; None: not known."""

    episodes: tuple[int, ...]
    held_out: bool | None
    words: str


def held_out(training: Mapping[str, Any] | None, root: Path, tasks: Sequence[str]) -> HeldOut:
    """Choose among the episodes of the dataset at `root`; `tasks` has the first task of each.

    `training` is the table `dataset` of the checkpoint's `train_config.json`; None where there is
    none.
    """
    every = tuple(range(len(tasks)))
    if training is None:
        words = "which episodes it was trained on is not known: the figures may flatter it"
        return HeldOut(every, None, words)
    name = str(training.get("repo_id") or training.get("root") or "")
    same = _same(training, root)
    if same is None:
        words = (
            f"it was trained on {name}, which is not here under that name: whether these are its "
            "episodes is not known, and if they are, the figures flatter it"
        )
        return HeldOut(every, None, words)
    if not same:
        return HeldOut(every, True, f"none of them was trained on: that was {name}")
    chosen = training.get("episodes")
    trained = [int(each) for each in chosen] if chosen is not None else list(every)
    trained = _without_split(trained, tasks, float(training.get("eval_split") or 0.0))
    left = tuple(sorted(set(every) - set(trained)))
    if not left:
        words = (
            "it was trained on every episode of this dataset: this is what it remembers, not what "
            "it understood"
        )
        return HeldOut(every, False, words)
    return HeldOut(
        left, True, f"the {len(left)} of {len(every)} episodes that it was not trained on"
    )


def dataset_here(training: Mapping[str, Any]) -> str:
    """What the dataset of a training is called on this machine: its folder where that is here, else
    its name; empty where neither was written down. A rented GPU's folder is nobody's here."""
    where = str(training.get("root") or "")
    if where and Path(where).expanduser().exists():
        return where
    return str(training.get("repo_id") or where)


def _same(training: Mapping[str, Any], root: Path) -> bool | None:
    """Whether `root` is what was trained on; None where it may be, moved or under another name."""
    where = training.get("root")
    path = Path(str(where)).expanduser().resolve() if where else None
    if path == root.resolve() or "/".join(root.resolve().parts[-2:]) == training.get("repo_id"):
        return True
    return None if path is not None and not path.exists() else False


def _without_split(trained: list[int], tasks: Sequence[str], split: float) -> list[int]:
    """LeRobot's own rule: the last ceil(n × split) episodes of each task are kept for evaluation."""
    by_task: dict[str, list[int]] = {}
    for episode in trained:
        by_task.setdefault(tasks[episode] if episode < len(tasks) else "", []).append(episode)
    return [
        episode
        for episodes in by_task.values()
        for episode in episodes[: len(episodes) - math.ceil(len(episodes) * split)]
    ]
