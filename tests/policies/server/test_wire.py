"""The wire format against openpi's own code, and against what a network may bring."""

from typing import Any

import msgpack
import numpy as np
import pytest
from openpi_client import msgpack_numpy

from policies.server.wire import WireError, pack, unpack

MESSAGES: list[dict[str, Any]] = [
    {"a": np.arange(6, dtype=np.float32), "prompt": "wave"},
    {"a": np.arange(24, dtype=np.uint8).reshape(2, 4, 3)[:, ::2], "b": {"c": np.float64(0.1)}},
    {
        "empty": np.zeros((0, 3)),
        "truth": np.bool_(True),
        "text": np.array(["ab", "c"]),
        "n": [1, 2.5],
    },
    {"odd": np.array([np.nan, -np.inf]), "scalar": np.array(3, np.int64)},
]


@pytest.mark.parametrize("message", MESSAGES)
def test_it_packs_byte_for_byte_what_openpi_packs_and_reads_it_back(
    message: dict[str, Any],
) -> None:
    body = pack(message)
    assert body == msgpack_numpy.packb(message)
    ours, theirs = unpack(body), msgpack_numpy.unpackb(body)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, np.ndarray):
            assert ours[key].dtype == value.dtype and ours[key].shape == value.shape
            assert ours[key].tobytes() == value.tobytes()
        else:
            assert ours[key] == value


def array(dtype: object, shape: object, data: object) -> bytes:
    body = {b"__ndarray__": True, b"dtype": dtype, b"shape": shape, b"data": data}
    return bytes(msgpack.packb({"a": body}))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (array("|O", [1], b"12345678"), "dtype"),
        (array("i4,O", [1], b"12345678"), "dtype"),
        (array("<c8", [1], b"12345678"), "dtype"),
        (array("|V8", [1], b"12345678"), "dtype"),
        (array("<f4", [1 << 40], b"1234"), "bytes"),
        (array("<f4", [-1], b""), "shape"),
        (array("<f4", [2], b"1234"), "bytes"),
        (array("<f4", "no", b"1234"), "shape"),
        (array(7, [1], b"1234"), "dtype"),
        (b"\xc1", "msgpack"),
        (b"", "msgpack"),
        (msgpack.packb({"a": 1}) + b"more", "msgpack"),
        (b"\x91" * 5000, "msgpack"),
        (msgpack.packb([1, 2]), "map"),
        (msgpack.packb({b"a": 1}), "name"),
    ],
)
def test_what_could_hold_objects_or_does_not_fit_its_bytes_is_refused_by_name(
    body: bytes, said: str
) -> None:
    with pytest.raises(WireError, match=said):
        unpack(body)


@pytest.mark.parametrize("value", [np.array([object()]), np.zeros(2, complex), object(), {1, 2}])
def test_what_the_wire_does_not_carry_is_not_sent(value: object) -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        pack({"a": value})
