"""The wire: who answers, when, and what a fault does to it."""

import pytest

from sim.plant.bus import VirtualBus
from sim.plant.faults import FaultKind
from sim.plant.instructions import FLASH_PROGRAM_NS, REBOOT_NS
from sim.plant.servo import Servo
from sim.plant.wire import instruction_packet, status_packet

BYTE_NS = 10_000
TURNAROUND_NS = 15_000


def six(byte_ns: int = BYTE_NS) -> VirtualBus:
    servos = [Servo(n, shaft_ticks=1000.0 * (n < 4) + n) for n in range(1, 7)]
    return VirtualBus(servos, byte_ns=byte_ns)


def ids(emissions: list[tuple[int, bytes]]) -> list[int]:
    return [reply[2] for _, reply in emissions]


SYNC_READ_6 = bytes.fromhex("FFFFFE0A82380201020304050626")


def test_golden_exchanges() -> None:
    bus = VirtualBus([Servo(1, shaft_ticks=1304.0)], byte_ns=0)
    exchanges = {
        "FFFF010201FB": "FFFF010200FC",
        "FFFF0104023802BE": "FFFF0104001805DD",
        "FFFF0109032A00080000E803D5": "FFFF010200FC",
    }
    for sent, expected in exchanges.items():
        assert [r for _, r in bus.feed(bytes.fromhex(sent), 0)] == [bytes.fromhex(expected)]
    assert bus.feed(bytes.fromhex("FFFFFE0205FA"), 0) == []


def test_a_sync_write_sets_each_servo_and_nobody_answers() -> None:
    bus = six(0)
    goal = bytes.fromhex("00080000E803")
    data = bytes((0x2A, 6)) + b"".join(bytes((n,)) + goal for n in range(1, 5))
    assert bus.feed(instruction_packet(0xFE, 0x83, data), 0) == []
    assert [servo.torque_enable for servo in bus.servos] == [1, 1, 1, 1, 0, 0]
    assert bus.servos[0].memory[46:48] == b"\xe8\x03"


def test_an_oversized_sync_write_is_dropped() -> None:
    bus = six(0)
    data = bytes((40, 126, 1)) + bytes(126)
    bus.servos[0].write(40, b"\x01")
    bus.feed(instruction_packet(0xFE, 0x83, data), 0)
    assert bus.servos[0].torque_enable == 1


def test_sync_read_replies_come_in_their_slots() -> None:
    emissions = six().feed(SYNC_READ_6, 0)
    request_ns = len(SYNC_READ_6) * BYTE_NS
    expected = [
        request_ns + TURNAROUND_NS + k * (2 + 6 + 3) * BYTE_NS + 8 * BYTE_NS for k in range(6)
    ]
    assert [at for at, _ in emissions] == expected
    assert ids(emissions) == [1, 2, 3, 4, 5, 6]


def test_a_dead_servo_leaves_a_hole() -> None:
    bus = six()
    whole = bus.feed(SYNC_READ_6, 0)
    bus = six()
    bus.faults.set(3, FaultKind.SILENT)
    holed = bus.feed(SYNC_READ_6, 0)
    assert holed == [e for e in whole if e[1][2] != 3]


def test_an_id_listed_twice_answers_once() -> None:
    emissions = six(0).feed(instruction_packet(0xFE, 0x82, bytes((56, 2, 2, 1, 2))), 0)
    assert ids(emissions) == [2, 1]


def test_broadcast_pings_are_spaced_by_id() -> None:
    emissions = six().feed(instruction_packet(0xFE, 0x01), 0)
    first = 6 * BYTE_NS + TURNAROUND_NS + 6 * BYTE_NS
    assert [at - first for at, _ in emissions] == [n * 9 * BYTE_NS for n in range(1, 7)]


def test_a_broadcast_read_collides_and_a_lone_servo_survives_it() -> None:
    request = instruction_packet(0xFE, 0x02, bytes((5, 1)))
    collided = six(0).feed(request, 0)
    assert len(collided) == 1
    body = collided[0][1]
    assert body[-1] != ~sum(body[2:-1]) & 0xFF
    alone = VirtualBus([Servo(4)], byte_ns=0).feed(request, 0)
    assert [r for _, r in alone] == [status_packet(4, 0, b"\x04")]


def test_two_servos_with_one_id_garble_each_other() -> None:
    bus = VirtualBus([Servo(1, shaft_ticks=1365.0), Servo(1, shaft_ticks=2730.0)], byte_ns=0)
    emissions = bus.feed(instruction_packet(1, 0x02, bytes((56, 2))), 0)
    assert len(emissions) == 1
    body = emissions[0][1]
    assert body[-1] != ~sum(body[2:-1]) & 0xFF


