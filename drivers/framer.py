"""The SMS/STS wire protocol as pure functions: instructions to bytes, bytes to replies.

An instruction is `FF FF ID LEN INST params CHK`, a reply `FF FF ID LEN ERR data CHK`; LEN counts
what follows it, CHK is the inverted low byte of the sum from ID to the last data byte. There is no
byte stuffing, so a reply can contain anything and only its checksum tells a frame from noise.

`ReplyParser` is told what the outstanding request can be answered with (which ids, how many data
bytes) and takes nothing else. All replies of one transaction have the same length, which makes
resynchronising simple and exact: a false header always completes before the true frame it overlaps,
fails its checksum and is stepped over by one byte.
"""

from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import Final

import msgspec

BROADCAST_ID: Final = 0xFE
MAX_ID: Final = 0xFD
HEADER: Final = b"\xff\xff"
FRAME_OVERHEAD: Final = 6  # header 2, id, length, error or instruction, checksum
SLOT_GAP_BYTES: Final = 3  # between the replies of a sync read, in byte times
MAX_PARAMS: Final = 250  # LEN is one byte; the servo parses no more


class Instruction(IntEnum):
    """Instruction codes of the protocol."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    REBOOT = 0x08
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


class Reply(msgspec.Struct, frozen=True, gc=False):
    """One servo's answer: its live status bits and the data it was asked for."""

    error: int
    data: bytes


def checksum(body: bytes | bytearray) -> int:
    """Return the checksum of `body`, the bytes from ID to the last parameter."""
    return ~sum(body) & 0xFF


def encode(servo_id: int, instruction: int, params: bytes = b"") -> bytes:
    """Return one instruction frame. Raises ValueError for an id or length that cannot be sent."""
    if not (0 <= servo_id <= MAX_ID or servo_id == BROADCAST_ID):
        raise ValueError(f"a servo id is 0..{MAX_ID}, not {servo_id}")
    if len(params) > MAX_PARAMS:
        raise ValueError(f"an instruction carries at most {MAX_PARAMS} bytes, not {len(params)}")
    body = bytes((servo_id, len(params) + 2, instruction)) + params
    return HEADER + body + bytes((checksum(body),))


def ping(servo_id: int) -> bytes:
    """Ask for a bare status reply."""
    return encode(servo_id, Instruction.PING)


def read(servo_id: int, address: int, length: int) -> bytes:
    """Ask for `length` bytes from `address`."""
    return encode(servo_id, Instruction.READ, bytes((address, length)))


def write(servo_id: int, address: int, data: bytes) -> bytes:
    """Store `data` at `address`; unicast is answered by a bare status reply."""
    return encode(servo_id, Instruction.WRITE, bytes((address,)) + data)


def reg_write(servo_id: int, address: int, data: bytes) -> bytes:
    """Hold `data` for `address` until ACTION."""
    return encode(servo_id, Instruction.REG_WRITE, bytes((address,)) + data)


def action(servo_id: int = BROADCAST_ID) -> bytes:
    """Carry out what REG_WRITE left pending, by default on every servo at once."""
    return encode(servo_id, Instruction.ACTION)


def reboot(servo_id: int) -> bytes:
    """Restart a servo. It does not answer, and some firmware enters its boot loader."""
    return encode(servo_id, Instruction.REBOOT)


def sync_read(address: int, length: int, servo_ids: Collection[int]) -> bytes:
    """Ask several servos for the same bytes; each answers in its own time slot, in list order."""
    if len(set(servo_ids)) != len(servo_ids):
        raise ValueError("a sync read lists each id once")
    params = bytes((address, length)) + bytes(servo_ids)
    return encode(BROADCAST_ID, Instruction.SYNC_READ, params)


def sync_write(address: int, data: Mapping[int, bytes]) -> bytes:
    """Store data at the same address of several servos. Never answered."""
    lengths = {len(value) for value in data.values()}
    if len(lengths) != 1:
        raise ValueError("a sync write carries the same number of bytes for every servo")
    params = bytearray((address, lengths.pop()))
    for servo_id, value in data.items():
        params.append(servo_id)
        params += value
    return encode(BROADCAST_ID, Instruction.SYNC_WRITE, bytes(params))


def sync_read_duration_ns(length: int, servos: int, byte_ns: int = 10_000) -> int:
    """Return how long the wire is busy with a sync read: request, then one slot per servo."""
    request = FRAME_OVERHEAD + 2 + servos
    return byte_ns * (request + servos * (FRAME_OVERHEAD + length + SLOT_GAP_BYTES))


class ReplyParser:
    """Takes bytes as they come and keeps the replies that fit the outstanding request.

    `replies` maps id to reply for what has arrived, so a silent servo costs only its own value.
    `surplus` counts whole frames from an id that had already answered (two servos with one id, or
    a late reply), `foreign` whole frames that fit no outstanding question, and `discarded_bytes`
    every byte that belongs to no accepted reply. Feeding never raises.
    """

    __slots__ = (
        "_asked", "_buffer", "_length_byte", "_size",
        "discarded_bytes", "foreign", "replies", "surplus",
    )  # fmt: skip

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._asked: frozenset[int] = frozenset()
        self._size = FRAME_OVERHEAD
        self._length_byte = 2
        self.replies: dict[int, Reply] = {}
        self.surplus = 0
        self.foreign = 0
        self.discarded_bytes = 0

    def expect(self, servo_ids: frozenset[int], data_length: int) -> None:
        """Forget everything before and wait for one reply of `data_length` bytes from each id."""
        self._buffer.clear()
        self._asked = servo_ids
        self._size = FRAME_OVERHEAD + data_length
        self._length_byte = data_length + 2
        self.replies = {}
        self.surplus = 0
        self.foreign = 0
        self.discarded_bytes = 0

    @property
    def complete(self) -> bool:
        """Whether every servo that was asked has answered."""
        return len(self.replies) == len(self._asked)

    @property
    def unread_bytes(self) -> int:
        """How many bytes wait for the rest of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the line."""
        buffer = self._buffer
        buffer += data
        size = self._size
        last = len(buffer) - size
        at = 0
        while at <= last:
            start = buffer.find(HEADER, at)
            if start < 0:
                # A final FF may be the first half of a header still on its way.
                start = len(buffer) - (buffer[-1] == 0xFF)
            if start > last:
                self.discarded_bytes += start - at
                at = start
                break
            self.discarded_bytes += start - at
            servo_id = buffer[start + 2]
            body_end = start + size - 1
            if (
                buffer[start + 3] != self._length_byte
                or ~sum(buffer[start + 2 : body_end]) & 0xFF != buffer[body_end]
            ):
                at = start + 1
                self.discarded_bytes += 1
                continue
            # A whole frame is stepped over whole, wanted or not: looking for headers inside its
            # data could only turn somebody's register values into a reply.
            at = start + size
            if servo_id in self.replies:
                self.surplus += 1
            elif servo_id in self._asked:
                data_bytes = bytes(buffer[start + 5 : body_end])
                self.replies[servo_id] = Reply(buffer[start + 4], data_bytes)
                continue
            else:
                self.foreign += 1
            self.discarded_bytes += size
        del buffer[:at]
