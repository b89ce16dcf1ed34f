"""Rows and evidence as Arrow tables: what the journal streams and the dataset is built from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder.schema import EpisodeSpec, Row

STATE, ACTION, ENVIRONMENT = "observation.state", "action", "observation.environment_state"


def row_schema(spec: EpisodeSpec) -> pa.Schema:
    """Columns of rows.arrow: the dataset's own, float32, and the task."""
    fields = [
        pa.field(STATE, pa.list_(pa.float32(), len(spec.state_names))),
        pa.field(ACTION, pa.list_(pa.float32(), len(spec.action_names))),
    ]
    if spec.environment_names:
        fields.append(pa.field(ENVIRONMENT, pa.list_(pa.float32(), len(spec.environment_names))))
    return pa.schema([*fields, pa.field("task", pa.string())])


def row_batch(spec: EpisodeSpec, rows: Sequence[Row]) -> pa.RecordBatch:
    """The rows as one batch of `row_schema`."""
    columns = [
        vectors([row.state for row in rows]),
        vectors([row.action for row in rows]),
    ]
    if spec.environment_names:
        columns.append(vectors([row.environment_state for row in rows]))
    columns.append(pa.array([row.task for row in rows], pa.string()))
    return pa.record_batch(columns, schema=row_schema(spec))


def evidence_schema(spec: EpisodeSpec) -> pa.Schema:
    """Columns of evidence.arrow; times in ns of CLOCK_MONOTONIC, goals in radians.

    New ones go to the end of the shared ones: readers ask by name and older episodes lack them.
    """
    goals = pa.list_(pa.float64())
    fields = [
        pa.field("tick_index", pa.int64()),
        pa.field("deadline_ns", pa.int64()),
        pa.field("requested_rad", goals),
        pa.field("applied_rad", goals),
        pa.field("limited_by", pa.int64()),
        pa.field("source", pa.string()),
        pa.field("chunk_id", pa.int64()),
        pa.field("chunk_index", pa.int64()),
        pa.field("missed_ticks", pa.int64()),
        pa.field("read_age_ns", pa.int64()),
        pa.field("command_age_ns", pa.int64()),
        pa.field("limited_by_joint", pa.list_(pa.int64())),
        pa.field("intervention_id", pa.int64()),
        pa.field("chunk_latency_us", pa.list_(pa.int64())),
    ]
    for camera in spec.cameras:
        fields.append(pa.field(f"capture_ns/{camera.name}", pa.int64()))
        fields.append(pa.field(f"repeated/{camera.name}", pa.bool_()))
    return pa.schema(fields)


def evidence_batch(spec: EpisodeSpec, rows: Sequence[Row]) -> pa.RecordBatch:
    """The rows' evidence as one batch of `evidence_schema`; a camera not mentioned is null."""
    every = [row.evidence for row in rows]
    columns: dict[str, list[Any]] = {
        "tick_index": [each.tick_index for each in every],
        "deadline_ns": [each.deadline_ns for each in every],
        "requested_rad": [np.asarray(each.requested_rad, np.float64) for each in every],
        "applied_rad": [np.asarray(each.applied_rad, np.float64) for each in every],
        "limited_by": [each.limited_by for each in every],
        "source": [each.source for each in every],
        "chunk_id": [each.chunk_id for each in every],
        "chunk_index": [each.chunk_index for each in every],
        "missed_ticks": [each.missed_ticks for each in every],
        "read_age_ns": [each.read_age_ns for each in every],
        "command_age_ns": [each.command_age_ns for each in every],
        "limited_by_joint": [each.limited_by_joint for each in every],
        "intervention_id": [each.intervention_id for each in every],
        "chunk_latency_us": [each.chunk_latency_us for each in every],
    }
    for camera in spec.cameras:
        columns[f"capture_ns/{camera.name}"] = [each.capture_ns.get(camera.name) for each in every]
        columns[f"repeated/{camera.name}"] = [each.repeated.get(camera.name) for each in every]
    return pa.RecordBatch.from_pydict(columns, schema=evidence_schema(spec))


def vectors(values: Sequence[npt.NDArray[Any] | None] | npt.NDArray[Any]) -> pa.Array:
    """Vectors of one length as a fixed-size list of float32, the type LeRobot stores."""
    stacked = np.asarray(values, dtype=np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(stacked.reshape(-1)), stacked.shape[1])


def matrix(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """A column of vectors as float32 [rows, n]. Raises ValueError when lengths differ."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float32).reshape(len(column), -1)


def read_stream(path: Path) -> pa.Table:
    """Every whole batch of an Arrow stream, up to where it was torn; no rows when none is whole."""
    batches: list[pa.RecordBatch] = []
    if not path.exists():
        return pa.table({})
    with pa.OSFile(str(path)) as file:
        try:
            reader = pa.ipc.open_stream(file)
        except (pa.ArrowInvalid, OSError):  # not even the schema reached the disk
            return pa.table({})
        while True:
            try:
                batches.append(reader.read_next_batch())
            except (StopIteration, pa.ArrowInvalid, OSError):  # the end, or where it was torn
                return pa.Table.from_batches(batches, reader.schema)
