"""TFRecord by its specification, and byte for byte as TensorFlow writes it."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.exporting.tfrecord import crc32c, example, write_record

# Written by TensorFlow 2.21's TFRecordWriter (`SerializeToString(deterministic=True)`): an Example
# of the features below, then an empty record.
BY_TENSORFLOW = bytes.fromhex(
    "d1000000000000009fc921d90ace010a1d0a016112181a160a140001fbffffffffffffffff01ac02808080808020"
    "0a150a01621210120e0a0c0000003f0000a0bf180d8f4d0a95010a0163128f010a8c010a000a03e282ac0a8201"
    + "78" * 130
    + "b939d286000000000000000029039807d8ea82a2"
)


def test_records_are_those_that_tensorflow_writes() -> None:
    file = io.BytesIO()
    message = example(
        {
            "c": [b"", "€".encode(), b"x" * 130],
            "a": np.array([0, 1, -5, 300, 1 << 40]),
            "b": np.array([0.5, -1.25, 3e8], np.float32),
        }
    )
    assert write_record(file, message) == len(BY_TENSORFLOW) - 16
    write_record(file, b"")
    assert file.getvalue() == BY_TENSORFLOW


@pytest.mark.parametrize(
    ("data", "checksum"),
    [  # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
    ],
)
def test_checksums_are_those_of_the_standard(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


@settings(max_examples=25)
@given(st.integers(1, 40_000), st.integers(0, 2**32))
def test_long_data_have_the_checksum_of_a_loop_over_their_bytes(length: int, seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 256, length, np.uint8).tobytes()
    crc = 0xFFFFFFFF
    for byte in data[:4095]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    if length < 4096:
        assert crc32c(data) == crc ^ 0xFFFFFFFF
    # Of a message followed by its checksum, every CRC-32C has the same remainder.
    whole = data + crc32c(data).to_bytes(4, "little")
    assert crc32c(whole) == 0x48674BC7


def test_values_of_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        example({"a": np.zeros(2)})
