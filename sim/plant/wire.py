"""The servo protocol on the wire: instruction parser with resynchronisation, status packets.

Instruction `FF FF ID LEN INST P.. CHK`, status `FF FF ID LEN ERR P.. CHK`, LEN = parameters + 2,
CHK = inverted byte sum from ID on. There is no byte stuffing: three bytes `FF FF x` anywhere, also
inside parameters, start a new packet in the servo's parser, so an instruction that carries FF FF
is lost, as on the real bus.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

BROADCAST_ID = 0xFE
HEADER = b"\xff\xff"
MAX_PARAMETERS = 128
"""Longest parameter list of an instruction, SYNC_WRITE excepted."""


class Instruction(IntEnum):
    """Instruction codes of the SMS/STS protocol."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    RECOVER = 0x06
    REBOOT = 0x08
    BACKUP = 0x09
    RESET = 0x0A
    CALIBRATE = 0x0B
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


@dataclass(frozen=True, slots=True)
class Packet:
    """One instruction whose checksum was right. `code` may be an instruction no servo knows."""

    servo_id: int
    code: int
    parameters: bytes
    end: int = 0  # bytes of the feed up to and with its checksum: what the wire has carried by then


def checksum(body: Iterable[int]) -> int:
    """Inverted sum of the bytes from ID to the last parameter."""
    return ~sum(body) & 0xFF


def status_packet(servo_id: int, error: int, parameters: bytes = b"") -> bytes:
    """A reply: `error` is the servo's live status byte."""
    body = bytes((servo_id, len(parameters) + 2, error)) + parameters
    return HEADER + body + bytes((checksum(body),))


def instruction_packet(servo_id: int, code: int, parameters: bytes = b"") -> bytes:
    """An instruction as a master would send it."""
    body = bytes((servo_id, len(parameters) + 2, code)) + parameters
    return HEADER + body + bytes((checksum(body),))


class Parser:
    """Turns a byte stream, in pieces of any size and with any noise in it, into packets.

    A bad checksum, a length below 2 or too many parameters drop the packet silently, as a servo
    does.
    """

    def __init__(self) -> None:
        self._body = bytearray()
        self._expected = 0  # bytes of the body still to come, LEN's own included in _body
        self._header = 0  # consecutive FF seen
        self._in_packet = False

    @property
    def in_packet(self) -> bool:
        """Whether the bytes so far end inside a packet."""
        return self._in_packet or self._header > 0

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that end within `data`, in order."""
        packets: list[Packet] = []
        start, size = 0, len(data)
        while start < size:
            length = self._whole_packet(data, start)
            if length:
                body = data[start + 2 : start + length]
                if body[-1] == ~sum(body[:-1]) & 0xFF and _parameters_fit(body):
                    packets.append(Packet(body[0], body[2], body[3:-1], start + length))
                start += length
                continue
            packet = self._byte(data[start], start + 1)
            start += 1
            if packet is not None:
                packets.append(packet)
        return packets

    def _whole_packet(self, data: bytes, start: int) -> int:
        """Length of a packet that lies whole and clean at `start`: the usual case, taken in one
        step."""
        if self._in_packet or self._header or data[start : start + 2] != HEADER:
            return 0
        if len(data) < start + 6 or data[start + 2] == 0xFF or data[start + 3] < 2:
            return 0
        end = start + 4 + data[start + 3]
        if end > len(data) or HEADER in data[start + 2 : end] or data[end - 1] == 0xFF:
            return 0
        return end - start

    def _byte(self, byte: int, end: int) -> Packet | None:
        if self._header >= 2 and byte != 0xFF:
            # FF FF x: a packet for servo x begins, whatever was being read before.
            self._header = 0
            self._body.clear()
            self._body.append(byte)
            self._in_packet = True
            self._expected = 0
            return None
        self._header = self._header + 1 if byte == 0xFF else 0
        if not self._in_packet:
            return None
        self._body.append(byte)
        if len(self._body) == 2:
            if byte < 2:
                self._in_packet = False
            else:
                self._expected = 2 + byte
            return None
        if len(self._body) < self._expected:
            return None
        self._in_packet = False
        return self._complete(end)

    def _complete(self, end: int) -> Packet | None:
        body = bytes(self._body)
        if body[-1] != checksum(body[:-1]):
            return None
        # The checksum byte may itself be FF; it ends a packet and starts no header.
        self._header = 0
        if not _parameters_fit(body):
            return None
        return Packet(body[0], body[2], body[3:-1], end)


def _parameters_fit(body: bytes) -> bool:
    return len(body) - 4 <= MAX_PARAMETERS or body[2] == Instruction.SYNC_WRITE
