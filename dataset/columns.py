"""Data columns of a LeRobotDataset as Arrow tables, for features of any type that LeRobot stores.

The recorder writes only joints and counters (`daemon.recorder.layout`); datasets of others, and
exports with labels, have text, booleans and pictures too.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder.info import Features

_TEXT = ("string", "language")
_PICTURES = ("image", "video")


def typed(column: pa.ChunkedArray | pa.Array, feature: Mapping[str, Any]) -> pa.Array:
    """`column` in the Arrow type in which LeRobot stores `feature`.

    Scalars and vectors are cast; pictures and matrices are left as they are.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    dtype, shape = str(feature["dtype"]), tuple(feature["shape"])
    if dtype in _PICTURES or len(shape) != 1:
        return array
    value_type = pa.string() if dtype in _TEXT else pa.type_for_alias(dtype)
    flat = array.flatten() if _is_list(array.type) else array
    flat = flat.cast(value_type)
    if shape == (1,):
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, shape[0])


def numbers(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[Any]:
    """A column of numbers or vectors as [rows] or [rows, n], in its own type."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not _is_list(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False))
    flat = np.asarray(array.flatten().to_numpy(zero_copy_only=False))
    return flat.reshape(len(array), -1)


def vector_column(values: npt.NDArray[Any], feature: Mapping[str, Any]) -> pa.Array:
    """The values [rows, n] of a feature, in its own type."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1).astype(str(feature["dtype"])))
    return typed(pa.FixedSizeListArray.from_arrays(flat, values.shape[1]), feature)


def has_statistics(feature: Mapping[str, Any]) -> bool:
    """Whether LeRobot computes statistics of this column's numbers."""
    return feature["dtype"] not in (*_TEXT, *_PICTURES)


def described(table: pa.Table, features: Features) -> pa.Table:
    """`table` with what Hugging Face's datasets note of its columns; without where they differ."""
    described: dict[str, Any] = {}
    for name in table.column_names:
        feature = features[name]
        dtype, shape = str(feature["dtype"]), tuple(feature["shape"])
        if dtype == "image":
            described[name] = {"_type": "Image"}
        elif dtype == "language" or len(shape) != 1:
            return table.replace_schema_metadata(None)
        else:
            value = {"dtype": dtype, "_type": "Value"}
            described[name] = (
                value if shape == (1,) else {"feature": value, "length": shape[0], "_type": "List"}
            )
    return table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": described}})}
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)
    )
