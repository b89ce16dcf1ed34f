"""Episodes as tables that anything opens: one CSV an episode, a row a frame, no pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from daemon.recorder.catalog import feature_names
from daemon.recorder.source import RowReader, Source
from dataset.columns import numbers
from dataset.exporting.columns import Beside
from dataset.progress import Progress

type More = Callable[[Beside], dict[str, pa.Array]]


def write_csv(
    source: Source, folder: Path, every: Sequence[Beside], more: More, progress: Progress
) -> dict[str, Any]:
    """Write `episode-000000.csv` … under `folder`; vectors become a column a value."""
    reader = RowReader(source)
    for done, beside in enumerate(every):
        progress("episodes", done, len(every))
        rows = reader.rows(beside.episode)
        columns: dict[str, Any] = {}
        for name, feature in source.info["features"].items():
            if feature["dtype"] not in ("video", "image") and len(feature["shape"]) == 1:
                columns |= _spread(name, rows[name], feature.get("names"))
        tasks = [source.tasks[number] for number in rows["task_index"].to_pylist()]
        columns["task"] = pa.array(tasks)
        for name, values in more(beside).items():
            columns |= _spread(name, values, None)
        csv.write_csv(pa.table(columns), folder / f"episode-{beside.episode:06d}.csv")
    return {"episodes": len(every), "frames": sum(beside.rows for beside in every)}


def _spread(name: str, column: Any, names: Any) -> dict[str, Any]:
    """A scalar column as it is; a vector's values side by side, under their own names."""
    if not (pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)):
        return {name: column}
    values = numbers(column)
    known = feature_names(names)
    parts = known if len(known) == values.shape[1] else tuple(map(str, range(values.shape[1])))
    return {f"{name}.{part}": values[:, place] for place, part in enumerate(parts)}
