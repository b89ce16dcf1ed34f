"""One servo bus: acked reads and writes for setting up, and the tick path for moving.

The tick path is cut in two so that one thread can serve many buses: `collect` writes every bus's
request first and then waits for all of them at once (four buses one after the other took 7.1 ms,
together 1.9 ms). It never raises and never waits past its deadline: what did not come is None, for
that servo only, and a line that died is a `fault` of that bus only.

Late replies. The input is flushed before each request, but an adapter can deliver a reply after
that. A servo that did not answer in time therefore *owes* a reply of a known length, and for as
long as it may still come the next read of that servo asks for more bytes than are owed, so that the
late frame cannot fit. An acknowledgement has no data to vary: while one is owed, a write is
confirmed by reading the register back.
"""

import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers import framer
from drivers.framer import Reply, ReplyParser
from drivers.registers import (
    BY_NAME,
    LAST_ADDRESS,
    TELEMETRY_ADDRESS,
    TELEMETRY_LENGTH,
    Memory,
    Register,
    ServoStatus,
)
from drivers.serial_port import SerialPort
from drivers.telemetry import BusReading, Telemetry, decode_telemetry
from robotd.clock import NS_PER_MS, NS_PER_S, Clock
from robotd.errors import BusError

__all__ = ["BusReading", "Probe", "ServoBus", "Telemetry", "collect"]

REPLY_TIMEOUT_NS: Final = 20 * NS_PER_MS
"""For one acked exchange: a USB frame is 1 ms, a busy host's scheduling adds several."""

EPROM_TIMEOUT_NS: Final = 100 * NS_PER_MS
"""For a write that may program or erase a flash page, during which the servo is silent."""

LATE_REPLY_NS: Final = 100 * NS_PER_MS
"""How long an unanswered servo may still answer; 60 ms has been seen."""

MEANWHILE_NS: Final = 400_000
"""How long before the wire has carried a telemetry answer `collect` lets its caller do something."""

_SPARE_LENGTHS: Final = 8
"""How many lengths a read may take to differ from what is owed: with a servo silent in every tick
of 120 Hz, a reply may be up to 58 ms late before its length comes round again."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Everything that came back from asking one id: tells silence, noise and two servos apart."""

    reply: Reply | None
    surplus: int
    discarded_bytes: int


