"""What a dataset written anew says of its episodes: tasks, facts and statistics; pure.

An episode's statistics move with it. Only those of the three columns that count (`index`,
`episode_index`, `task_index`) are new, since their values are; LeRobot's merge does the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder.film import Pick, Scene
from daemon.recorder.info import STATS
from daemon.recorder.source import RowReader, Source, joined_tables
from daemon.recorder.stats import Stats, aggregate, from_json, vector_stats

_COUNTING = ("index", "episode_index", "task_index")
_UNSHIFTED = ("std", "count")


class Fact(NamedTuple):
    """An episode's rows in the new dataset: file, first index, number, task_index of each, tasks."""

    place: tuple[int, int]
    first: int
    length: int
    task_ids: npt.NDArray[Any]
    tasks: tuple[str, ...]


def tasks_of(sources: Sequence[Source], picks: Sequence[Pick], *, used_only: bool) -> list[str]:
    """The new dataset's tasks by task_index: those of the sources in order, then new ones."""
    old = dict.fromkeys(task for source in sources for task in source.tasks)
    every = list(dict.fromkeys([*old, *(pick.task for pick in picks if pick.task)]))
    if not used_only or len(every) == 1:
        return every
    readers = [RowReader(source) for source in sources]
    used = {pick.task for pick in picks if pick.task}
    for pick in picks:
        if not pick.task:
            ids = readers[pick.source].rows(pick.episode)["task_index"].unique().to_pylist()
            used |= {sources[pick.source].tasks[number] for number in ids}
    return [task for task in every if task in used]


def episodes_of(
    sources: Sequence[Source],
    picks: Sequence[Pick],
    facts: Sequence[Fact],
    scenes: Mapping[str, Sequence[Scene]],
) -> pa.Table:
    """The rows of meta/episodes, in the sources' columns and types."""
    table = _picked(sources, picks)
    firsts = [fact.first for fact in facts]
    old_first = table["dataset_from_index"].to_pylist()
    old_index = table["episode_index"].to_pylist()
    columns: dict[str, list[Any]] = {
        "episode_index": list(range(len(picks))),
        "tasks": [list(fact.tasks) for fact in facts],
        "length": [fact.length for fact in facts],
        "data/chunk_index": [fact.place[0] for fact in facts],
        "data/file_index": [fact.place[1] for fact in facts],
        "dataset_from_index": firsts,
        "dataset_to_index": [fact.first + fact.length for fact in facts],
    }
    for key, places in scenes.items():
        columns[f"videos/{key}/chunk_index"] = [scene.place[0] for scene in places]
        columns[f"videos/{key}/file_index"] = [scene.place[1] for scene in places]
        columns[f"videos/{key}/from_timestamp"] = [scene.from_s for scene in places]
        columns[f"videos/{key}/to_timestamp"] = [scene.to_s for scene in places]
    table = _set(table, columns)
    by = [new - old for new, old in zip(firsts, old_first, strict=True)]
    table = _shifted(table, "index", by)
    table = _shifted(table, "episode_index", [new - old for new, old in enumerate(old_index)])
    return _task_stats(table, facts)


def stats_of(sources: Sequence[Source], picks: Sequence[Pick], episodes: pa.Table) -> Stats:
    """stats.json: a source that is in as a whole brings its own, others are put together from
    their episodes'. The counting columns come from the new episodes."""
    own = _stats_by_episode(episodes)
    parts: list[Stats] = []
    for number, source in enumerate(sources):
        places = [place for place, pick in enumerate(picks) if pick.source == number]
        path = source.root / STATS
        whole = sorted(picks[place].episode for place in places) == list(
            range(len(source.episodes))
        )
        if whole and path.exists():
            parts.append(from_json(msgspec.json.decode(path.read_bytes())))
        elif places:
            parts.append(aggregate([own[place] for place in places]))
    total = dict(parts[0]) if len(parts) == 1 else aggregate(parts)
    counting = aggregate([{n: v for n, v in each.items() if n in _COUNTING} for each in own])
    features = sources[0].info["features"]
    merged = total | counting
    return {name: merged[name] for name in [*features, *merged] if name in merged}


def _picked(sources: Sequence[Source], picks: Sequence[Pick]) -> pa.Table:
    tables = [source.episodes for source in sources]
    first = np.cumsum([0, *(len(table) for table in tables)])
    table = tables[0] if len(tables) == 1 else joined_tables(tables)
    return table.take([int(first[pick.source]) + pick.episode for pick in picks])


def _set(table: pa.Table, columns: Mapping[str, list[Any]]) -> pa.Table:
    for name, values in columns.items():
        if name in table.column_names:
            place = table.column_names.index(name)
            field = table.schema.field(place)
            table = table.set_column(place, field, pa.array(values, field.type))
    return table


def _shifted(table: pa.Table, feature: str, by: Sequence[int]) -> pa.Table:
    """Statistics of a column whose values all grew by the same."""
    columns = {}
    for name in table.column_names:
        if name.startswith(f"stats/{feature}/") and not name.endswith(_UNSHIFTED):
            old = table[name].to_pylist()
            columns[name] = [
                None if each is None else [value + more for value in each]
                for each, more in zip(old, by, strict=True)
            ]
    return _set(table, columns)


def _task_stats(table: pa.Table, facts: Sequence[Fact]) -> pa.Table:
    names = [name for name in table.column_names if name.startswith("stats/task_index/")]
    if not names:
        return table
    each = [vector_stats(fact.task_ids) for fact in facts]
    return _set(
        table,
        {
            name: [stats[statistic].tolist() if statistic in stats else None for stats in each]
            for name in names
            for statistic in [name.rsplit("/", 1)[1]]
        },
    )


def _stats_by_episode(episodes: pa.Table) -> list[Stats]:
    names = [name for name in episodes.column_names if name.startswith("stats/")]
    result: list[Stats] = []
    for row in episodes.select(names).to_pylist():
        nested: dict[str, dict[str, Any]] = {}
        for key, value in row.items():
            feature, name = key.removeprefix("stats/").rsplit("/", 1)
            if value is not None:
                nested.setdefault(feature, {})[name] = value
        result.append(from_json(nested))
    return result
