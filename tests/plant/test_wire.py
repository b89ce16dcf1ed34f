"""The byte protocol: golden vectors, resynchronisation, no input that breaks the parser."""

from hypothesis import given
from hypothesis import strategies as st

from sim.plant.wire import Parser, instruction_packet, status_packet

PING_1 = bytes.fromhex("FFFF010201FB")

ids = st.integers(0, 0xFD)
codes = st.sampled_from([0x01, 0x02, 0x03, 0x04, 0x05, 0x82, 0x83])
parameters = st.binary(max_size=40).filter(lambda data: b"\xff" not in data)


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """An instruction without FF in its parameters (a master never sends such goals)."""
    return instruction_packet(draw(ids), draw(codes), draw(parameters))


def test_documented_packets_are_built_byte_for_byte() -> None:
    assert instruction_packet(1, 0x01) == PING_1
    assert instruction_packet(1, 0x02, b"\x38\x02") == bytes.fromhex("FFFF0104023802BE")
    write = bytes.fromhex("2A00080000E803")
    assert instruction_packet(1, 0x03, write) == bytes.fromhex("FFFF0109032A00080000E803D5")
    assert instruction_packet(0xFE, 0x05) == bytes.fromhex("FFFFFE0205FA")
    sync_read = bytes.fromhex("3802010203040506")
    assert instruction_packet(0xFE, 0x82, sync_read) == bytes.fromhex(
        "FFFFFE0A82380201020304050626"
    )
    goal = bytes.fromhex("00080000E803")
    sync_write = bytes((0x2A, 6)) + b"".join(bytes((n,)) + goal for n in range(1, 5))
    packet = instruction_packet(0xFE, 0x83, sync_write)
    assert packet[:5] == bytes.fromhex("FFFFFE2083")
    assert packet[-1] == 0x58
    assert status_packet(1, 0) == bytes.fromhex("FFFF010200FC")
    assert status_packet(1, 0, b"\x18\x05") == bytes.fromhex("FFFF0104001805DD")


@given(st.lists(packets(), max_size=6))
def test_packets_are_found_whole_or_byte_by_byte(stream: list[bytes]) -> None:
    data = b"".join(stream)
    whole = Parser().feed(data)
    parser = Parser()
    pieces = [packet for byte in data for packet in parser.feed(bytes((byte,)))]
    assert [(p.servo_id, p.code, p.parameters) for p in whole] == [
        (p.servo_id, p.code, p.parameters) for p in pieces
    ]
    assert len(whole) == len(stream)


@given(st.binary(max_size=300), st.lists(st.integers(1, 20), max_size=20))
def test_noise_in_any_pieces_never_breaks_the_parser(noise: bytes, sizes: list[int]) -> None:
    parser = Parser()
    at = 0
    for size in sizes:
        parser.feed(noise[at : at + size])
        at += size
    parser.feed(noise[at:])
    # A header starts a packet whatever came before; at most the first is eaten as noise's tail.
    assert any(p.servo_id == 1 and p.code == 1 for p in parser.feed(PING_1 + PING_1))


@given(st.binary(max_size=200))
def test_the_short_way_through_finds_what_the_long_way_finds(data: bytes) -> None:
    data = data.replace(b"\xfe", b"\xff")  # more headers than chance would give
    slow = Parser()
    pieces = [packet for byte in data for packet in slow.feed(bytes((byte,)))]
    fast = Parser().feed(data)
    assert [(p.servo_id, p.code, p.parameters) for p in fast] == [
        (p.servo_id, p.code, p.parameters) for p in pieces
    ]


def test_a_packet_behind_half_a_packet_is_heard() -> None:
    assert [p.servo_id for p in Parser().feed(PING_1[:4] + PING_1)] == [1]


def test_a_wrong_checksum_and_a_short_length_are_dropped() -> None:
    assert Parser().feed(PING_1[:-1] + b"\x00") == []
    assert Parser().feed(bytes.fromhex("FFFF010101FB")) == []


def test_ff_ff_inside_parameters_loses_the_instruction() -> None:
    lost = instruction_packet(1, 0x03, b"\x2a\xff\xff")
    assert Parser().feed(lost) == []
    parser = Parser()
    parser.feed(lost)
    assert [p.servo_id for p in parser.feed(PING_1)] == [1]