class ServoBus:
    """The servos `ids` on `port`. One thread only.

    The set-up calls (`ping`, `read`, `write`, …) wait for their reply; the tick calls are
    `request_telemetry`, `collect` and `sync_write`, which never wait for the line.
    """

    def __init__(self, port: SerialPort, ids: Sequence[int], clock: Clock) -> None:
        if not ids or len(set(ids)) != len(ids):
            raise ValueError("a bus needs at least one servo id, each listed once")
        self.ids = tuple(ids)
        self.port = port
        self.clock = clock
        self.last_error: dict[int, int] = {}
        """The error byte of each servo's most recent reply."""
        self._parser = ReplyParser()
        self.telemetry_wire_ns = framer.sync_read_duration_ns(TELEMETRY_LENGTH, len(self.ids))
        """How long the wire carries a telemetry request and its replies at 1 Mbaud."""
        self._all_ids = frozenset(ids)
        self._asked: frozenset[int] = frozenset()
        self._asked_length = 0
        self._stamps: dict[int, int] = {}
        self._owed: dict[tuple[int, int], int] = {}  # (id, data length) -> no longer after, ns
        self._telemetry_requests = [
            framer.sync_read(TELEMETRY_ADDRESS, TELEMETRY_LENGTH + extra, self.ids)
            for extra in range(_SPARE_LENGTHS)
        ]

    # The tick path ------------------------------------------------------------------------

    def request_telemetry(self) -> None:
        """Ask every servo for its measurements. Raises BusError when the line is gone."""
        length = self._distinct_length(self._all_ids, TELEMETRY_ADDRESS, TELEMETRY_LENGTH)
        self._send(self._telemetry_requests[length - TELEMETRY_LENGTH], self._all_ids, length)

    def poll_replies(self) -> bool:
        """Take what has arrived; say whether every reply is in. Raises BusError."""
        data = self.port.read_available()
        if data:
            parser = self._parser
            before = len(parser.replies)
            parser.feed(data)
            if len(parser.replies) != before:
                now_ns = self.clock.now_ns()
                for servo_id in parser.replies:
                    self._stamps.setdefault(servo_id, now_ns)
        return self._parser.complete

    def take_telemetry(self) -> dict[int, Telemetry | None]:
        """End the outstanding telemetry request and return what came, by id."""
        replies = self._settle()
        stamps = self._stamps
        return {
            servo_id: decode_telemetry(replies[servo_id], stamps[servo_id])
            if servo_id in replies
            else None
            for servo_id in self.ids
        }

    def sync_write(self, register: Register, values: Mapping[int, int]) -> None:
        """Write one register of several servos. Never answered, so never confirmed.

        Raises ValueError for a value the register cannot hold, BusError when the line is gone.
        """
        self.port.write(
            framer.sync_write(
                register.address,
                {servo_id: register.encode(value) for servo_id, value in values.items()},
            )
        )

    # Set-up -------------------------------------------------------------------------------

    def ping(self, servo_id: int, retries: int = 0) -> int | None:
        """Return the servo's error byte, or None when it does not answer."""
        for _ in range(1 + retries):
            reply = self._exchange(framer.ping(servo_id), servo_id, 0)
            if reply is not None:
                return reply.error
        return None

    def read_block(
        self,
        servo_id: int,
        address: int,
        length: int,
        retries: int = 2,
        timeout_ns: int = REPLY_TIMEOUT_NS,
    ) -> bytes:
        """Return `length` bytes from `address`. Raises BusError when the servo stays silent.

        `timeout_ns` bounds each attempt: a caller inside a tick passes what the tick can spare.
        """
        for _ in range(1 + retries):
            asked = self._distinct_length(frozenset((servo_id,)), address, length)
            request = framer.read(servo_id, address, asked)
            reply = self._exchange(request, servo_id, asked, timeout_ns)
            if reply is not None:
                return reply.data[:length]
        raise self._silent(servo_id, f"read {_where(address)}", 1 + retries)

    def read(self, servo_id: int, register: Register, retries: int = 2) -> int:
        """Return one register's value. Raises BusError when the servo stays silent."""
        data = self.read_block(servo_id, register.address, register.size, retries)
        return register.decode(data)

    def write(self, servo_id: int, register: Register, value: int, retries: int = 2) -> ServoStatus:
        """Write one register, wait for the acknowledgement and return its status bits.

        Raises ValueError for a value the register cannot hold or a register that only reads,
        BusError when the servo stays silent or, where an acknowledgement could have been a late
        one, does not hold the value.
        """
        if not register.writable:
            raise ValueError(f"{register.name} can only be read")
        data = register.encode(value)
        timeout_ns = REPLY_TIMEOUT_NS if register.memory is Memory.SRAM else EPROM_TIMEOUT_NS
        for _ in range(1 + retries):
            doubtful = self._is_owed(servo_id, 0)
            request = framer.write(servo_id, register.address, data)
            reply = self._exchange(request, servo_id, 0, timeout_ns)
            if reply is None:
                continue
            if not doubtful or self.read(servo_id, register) == value:
                return ServoStatus(reply.error)
        raise self._silent(servo_id, f"acknowledge {register.name} = {value}", 1 + retries)

    def sync_read(self, register: Register, retries: int = 2) -> dict[int, int | None]:
        """Return one register of every servo; None for each that stays silent."""
        values: dict[int, int | None] = dict.fromkeys(self.ids)
        missing = self._all_ids
        for _ in range(1 + retries):
            length = self._distinct_length(missing, register.address, register.size)
            ids = [servo_id for servo_id in self.ids if servo_id in missing]
            self._send(framer.sync_read(register.address, length, ids), missing, length)
            self._await_replies(REPLY_TIMEOUT_NS)
            for servo_id, reply in self._settle().items():
                values[servo_id] = register.decode(reply.data[: register.size])
            missing = frozenset(servo_id for servo_id in self.ids if values[servo_id] is None)
            if not missing:
                break
        return values

    def probe(
        self, servo_id: int, address: int, length: int, timeout_ns: int, listen_ns: int
    ) -> Probe:
        """Read a block, then go on listening for `listen_ns` after the first reply."""
        asked = frozenset((servo_id,))
        long = self._distinct_length(asked, address, length)
        self._send(framer.read(servo_id, address, long), asked, long)
        self._await_replies(timeout_ns)
        if self._parser.complete:
            deadline_ns = self.clock.now_ns() + listen_ns
            while self._wait_readable(deadline_ns):
                self.poll_replies()
        parser = self._parser
        reply = self._settle().get(servo_id)
        return Probe(
            None if reply is None else Reply(reply.error, reply.data[:length]),
            parser.surplus,
            parser.discarded_bytes + parser.unread_bytes,
        )

    def close(self) -> None:
        """Give the port back."""
        self.port.close()

    # Inside -------------------------------------------------------------------------------

    def _send(self, request: bytes, asked: frozenset[int], length: int) -> None:
        self._asked = asked
        self._asked_length = length
        self._stamps = {}
        self._parser.expect(asked, length)
        self.port.flush_input()
        self.port.write(request)

    def _settle(self) -> dict[int, Reply]:
        """End a transaction: note error bytes, and who still owes a reply of which length."""
        replies = self._parser.replies
        for servo_id, reply in replies.items():
            self.last_error[servo_id] = reply.error
        if len(replies) != len(self._asked):
            until_ns = self.clock.now_ns() + LATE_REPLY_NS
            for servo_id in self._asked:
                if servo_id not in replies:
                    self._owed[servo_id, self._asked_length] = until_ns
        return replies

    def _is_owed(self, servo_id: int, length: int) -> bool:
        return self._owed.get((servo_id, length), -1) >= self.clock.now_ns()

    def _distinct_length(self, servo_ids: frozenset[int], address: int, length: int) -> int:
        """Return a read length, at least `length`, that no late reply of these servos has."""
        if not self._owed:
            return length
        now_ns = self.clock.now_ns()
        self._owed = {key: until for key, until in self._owed.items() if until >= now_ns}
        longest = min(length + _SPARE_LENGTHS - 1, LAST_ADDRESS + 1 - address)
        candidates = range(length, max(length, longest) + 1)
        latest = {
            candidate: max(
                (self._owed.get((servo_id, candidate), -1) for servo_id in servo_ids), default=-1
            )
            for candidate in candidates
        }
        # When every length is owed, the one owed longest is the least likely to still come.
        return min(candidates, key=lambda candidate: latest[candidate])

    def _exchange(
        self, request: bytes, servo_id: int, length: int, timeout_ns: int = REPLY_TIMEOUT_NS
    ) -> Reply | None:
        self._send(request, frozenset((servo_id,)), length)
        self._await_replies(timeout_ns)
        return self._settle().get(servo_id)

    def _await_replies(self, timeout_ns: int) -> None:
        deadline_ns = self.clock.now_ns() + timeout_ns
        while not self.poll_replies():
            if not self._wait_readable(deadline_ns):
                return

    def _wait_readable(self, deadline_ns: int) -> bool:
        fd = self.port.fileno()
        if fd is None:  # such a port answers at once: there is nothing to wait for
            return False
        remaining_ns = deadline_ns - self.clock.now_ns()
        return remaining_ns > 0 and bool(select.select([fd], [], [], remaining_ns / NS_PER_S)[0])

    def _silent(self, servo_id: int, what: str, attempts: int) -> BusError:
        return BusError(
            f"Servo {servo_id} did not {what} in {attempts} attempts.",
            "A loose daisy-chain cable, no servo power, or a servo whose id is another one.",
            f"Check the cable into servo {servo_id} and the power supply, then try again.",
        )


