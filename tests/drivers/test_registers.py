"""The register map agrees with LeRobot's, apart from what is written down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import registers as r
from drivers.registers import ALL_REGISTERS, BY_NAME, DIFFERENCES_FROM_LEROBOT

tables = pytest.importorskip("lerobot.motors.feetech.tables")
encoding = pytest.importorskip("lerobot.motors.encoding_utils")

LEROBOT = tables.MODEL_CONTROL_TABLE["sts3215"]
LEROBOT_SIGNS = tables.MODEL_ENCODING_TABLE["sts3215"]


def test_every_register_has_the_address_and_size_lerobot_gives_it() -> None:
    ours = {x.name: (x.address, x.size) for x in ALL_REGISTERS}
    shared = set(ours) & set(LEROBOT)
    assert len(shared) > 40
    assert {name: ours[name] for name in shared} == {name: LEROBOT[name] for name in shared}


def test_a_name_only_one_table_has_is_a_documented_difference() -> None:
    only_one = set(BY_NAME) ^ set(LEROBOT)
    assert only_one <= set(DIFFERENCES_FROM_LEROBOT)
    assert set(DIFFERENCES_FROM_LEROBOT) - only_one == {"Present_Current"}


def test_every_sign_bit_is_lerobots_apart_from_the_current() -> None:
    for register in ALL_REGISTERS:
        if register.name != "Present_Current":
            assert register.sign_bit == LEROBOT_SIGNS.get(register.name), register.name
    assert r.PRESENT_CURRENT.sign_bit == 15


def test_baud_codes_agree_where_lerobots_table_is_right() -> None:
    theirs = {code: baud for baud, code in tables.MODEL_BAUDRATE_TABLE["sts3215"].items()}
    assert {code: r.BAUD_CODES[code] for code in range(5)} == {c: theirs[c] for c in range(5)}
    assert r.BAUD_CODES[5] == 76_800 != theirs[5]


def test_the_model_number_is_the_one_lerobot_expects() -> None:
    assert tables.MODEL_NUMBER_TABLE["sts3215"] == r.STS3215_MODEL_NUMBER


def test_the_telemetry_block_is_registers_56_to_70() -> None:
    assert (r.TELEMETRY_ADDRESS, r.TELEMETRY_LENGTH) == (56, 15)


def test_no_two_registers_overlap() -> None:
    used: set[int] = set()
    for register in ALL_REGISTERS:
        span = set(range(register.address, register.address + register.size))
        assert not span & used, register.name
        used |= span


@given(st.sampled_from(ALL_REGISTERS), st.data())
def test_what_is_encoded_decodes_to_itself_and_as_lerobot_does(register, data) -> None:
    value = data.draw(st.integers(register.minimum, register.maximum))
    wire = register.encode(value)
    assert len(wire) == register.size
    assert register.decode(wire) == value
    if register.sign_bit is not None:
        word = encoding.encode_sign_magnitude(value, register.sign_bit)
        assert int.from_bytes(wire, "little") == word
        assert register.decode(wire) == encoding.decode_sign_magnitude(word, register.sign_bit)


@given(st.sampled_from(ALL_REGISTERS), st.integers(1, 10_000))
def test_a_value_that_does_not_fit_is_refused_not_cut(register, beyond) -> None:
    for value in (register.maximum + beyond, register.minimum - beyond):
        with pytest.raises(ValueError, match=register.name):
            register.encode(value)
