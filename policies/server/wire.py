"""openpi's wire format: msgpack with NumPy arrays in it, both directions.

An array is a map `{b"__ndarray__": True, b"data", b"dtype", b"shape"}`, a NumPy scalar one with
`b"__npgeneric__"` (openpi, packages/openpi-client/msgpack_numpy.py). What is packed here is byte for
byte what `openpi-client` packs. What is unpacked comes from a network: only numbers, truth values
and text make arrays; a dtype that could hold Python objects, a size that does not fit its bytes and
all that is no msgpack are refused by name.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

_KINDS = "biufSU"  # truth values, integers, floats, bytes and text

MAX_BYTES = 64 << 20
"""The largest message: four 1920x1080 pictures have 25 MB, a chunk a few kilobytes."""

Message = dict[str, Any]


class WireError(Exception):
    """A message that is not openpi's; `str()` says what is wrong with it."""


def pack(message: Mapping[str, Any]) -> bytes:
    """The message as bytes. Raises WireError for an array that the wire does not carry."""
    try:
        return bytes(msgpack.packb(message, default=_to_wire))
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(str(error)) from error


def unpack(body: bytes) -> Message:
    """The map in `body`; its arrays are read-only views of it. Raises WireError."""
    try:
        message = msgpack.unpackb(body, object_hook=_from_wire)
    except WireError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"it is no msgpack message: {error or type(error).__name__}") from error
    if not isinstance(message, dict):
        raise WireError(f"it holds {type(message).__name__}, not a map of names to values")
    strange = next((key for key in message if not isinstance(key, str)), None)
    if strange is not None:
        raise WireError(f"one of its names is {strange!r}, not text")
    return message


def _to_wire(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in _KINDS:
        raise WireError(f"arrays of {value.dtype} cannot be sent")
    if isinstance(value, np.ndarray):
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": value.shape,
        }
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise WireError(f"{type(value).__name__} cannot be sent")


def _from_wire(found: dict[Any, Any]) -> object:
    if b"__ndarray__" in found:
        dtype, shape = _dtype(found.get(b"dtype")), found.get(b"shape")
        data = found.get(b"data")
        if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise WireError(f"an array has the shape {shape!r}")
        if not isinstance(data, bytes) or math.prod(shape) * dtype.itemsize != len(data):
            raise WireError(f"an array of {dtype} {shape} does not have as many bytes")
        return np.ndarray(buffer=data, dtype=dtype, shape=tuple(shape))
    if b"__npgeneric__" in found:
        return _dtype(found.get(b"dtype")).type(found.get(b"data"))
    return found


def _dtype(name: object) -> np.dtype[Any]:
    """The dtype of that name, if it holds plain values."""
    try:
        dtype = np.dtype(name) if isinstance(name, str) else None
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or dtype.kind not in _KINDS:
        raise WireError(f"an array has the dtype {name!r}; only numbers and text are taken")
    return dtype
