"""TFRecord files of tf.train.Example messages, written without TensorFlow.

A record is its length (uint64), the length's masked CRC-32C, the bytes, and theirs. An Example is a
protobuf message: a map from feature names to a list of bytes, floats or int64s (tensorflow's
`example.proto` and `feature.proto`). Keys are written in order, so equal content is equal bytes.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

type Values = Sequence[bytes] | npt.NDArray[np.float32] | npt.NDArray[np.int64]
type Words = npt.NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_MASK_DELTA = 0xA282EAD8
_ONES = 0xFFFFFFFF
_LANES = 4096
_SHORT_BYTES = 4096  # below this a loop over bytes is quicker than lanes
_DELIMITED = 2  # protobuf's wire type of all that has a length
_BYTES, _FLOATS, _INTS = 1, 2, 3  # the fields of tensorflow.Feature


def write_record(file: BinaryIO, data: bytes) -> int:
    """Append one record; returns the bytes that it takes in the file."""
    length = struct.pack("<Q", len(data))
    file.write(length + struct.pack("<I", masked(crc32c(length))))
    file.write(data)
    file.write(struct.pack("<I", masked(crc32c(data))))
    return len(data) + 16


def example(features: Mapping[str, Values]) -> bytes:
    """A serialized tf.train.Example. Floats are float32 and ints int64, both one-dimensional."""
    entries = []
    for name in sorted(features):
        entry = _field(1, name.encode()) + _field(2, _feature(features[name]))
        entries.append(_field(1, entry))
    return _field(1, b"".join(entries))


def masked(crc: int) -> int:
    """A checksum as TFRecord stores it, so that data which hold checksums are checked well."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _ONES


def crc32c(data: bytes) -> int:
    """CRC-32C (RFC 3720) of `data`.

    Long data are cut into lanes of equal length that numpy takes a byte of at a time; what comes
    before a lane is then carried over it as a linear map of the register's 32 bits.
    """
    table = _table()
    if len(data) < _SHORT_BYTES:
        crc = _ONES
        for byte in data:
            crc = crc >> 8 ^ int(table[(crc ^ byte) & 0xFF])
        return crc ^ _ONES
    lane_bytes = -(-len(data) // _LANES)
    # Zeros in front leave an empty register empty, so they fill up the first lanes.
    padded = np.zeros(_LANES * lane_bytes, np.uint8)
    padded[-len(data) :] = np.frombuffer(data, np.uint8)
    register: Words = np.zeros(_LANES, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(_LANES, lane_bytes).T):
        register = np.bitwise_xor(register >> 8, table[(register ^ column) & 0xFF])
    over = _zeros(lane_bytes)
    while len(register) > 1:
        register = _through(over, register[0::2]) ^ register[1::2]
        over = _through(over, over)
    start = _through(_zeros(len(data)), np.array([_ONES], np.uint32))
    return int(register[0] ^ start[0]) ^ _ONES


@cache
def _table() -> Words:
    register = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        register = register >> 1 ^ np.where(register & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return register


def _through(matrix: Words, registers: Words) -> Words:
    """Each register after the linear map whose columns are `matrix` [32]."""
    result = np.zeros_like(registers)
    for bit in range(32):
        result ^= np.where(registers >> np.uint32(bit) & 1, matrix[bit], np.uint32(0))
    return result


def _zeros(count: int) -> Words:
    """The map of `count` zero bytes, as its columns [32]."""
    result = np.uint32(1) << np.arange(32, dtype=np.uint32)
    place = 0
    while count:
        if count & 1:
            result = _through(_power(place), result)
        count, place = count >> 1, place + 1
    return result


@cache
def _power(place: int) -> Words:
    """The map of 2**place zero bytes."""
    if place:
        half = _power(place - 1)
        return _through(half, half)
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    first: Words = np.bitwise_xor(bits >> 8, _table()[bits & 0xFF])
    return first


def _feature(values: Values) -> bytes:
    if not isinstance(values, np.ndarray):
        return _field(_BYTES, b"".join(_field(1, each) for each in values))
    if values.dtype == np.float32:
        return _field(_FLOATS, _field(1, values.astype("<f4").tobytes()) if len(values) else b"")
    if values.dtype != np.int64:
        raise TypeError(f"a feature holds bytes, float32 or int64, not {values.dtype}")
    return _field(_INTS, _field(1, b"".join(map(_varint, values.tolist()))) if len(values) else b"")


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | _DELIMITED) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative int64s are written as their two's complement
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
