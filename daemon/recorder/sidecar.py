"""What lies beside an episode in `robotd/episodes/`, taken along when episodes get other numbers."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon.recorder.durable import link_or_copy
from daemon.recorder.film import Pick
from daemon.recorder.staging import BEFORE, episode_folder
from daemon.recorder.transaction import SIDECAR
from robotd.errors import StateError

EPISODES = f"{SIDECAR}/episodes"
PAGE = "episode.json"
"""What is known of an episode: its `schema.Manifest`."""


class Relabel(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of an episode from now on. UNSET: what was said of it stays."""

    success: bool | msgspec.UnsetType | None = msgspec.UNSET
    note: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def says(self) -> dict[str, Any]:
        """The fields of `schema.Label` that change."""
        return {
            name: value
            for name, value in msgspec.structs.asdict(self).items()
            if value is not msgspec.UNSET
        }


def stage_sidecar(
    folder: Path, roots: Sequence[Path], picks: Sequence[Pick], labels: Mapping[int, Relabel]
) -> dict[str, tuple[int, int]]:
    """Put what lies beside the picked episodes of the datasets `roots` under `folder`, by their new
    numbers; returns (episode_index, rows) by journal id of those that robotd recorded.

    Files are linked; the page about an episode is written anew. `labels` go by new number. What an
    episode replaced (`before`) belongs to the dataset as it was and stays behind. Raises
    StateError when an episode to be labelled has no page.
    """
    journals: dict[str, tuple[int, int]] = {}
    for index, pick in enumerate(picks):
        source = roots[pick.source] / episode_folder(pick.episode)
        target = folder / episode_folder(index)
        about = source / PAGE
        says = labels[index].says if index in labels else {}
        if says and not about.exists():
            raise StateError(
                f"Nothing is known of episode {pick.episode} beside its frames.",
                "Another program recorded it, or its robotd folder was removed.",
                "Only episodes of robotd's have a label; any may get a task (--task).",
            )
        if not source.is_dir():
            continue
        _link(source, target)
        if about.exists():
            page = msgspec.json.decode(about.read_bytes())
            page["episode_index"] = index
            page["label"] = {**page.get("label", {}), **says}
            if pick.task:
                page["spec"]["task"] = pick.task
            data = msgspec.json.format(msgspec.json.encode(page), indent=2)
            (target / PAGE).write_bytes(data)
            journals[page["journal_id"]] = (index, int(page["rows"]))
    return journals


def fingerprint(root: Path) -> frozenset[tuple[str, int, int]]:
    """What lies beside the episodes of `root`, by name, size and time: labels change at any time."""
    return frozenset(files_seen(root, [EPISODES]))


def files_seen(root: Path, parts: Sequence[str]) -> list[tuple[str, int, int]]:
    """(name, size, time of change) of every file under these folders of `root`, in order; a part
    may be a file."""
    found = []
    cut = len(str(root)) + 1
    for part in parts:
        single = [str(root / part)] if (root / part).is_file() else []
        below = [f"{at}/{name}" for at, _, names in os.walk(root / part) for name in names]
        for path in (*single, *below):
            stat = Path(path).stat()
            found.append((path[cut:], stat.st_size, stat.st_mtime_ns))
    return sorted(found)


def _link(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.name in (BEFORE, PAGE):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name)
        else:
            link_or_copy(path, target / path.name)
