"""What can go wrong on a servo bus, on demand: each fault of the field (servo-and-twin facts
section 6) by name.

A fault sits on one servo's replies and lasts for a number of replies or until it is cleared.
Faults of the servo itself (status bits, power) and of the joint (stuck) are set where they live;
this module spoils the wire. All of them by name: `sim.plant.fault_table`.
"""

import random
from dataclasses import dataclass
from enum import StrEnum

from sim.plant.wire import status_packet

NS_PER_MS = 1_000_000


class FaultKind(StrEnum):
    """How a reply is spoilt."""

    SILENT = "silent"  # a loose cable: the servo hears nothing and says nothing, its torque stays
    MUTE = "mute"  # hears and obeys, never answers
    BAD_CHECKSUM = "bad_checksum"
    TRUNCATED = "truncated"  # the last `value` bytes are missing (default 2)
    NOISE = "noise"  # `value` bytes of noise before the header (default 2)
    DELAYED = "delayed"  # the reply leaves `value` ms late (default 60)
    WRONG_ID = "wrong_id"  # answers as servo `value` (default its id + 32)


_DEFAULT_VALUE = {FaultKind.TRUNCATED: 2, FaultKind.NOISE: 2, FaultKind.DELAYED: 60}


@dataclass(slots=True)
class Fault:
    """One fault. `replies_left` None: until cleared."""

    kind: FaultKind
    value: int | None = None
    replies_left: int | None = None


class Faults:
    """The faults of one bus, at most one a servo; besides that a servo may lose replies at random,
    the same ones in every run."""

    def __init__(self) -> None:
        self._by_servo: dict[int, Fault] = {}
        self._loses_one_in: dict[int, int] = {}
        self._random = random.Random("loss")

    @property
    def present(self) -> bool:
        """Whether any reply is spoilt at all."""
        return bool(self._by_servo or self._loses_one_in)

    def set(
        self,
        servo_id: int,
        kind: FaultKind,
        *,
        value: int | None = None,
        replies: int | None = None,
    ) -> None:
        """Spoil the next `replies` replies of a servo (None: all until `clear`)."""
        filled = _DEFAULT_VALUE.get(kind) if value is None else value
        self._by_servo[servo_id] = Fault(kind, filled, replies)

    def clear(self, servo_id: int | None = None) -> None:
        """Repair one servo, or all."""
        if servo_id is None:
            self._by_servo.clear()
        else:
            self._by_servo.pop(servo_id, None)

    def lose(self, servo_id: int, one_in: int | None) -> None:
        """Lose one reply in `one_in` of a servo at random; None: lose none."""
        if one_in is None:
            self._loses_one_in.pop(servo_id, None)
        else:
            self._loses_one_in[servo_id] = one_in

    def deaf(self, servo_id: int) -> bool:
        """Whether an instruction fails to reach the servo. Counts as one spoilt reply."""
        fault = self._by_servo.get(servo_id)
        if fault is None or fault.kind is not FaultKind.SILENT:
            return False
        self._spend(servo_id, fault)
        return True

    def spoil(self, servo_id: int, error: int, parameters: bytes) -> tuple[bytes, int]:
        """The bytes of a reply as they appear on the wire (empty: none) and their extra delay in
        ns."""
        one_in = self._loses_one_in.get(servo_id)
        if one_in is not None and self._random.randrange(one_in) == 0:
            return b"", 0
        fault = self._by_servo.get(servo_id)
        if fault is None:
            return status_packet(servo_id, error, parameters), 0
        self._spend(servo_id, fault)
        packet = status_packet(servo_id, error, parameters)
        value = fault.value or 0
        match fault.kind:
            case FaultKind.BAD_CHECKSUM:
                return packet[:-1] + bytes((packet[-1] ^ 0x55,)), 0
            case FaultKind.TRUNCATED:
                return packet[: max(0, len(packet) - value)], 0
            case FaultKind.NOISE:
                return bytes(0x5A ^ (7 * n & 0xFF) for n in range(value)) + packet, 0
            case FaultKind.DELAYED:
                return packet, value * NS_PER_MS
            case FaultKind.WRONG_ID:
                stranger = fault.value if fault.value is not None else servo_id + 32
                return status_packet(stranger, error, parameters), 0
            case _:
                return b"", 0

    def _spend(self, servo_id: int, fault: Fault) -> None:
        if fault.replies_left is None:
            return
        fault.replies_left -= 1
        if fault.replies_left <= 0:
            del self._by_servo[servo_id]
