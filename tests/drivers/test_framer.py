"""The wire protocol: golden frames, and a parser that noise can delay but never deceive."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import framer
from drivers.framer import ReplyParser

from .scripted_servos import frame

IDS = (1, 2, 3, 4, 5, 6)
LENGTH = 15
blocks = st.dictionaries(
    st.sampled_from(IDS),
    st.tuples(st.integers(0, 127), st.binary(min_size=LENGTH, max_size=LENGTH)),
    min_size=1,
)


def hexed(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def answers(replies: dict[int, tuple[int, bytes]]) -> bytes:
    return b"".join(frame(i, error, data) for i, (error, data) in replies.items())


def parse(stream: bytes, cuts: list[int], ids=IDS, length: int = LENGTH) -> ReplyParser:
    parser = ReplyParser()
    parser.expect(frozenset(ids), length)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        parser.feed(stream[start:end])
    return parser


def taken(parser: ReplyParser) -> dict[int, tuple[int, bytes]]:
    return {i: (reply.error, reply.data) for i, reply in parser.replies.items()}


def test_instructions_are_the_documented_bytes() -> None:
    assert framer.ping(1) == hexed("FF FF 01 02 01 FB")
    assert framer.read(1, 56, 2) == hexed("FF FF 01 04 02 38 02 BE")
    goal = hexed("00 08 00 00 E8 03")
    assert framer.write(1, 42, goal) == hexed("FF FF 01 09 03 2A 00 08 00 00 E8 03 D5")
    assert framer.action() == hexed("FF FF FE 02 05 FA")
    assert framer.sync_write(42, dict.fromkeys((1, 2, 3, 4), goal))[-2:] == hexed("03 58")
    assert framer.sync_read(56, 2, IDS) == hexed("FF FF FE 0A 82 38 02 01 02 03 04 05 06 26")


def test_reg_write_and_reboot_carry_their_codes() -> None:
    assert framer.reg_write(3, 42, b"\x01\x02")[4] == 0x04
    assert framer.reboot(3)[4] == 0x08


@given(st.integers(0, 253), st.integers(0, 255), st.binary(max_size=200))
def test_an_instruction_is_what_the_vendor_sdk_would_check(servo_id, address, data) -> None:
    sent = framer.write(servo_id, address, data)
    assert sent == frame(servo_id, 0x03, bytes([address]) + data)


@pytest.mark.parametrize("bad", [-1, 255, 1000])
def test_an_id_no_servo_can_have_is_refused(bad) -> None:
    with pytest.raises(ValueError, match="servo id"):
        framer.ping(bad)


def test_a_sync_frame_that_servos_could_not_parse_is_refused() -> None:
    with pytest.raises(ValueError, match="once"):
        framer.sync_read(56, 2, [1, 1])
    with pytest.raises(ValueError, match="same number"):
        framer.sync_write(42, {1: b"\0\0", 2: b"\0"})
    with pytest.raises(ValueError, match="at most"):
        framer.write(1, 0, bytes(300))


def test_the_documented_reply_is_read() -> None:
    parser = parse(hexed("FF FF 01 04 00 18 05 DD"), [], ids=(1,), length=2)
    assert taken(parser) == {1: (0, b"\x18\x05")}


@given(blocks, st.lists(st.integers(0, 10_000)))
def test_any_split_of_the_bytes_gives_the_same_replies(replies, cuts) -> None:
    parser = parse(answers(replies), cuts)
    assert taken(parser) == replies
    assert parser.discarded_bytes == 0
    assert parser.complete == (len(replies) == len(IDS))


@given(blocks, st.binary(max_size=40), st.binary(max_size=40), st.lists(st.integers(0, 10_000)))
def test_noise_around_the_replies_costs_nothing(replies, before, after, cuts) -> None:
    assert taken(parse(before + answers(replies) + after, cuts)) == replies


@given(blocks, st.lists(st.integers(0, 10_000), min_size=1, max_size=6), st.lists(st.integers()))
def test_dropped_bytes_lose_replies_but_never_change_one(replies, drops, cuts) -> None:
    stream = bytearray(answers(replies))
    for drop in drops:
        if stream:
            del stream[drop % len(stream)]
    got = taken(parse(bytes(stream), cuts))
    # A one-byte sum cannot see every double error, and does not have to: bytes of one frame only
    # ever count for the id at its head.
    assert set(got) <= set(replies)
    intact = {i: reply for i, reply in got.items() if frame(i, *reply) in bytes(stream)}
    assert intact == got


@given(blocks, st.data())
def test_one_flipped_bit_costs_that_servo_and_no_other(replies, data) -> None:
    stream = bytearray(answers(replies))
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at] ^= 1 << data.draw(st.integers(0, 7))
    victim = list(replies)[at // (LENGTH + 6)]
    got = taken(parse(bytes(stream), []))
    others = {i: reply for i, reply in replies.items() if i != victim}
    assert {i: reply for i, reply in got.items() if i != victim} == others
    assert victim not in got


@given(st.binary(max_size=300), st.lists(st.integers(0, 10_000)))
@settings(max_examples=300)
def test_garbage_never_raises_and_never_piles_up(stream, cuts) -> None:
    parser = parse(stream, cuts)
    assert parser.unread_bytes < LENGTH + 6


def test_a_frame_from_an_id_that_was_not_asked_is_foreign() -> None:
    parser = parse(frame(9, 0, bytes(LENGTH)) + frame(2, 0, bytes(LENGTH)), [])
    assert set(parser.replies) == {2}
    assert parser.foreign == 1


def test_a_frame_of_another_length_is_no_answer() -> None:
    late = frame(1, 0, b"\x01\x02")
    parser = parse(late + frame(1, 0, bytes(range(LENGTH))), [])
    assert parser.replies[1].data == bytes(range(LENGTH))
    assert parser.discarded_bytes == len(late)


def test_a_second_answer_from_one_id_is_counted_and_dropped() -> None:
    parser = parse(frame(1, 0, bytes(LENGTH)) + frame(1, 0, bytes([7] * LENGTH)), [])
    assert parser.replies[1].data == bytes(LENGTH)
    assert parser.surplus == 1


def test_a_header_hidden_in_the_data_is_data() -> None:
    data = b"\xff\xff\x02\x11" + bytes(LENGTH - 4)
    parser = parse(frame(1, 0, data) + frame(2, 0x20, bytes(LENGTH)), [])
    assert parser.replies[1].data == data
    assert parser.replies[2].error == 0x20


def test_expecting_anew_forgets_half_a_frame() -> None:
    parser = ReplyParser()
    parser.expect(frozenset({1}), LENGTH)
    whole = frame(1, 0, bytes(LENGTH))
    parser.feed(whole[:10])
    parser.expect(frozenset({1}), LENGTH)
    parser.feed(whole[10:])
    assert not parser.complete


def test_a_block_read_of_six_servos_takes_as_long_as_measured() -> None:
    assert framer.sync_read_duration_ns(15, 6) == pytest.approx(1.57e6, rel=0.03)
    assert framer.sync_read_duration_ns(2, 6) == pytest.approx(0.79e6, rel=0.03)
