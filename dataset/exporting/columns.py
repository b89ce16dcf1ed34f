"""What lies beside a dataset, as columns of LeRobot's: labels, who moved the arm, and evidence.

Labels and sources have the field's names: `next.done`, `next.success`, `next.reward` as LeRobot's
evaluation writes them, `intervention` as its DAgger recordings do. Evidence keeps its own names
behind `evidence.`, with a dot where it has a slash, which LeRobot forbids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daemon.recorder import labels
from daemon.recorder.catalog import read_episode_about
from daemon.recorder.info import Features
from daemon.recorder.quality.files import read_verdict
from daemon.recorder.quality.finding import Verdict
from daemon.recorder.schema import Manifest
from daemon.recorder.staging import episode_folder
from robotd.errors import DatasetError

SOURCE, INTERVENTION, INTERVENTION_ID = "source", "intervention", "intervention_id"
EVIDENCE = "evidence."
NOBODY = "unknown"

DESCRIPTIONS = {
    labels.DONE: "bool: the episode ends with this row",
    labels.SUCCESS: "bool: it ends with this row and was called a success; only where every "
    "episode was judged",
    labels.REWARD: "float32: the label's reward, or 1 for a success, at the last row; else 0",
    labels.SUBGOAL: "int64: how many marks named subgoal were put up to this row",
    SOURCE: "string: who moved the arm at this row: leader, keyboard, scripted, policy, "
    "correction, …; unknown where robotd did not record it",
    INTERVENTION: "bool: a person corrected a policy at this row (LeRobot's DAgger column)",
    INTERVENTION_ID: "int64: which correction of the episode this row belongs to, -1: none",
    EVIDENCE: "what the recorder noted of the row (docs/recording.md); times in ns of "
    "CLOCK_MONOTONIC, goals in radians, -1 or false where nothing was noted",
}
"""What each column means; `evidence.` stands for all that begin with it."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known of one episode. `page` and `verdict` are None where robotd noted nothing."""

    episode: int
    rows: int
    page: Manifest | None
    verdict: Verdict | None
    evidence: pa.Table | None


def read_beside(root: Path, episode: int, rows: int, *, evidence: bool = True) -> Beside:
    """Read what lies beside an episode of `rows` rows.

    Raises DatasetError when it is not this episode's: another program renumbered the dataset.
    """
    folder = root / episode_folder(episode)
    page = read_episode_about(root, episode)
    path = folder / "evidence.parquet"
    table = pq.read_table(path) if evidence and page is not None and path.exists() else None
    counts = {page.rows if page else rows, rows if table is None else table.num_rows}
    if counts != {rows}:
        raise DatasetError(
            f"Episode {episode} of {root} has {rows} rows, and labels for {max(counts)}.",
            "Another program took episodes out, so that robotd's notes belong to others.",
            "`robotd dataset check` says which; robotd's own delete-episode keeps them together.",
        )
    return Beside(episode, rows, page, read_verdict(folder), table)


def label_features(every: Sequence[Beside]) -> Features:
    """The features that `label_columns` fills; no `next.success` unless all were judged."""
    judged = all(each.page is not None and each.page.label.success is not None for each in every)
    kinds = {
        labels.DONE: "bool",
        **({labels.SUCCESS: "bool"} if judged and every else {}),
        labels.REWARD: "float32",
        labels.SUBGOAL: "int64",
        SOURCE: "string",
        INTERVENTION: "bool",
        INTERVENTION_ID: "int64",
    }
    return {name: _feature(dtype, 1) for name, dtype in kinds.items()}


def label_columns(beside: Beside) -> dict[str, pa.Array]:
    """Labels and sources of one episode, a value a row."""
    rows = beside.rows
    if beside.page is not None:
        found = labels.columns(beside.page)
    else:
        done = np.zeros(rows, np.bool_)
        done[-1:] = True
        found = {
            labels.DONE: done,
            labels.REWARD: np.zeros(rows, np.float32),
            labels.SUBGOAL: np.zeros(rows, np.int64),
        }
    columns = {name: pa.array(values) for name, values in found.items()}
    source, number = _evidence_column(beside, SOURCE), _evidence_column(beside, INTERVENTION_ID)
    columns[SOURCE] = pa.array([NOBODY] * rows) if source is None else source
    ids = np.full(rows, -1) if number is None else number.fill_null(-1).to_numpy(False)
    columns[INTERVENTION_ID] = pa.array(ids.astype(np.int64))
    columns[INTERVENTION] = pa.array(ids >= 0)
    return columns


def evidence_features(every: Sequence[Beside]) -> Features:
    """The features that `evidence_columns` fills: the columns of all episodes together."""
    features: Features = {}
    for beside in every:
        if beside.evidence is None or not beside.rows:
            continue
        for field in beside.evidence.schema:
            name = _name(field.name)
            if pa.types.is_list(field.type):
                size = max(len(each or ()) for each in beside.evidence[field.name].to_pylist())
                dtype = str(field.type.value_type).replace("double", "float64")
                known = features.get(name)
                size = max(size, known["shape"][0] if known else 1)
                features[name] = _feature(dtype, size)
            else:
                features[name] = _feature(str(field.type), 1)
    return features


def evidence_columns(beside: Beside, features: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The evidence of one episode in the types of `features`; what was not noted is -1 or false."""
    noted = {} if beside.evidence is None else {_name(n): n for n in beside.evidence.column_names}
    columns = {}
    for name, feature in features.items():
        if not name.startswith(EVIDENCE):
            continue
        dtype, size = feature["dtype"], feature["shape"][0]
        nothing: Any = {"string": "", "bool": False}.get(dtype, -1)
        values: list[Any] = [None] * beside.rows
        if name in noted and beside.evidence is not None:
            values = beside.evidence[noted[name]].to_pylist()
        if size > 1 or any(isinstance(each, list) for each in values):
            flat = np.full((beside.rows, size), nothing, dtype)
            for row, each in enumerate(values):
                flat[row, : len(each or ())] = each or ()
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), size)
        else:
            columns[name] = pa.array([nothing if each is None else each for each in values])
    return columns


def _evidence_column(beside: Beside, name: str) -> pa.Array | None:
    if beside.evidence is None or name not in beside.evidence.column_names:
        return None
    return beside.evidence[name].combine_chunks()


def _name(column: str) -> str:
    return EVIDENCE + column.replace("/", ".")


def _feature(dtype: str, size: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [size], "names": None}
