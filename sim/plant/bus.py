"""The half-duplex wire between a master and its servos: who answers, and in which microsecond.

`VirtualBus.feed` takes what the master sent and returns each reply with the time its last byte has
crossed the wire. Replies to SYNC_READ come in slots timed by the servo's index in the list, so a
dead servo leaves a hole and the others still answer (servo-and-twin facts 1.1). With `byte_ns=0`
everything takes no time: lock-step and CI.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sim.plant.faults import Faults
from sim.plant.instructions import FLASH_PROGRAM_NS, execute
from sim.plant.line_faults import LineFaults
from sim.plant.servo import Servo
from sim.plant.wire import BROADCAST_ID, Instruction, Packet, Parser, status_packet

BYTE_NS_1M = 10_000
"""Ten bits at 1 Mbps."""
TURNAROUND_NS = 15_000
STATUS_OVERHEAD = 6
SLOT_GAP_BYTES = 3
MAX_SYNC_DATA = 125
_READING = frozenset((Instruction.PING, Instruction.READ, Instruction.SYNC_READ))


class _Reply(NamedTuple):
    slot: int  # servos that answer in one slot collide
    start_ns: int
    extra_ns: int
    data: bytes


class VirtualBus:
    """Servos on one line. Time comes in with every call; nothing here sleeps."""

    def __init__(self, servos: Sequence[Servo], *, byte_ns: int = BYTE_NS_1M) -> None:
        self.servos = list(servos)
        self.faults = Faults()
        self.line = LineFaults()
        self.byte_ns = byte_ns
        self.writes = 0  # instructions heard that are not there to read something
        self._turnaround_ns = TURNAROUND_NS if byte_ns else 0
        self._parser = Parser()
        self._line_free_ns = 0
        self._ids = b""
        self._by_id: dict[int, list[Servo]] = {}

    @property
    def line_free_ns(self) -> int:
        """When the last byte fed so far has crossed the wire."""
        return self._line_free_ns

    def feed(self, data: bytes, now_ns: int) -> list[tuple[int, bytes]]:
        """Carry `data` from the master; return `(emit_at_ns, bytes)` for every reply it caused, in
        time order."""
        start_ns = max(now_ns, self._line_free_ns)
        self._line_free_ns = start_ns + len(data) * self.byte_ns
        emissions: list[tuple[int, bytes]] = []
        for packet in self._parser.feed(data):
            end_ns = start_ns + packet.end * self.byte_ns
            self.writes += packet.code not in _READING
            emissions.extend(self._collide(self._execute(packet, end_ns)))
            if self.line.present:
                self.line.request(end_ns)
        if self.line.present:
            emissions = [(self.line.deliver_ns(at_ns), reply) for at_ns, reply in emissions]
        if len(emissions) > 1 and self.byte_ns:
            emissions.sort(key=lambda emission: emission[0])
        return emissions

    def servo(self, servo_id: int) -> Servo | None:
        """The first servo with this id, powered or not."""
        for servo in self.servos:
            if servo.memory[5] == servo_id:
                return servo
        return None

    def _hearing(self, end_ns: int) -> list[Servo]:
        return [
            servo
            for servo in self.servos
            if servo.powered
            and servo.offline_until_ns <= end_ns
            and not self.faults.deaf(servo.memory[5])
        ]

    def _execute(self, packet: Packet, end_ns: int) -> list[_Reply]:
        self._sort_by_id()
        if packet.servo_id == BROADCAST_ID:
            return self._broadcast(packet, end_ns)
        replies = []
        for servo in self._addressed(packet.servo_id, end_ns):
            reply = self._single(servo, packet, end_ns, slot=0)
            if reply is not None:
                replies.append(reply)
        return replies

    def _addressed(self, servo_id: int, end_ns: int) -> list[Servo]:
        return [
            servo
            for servo in self._by_id.get(servo_id, ())
            if servo.powered and servo.offline_until_ns <= end_ns and not self.faults.deaf(servo_id)
        ]

    def _sort_by_id(self) -> None:
        """Ids are registers and may change with any packet; several servos may have one."""
        ids = bytes([servo.memory[5] for servo in self.servos])
        if ids == self._ids:
            return
        self._ids = ids
        self._by_id = {servo_id: [] for servo_id in ids}
        for servo_id, servo in zip(ids, self.servos, strict=True):
            self._by_id[servo_id].append(servo)

    def _single(self, servo: Servo, packet: Packet, end_ns: int, slot: int) -> _Reply | None:
        servo_id = servo.memory[5]
        parameters, busy_ns = execute(servo, packet.code, packet.parameters)
        if packet.code == Instruction.REBOOT or (busy_ns and self.byte_ns):
            servo.offline_until_ns = end_ns + busy_ns
        else:
            busy_ns = 0
        if parameters is None:
            return None
        return self._reply(
            servo, servo_id, parameters, end_ns + self._turnaround_ns + busy_ns, slot
        )

    def _reply(
        self, servo: Servo, servo_id: int, parameters: bytes, start_ns: int, slot: int
    ) -> _Reply | None:
        if not self.faults.present:
            packet = status_packet(servo_id, servo.status, parameters)
            return _Reply(slot, start_ns, 0, packet)
        data, extra_ns = self.faults.spoil(servo_id, servo.status, parameters)
        return _Reply(slot, start_ns, extra_ns, data) if data else None

    def _broadcast(self, packet: Packet, end_ns: int) -> list[_Reply]:
        code, parameters = packet.code, packet.parameters
        if code == Instruction.SYNC_READ:
            return self._sync_read(parameters, end_ns)
        if code == Instruction.SYNC_WRITE:
            self._sync_write(parameters, end_ns)
            return []
        replies = []
        for servo in self._hearing(end_ns):
            answers = code in (Instruction.PING, Instruction.READ)
            # PING replies are spaced by id; broadcast READ is answered by all at once.
            slot = servo.memory[5] if code == Instruction.PING else 0
            slot_ns = slot * (STATUS_OVERHEAD + SLOT_GAP_BYTES) * self.byte_ns
            reply = self._single(servo, packet, end_ns, slot)
            if answers and reply is not None:
                replies.append(reply._replace(start_ns=reply.start_ns + slot_ns))
        replies.sort(key=lambda reply: reply.slot)
        return replies

    def _sync_read(self, parameters: bytes, end_ns: int) -> list[_Reply]:
        if len(parameters) < 3:
            return []
        address, length, listed = parameters[0], parameters[1], parameters[2:]
        slot_ns = (length + STATUS_OVERHEAD + SLOT_GAP_BYTES) * self.byte_ns
        first_ns = end_ns + self._turnaround_ns
        replies = []
        for index, servo_id in enumerate(listed):
            if servo_id in listed[:index]:
                continue  # listed twice: it answers in its first slot
            for servo in self._addressed(servo_id, end_ns):
                data = servo.read(address, length)
                if data is None:
                    continue
                reply = self._reply(servo, servo_id, data, first_ns + index * slot_ns, index)
                if reply is not None:
                    replies.append(reply)
        return replies

    def _sync_write(self, parameters: bytes, end_ns: int) -> None:
        if len(parameters) < 2 or parameters[1] > MAX_SYNC_DATA:
            return
        address, size = parameters[0], parameters[1]
        stride = size + 1
        for offset in range(2, len(parameters) - size, stride):
            data = parameters[offset + 1 : offset + stride]
            for servo in self._addressed(parameters[offset], end_ns):
                if servo.write(address, data) and self.byte_ns:
                    servo.offline_until_ns = end_ns + FLASH_PROGRAM_NS

    def _collide(self, replies: list[_Reply]) -> list[tuple[int, bytes]]:
        """Replies in one slot pull the line low together: what arrives is the AND of their
        bytes."""
        emissions: list[tuple[int, bytes]] = []
        last_slot = -1
        for reply in replies:
            if reply.slot == last_slot:
                at_ns, before = emissions[-1]
                emissions[-1] = (at_ns, _wired_and(before, reply.data))
                continue
            last_slot = reply.slot
            at_ns = reply.start_ns + len(reply.data) * self.byte_ns + reply.extra_ns
            emissions.append((at_ns, reply.data))
        return emissions


def _wired_and(first: bytes, second: bytes) -> bytes:
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    overlap = bytes(a & b for a, b in zip(longer, shorter, strict=False))
    return overlap + longer[len(shorter) :]