def test_broadcast_torque_off_reaches_all_and_nobody_answers() -> None:
    bus = six(0)
    for servo in bus.servos:
        servo.write(40, b"\x01")
    assert bus.feed(instruction_packet(0xFE, 0x03, bytes((40, 0))), 0) == []
    assert [servo.torque_enable for servo in bus.servos] == [0] * 6


def test_the_wire_is_busy_for_as_long_as_bytes_take() -> None:
    bus = six()
    packet = instruction_packet(1, 0x01)
    first = bus.feed(packet, 0)[0][0]
    second = bus.feed(packet, 0)[0][0]
    assert second - first == len(packet) * BYTE_NS
    assert bus.line_free_ns == 2 * len(packet) * BYTE_NS


def test_programming_flash_takes_milliseconds_and_leaves_the_servo_deaf() -> None:
    bus = six()
    bus.servos[0].write(55, b"\x00")
    write = instruction_packet(1, 0x03, bytes((21, 16)))
    at_ns, _ = bus.feed(write, 0)[0]
    assert at_ns >= FLASH_PROGRAM_NS
    assert bus.feed(instruction_packet(1, 0x01), 1_000_000) == []
    assert ids(bus.feed(instruction_packet(1, 0x01), at_ns)) == [1]


def test_a_reboot_is_silent_for_800_ms_and_comes_back_limp() -> None:
    bus = six()
    bus.servos[0].write(40, b"\x01")
    assert bus.feed(instruction_packet(1, 0x08), 0) == []
    assert bus.servos[0].torque_enable == 0
    assert bus.feed(instruction_packet(1, 0x01), REBOOT_NS // 2) == []
    assert ids(bus.feed(instruction_packet(1, 0x01), REBOOT_NS + 1_000_000)) == [1]


def test_the_status_byte_is_live_in_every_reply() -> None:
    bus = six(0)
    bus.servos[0].forced_status = 0x20
    assert bus.feed(instruction_packet(1, 0x01), 0)[0][1] == status_packet(1, 0x20)
    assert bus.feed(instruction_packet(1, 0x02, bytes((65, 1))), 0)[0][1] == status_packet(
        1, 0x20, b"\x20"
    )


def test_a_new_id_is_answered_at_once() -> None:
    bus = VirtualBus([Servo(1)], byte_ns=0)
    reply = bus.feed(instruction_packet(1, 0x03, bytes((5, 9))), 0)[0][1]
    assert reply[2] == 1
    assert ids(bus.feed(instruction_packet(9, 0x01), 0)) == [9]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (FaultKind.SILENT, None, None),
        (FaultKind.MUTE, None, None),
        (FaultKind.BAD_CHECKSUM, None, bytes.fromhex("FFFF010200A9")),
        (FaultKind.TRUNCATED, 2, bytes.fromhex("FFFF0102")),
        (FaultKind.WRONG_ID, 7, status_packet(7, 0)),
    ],
)
def test_wire_faults_spoil_one_reply_and_heal(
    kind: FaultKind, value: int | None, expected: bytes | None
) -> None:
    bus = six(0)
    bus.faults.set(1, kind, value=value, replies=1)
    ping = instruction_packet(1, 0x01)
    spoilt = [r for _, r in bus.feed(ping, 0)]
    assert spoilt == ([] if expected is None else [expected])
    assert [r for _, r in bus.feed(ping, 0)] == [status_packet(1, 0)]


def test_noise_precedes_a_good_reply_and_a_delay_moves_it() -> None:
    bus = six(0)
    ping = instruction_packet(1, 0x01)
    bus.faults.set(1, FaultKind.NOISE, replies=1)
    noisy = bus.feed(ping, 0)[0][1]
    assert noisy.endswith(status_packet(1, 0))
    assert len(noisy) == 8
    bus.faults.set(1, FaultKind.DELAYED, value=60, replies=1)
    assert bus.feed(ping, 0)[0][0] == 60_000_000


def test_a_silent_servo_does_not_obey_but_a_mute_one_does() -> None:
    bus = six(0)
    bus.faults.set(1, FaultKind.SILENT)
    bus.faults.set(2, FaultKind.MUTE)
    for servo_id in (1, 2):
        bus.feed(instruction_packet(servo_id, 0x03, bytes((40, 1))), 0)
    assert [servo.torque_enable for servo in bus.servos[:2]] == [0, 1]
