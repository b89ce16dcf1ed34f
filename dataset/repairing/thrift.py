"""Thrift's compact protocol, as far as a parquet file's own structures need it.

A struct is a dict of field number to (type, value); a list is a pair (type of the elements, values).
What is read and written back is byte for byte the same, unknown fields included. The encoding is
that of the Thrift specification, "compact protocol".
"""

import struct
from typing import Any

type Struct = dict[int, tuple[int, Any]]

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_INTEGERS = (I16, I32, I64)
_DEEPEST = 16
"""A parquet header nests four structs deep; anything deeper is not one."""


class Reader:
    """Reads structs out of `data`, beginning at `place`; `place` is behind what was read.

    Raises ValueError or IndexError where the bytes are no struct or end too early.
    """

    def __init__(self, data: bytes | memoryview, place: int = 0) -> None:
        self._data = memoryview(data)
        self.place = place

    def struct(self, depth: int = 0) -> Struct:
        """One struct."""
        if depth > _DEEPEST:
            raise ValueError("nested too deep for a parquet header")
        fields: Struct = {}
        number = 0
        while True:
            head = self._byte()
            kind = head & 0x0F
            if head == 0:
                return fields
            delta = head >> 4
            number = number + delta if delta else self._integer()
            fields[number] = (kind, self._value(kind, depth))

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind == BYTE:
            return self._byte()
        if kind in _INTEGERS:
            return self._integer()
        if kind == DOUBLE:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind in (LIST, SET):
            head = self._byte()
            size, element = head >> 4, head & 0x0F
            size = self._varint() if size == 15 else size
            if element in (TRUE, FALSE):
                return element, [self._byte() == TRUE for _ in range(size)]
            return element, [self._value(element, depth + 1) for _ in range(size)]
        if kind == STRUCT:
            return self.struct(depth + 1)
        raise ValueError(f"type {kind} is none that a parquet header has")

    def _byte(self) -> int:
        value = self._data[self.place]
        self.place += 1
        return value

    def _bytes(self, count: int) -> bytes:
        if self.place + count > len(self._data):
            raise IndexError("the data ends inside a field")
        value = bytes(self._data[self.place : self.place + count])
        self.place += count
        return value

    def _varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("an integer of more than 64 bits")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def encode(fields: Struct) -> bytes:
    """The bytes of a struct."""
    out = bytearray()
    before = 0
    for number, (kind, value) in sorted(fields.items()):
        written = (TRUE if value else FALSE) if kind in (TRUE, FALSE) else kind
        delta = number - before
        if 0 < delta < 16:
            out.append(delta << 4 | written)
        else:
            out.append(written)
            out += _integer(number)
        before = number
        if kind not in (TRUE, FALSE):
            out += _value(kind, value)
    out.append(0)
    return bytes(out)


def _value(kind: int, value: Any) -> bytes:
    if kind == BYTE:
        return bytes([value])
    if kind in _INTEGERS:
        return _integer(value)
    if kind == DOUBLE:
        return struct.pack("<d", value)
    if kind == BINARY:
        return _varint(len(value)) + bytes(value)
    if kind in (LIST, SET):
        element, values = value
        small = len(values) < 15
        head = bytes([(len(values) if small else 15) << 4 | element])
        head += b"" if small else _varint(len(values))
        if element in (TRUE, FALSE):
            return head + bytes(TRUE if each else FALSE for each in values)
        return head + b"".join(_value(element, each) for each in values)
    if kind == STRUCT:
        return encode(value)
    raise ValueError(f"type {kind} is none that a parquet header has")


def _integer(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