def collect(
    buses: Sequence[ServoBus], deadline_ns: int, meanwhile: Callable[[], None] = lambda: None
) -> list[BusReading]:
    """Ask all buses for telemetry, wait for all at once, return one reading per bus, in order.

    `deadline_ns` is on the buses' (shared) clock. Never raises; returns as soon as everything is
    in, and at the deadline at the latest. `meanwhile` is called once, shortly before the wire can
    have carried the last reply: for what takes no longer than `MEANWHILE_NS`.
    """
    faults: dict[int, BusError] = {}
    waiting: dict[int, int] = {}  # descriptor -> index of the bus
    wire_ns = 0
    for index, bus in enumerate(buses):
        try:
            bus.request_telemetry()
        except BusError as error:
            faults[index] = error
            continue
        fd = bus.port.fileno()
        if fd is not None:
            waiting[fd] = index
            wire_ns = max(wire_ns, bus.telemetry_wire_ns)
            continue
        try:
            bus.poll_replies()
        except BusError as error:
            faults[index] = error
    if waiting:
        # Nothing is complete before the wire has carried it. Sleeping over that time costs one
        # wake-up instead of one per servo: 110 us of CPU a tick instead of 205.
        clock = buses[0].clock
        carried_ns = min(deadline_ns, clock.now_ns() + wire_ns)
        clock.sleep_until_ns(carried_ns - MEANWHILE_NS)
        meanwhile()
        clock.sleep_until_ns(carried_ns)
    while waiting:
        remaining_ns = deadline_ns - buses[0].clock.now_ns()
        ready = select.select(list(waiting), [], [], max(0, remaining_ns) / NS_PER_S)[0]
        for fd in ready:
            try:
                done = buses[waiting[fd]].poll_replies()
            except BusError as error:
                faults[waiting[fd]] = error
                done = True
            if done:
                del waiting[fd]
        if remaining_ns <= 0:
            break
    return [BusReading(bus.take_telemetry(), faults.get(index)) for index, bus in enumerate(buses)]


def _where(address: int) -> str:
    for register in BY_NAME.values():
        if register.address == address:
            return register.name
    return f"register {address}"
