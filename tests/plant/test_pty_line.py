"""The serial device by itself, on a clock the test holds."""

import fcntl
import os
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.plant.bus import VirtualBus
from sim.plant.pty_line import PtyLine
from sim.plant.servo import Servo
from sim.plant.wire import instruction_packet, status_packet

BYTE_NS = 10_000
GOAL = instruction_packet(0xFE, 0x83, bytes((42, 2, 99, 0, 8)))
PING_1 = instruction_packet(1, 0x01)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[PtyLine]:
    made = PtyLine(VirtualBus([Servo(1)]), tmp_path / "follower")
    yield made
    made.close()


@pytest.fixture
def client(line: PtyLine) -> Iterator[int]:
    descriptor = os.open(line.link, os.O_RDWR | os.O_NOCTTY)
    os.set_blocking(descriptor, False)
    yield descriptor
    os.close(descriptor)


def test_a_burst_is_taken_no_faster_than_the_wire_carries_it(line: PtyLine, client: int) -> None:
    os.write(client, GOAL * 100)
    for now_ns in range(0, 3_000_000, 100_000):
        for _ in range(10):
            if line.wants_input(now_ns):
                line.receive(now_ns)
        assert line.bus.line_free_ns <= now_ns + 1_100_000
    assert line.bus.line_free_ns < len(GOAL) * 100 * BYTE_NS


def test_a_reply_leaves_when_its_last_byte_has_crossed_the_wire(line: PtyLine, client: int) -> None:
    os.write(client, PING_1)
    line.receive(0)
    due_ns = line.next_emission_ns()
    assert due_ns == 6 * BYTE_NS + 15_000 + 6 * BYTE_NS
    assert line.emit(due_ns - 1) == []
    assert line.emit(due_ns + 7) == [7]
    assert os.read(client, 100) == status_packet(1, 0)


def test_the_device_does_not_echo(line: PtyLine, client: int) -> None:
    os.write(client, GOAL)
    with pytest.raises(BlockingIOError):
        os.read(client, 100)


def test_a_client_that_never_reads_does_not_block_the_servos(line: PtyLine, client: int) -> None:
    now_ns = 0
    for _ in range(20_000):
        now_ns += 1_000_000
        os.write(client, PING_1)
        line.receive(now_ns)
        line.emit(now_ns + 500_000)
    assert line.lost_bytes > 0


def test_a_gone_clients_exclusive_claim_goes_with_it(line: PtyLine, client: int) -> None:
    def exclusive() -> int:
        return int(struct.unpack("i", fcntl.ioctl(client, 0x80045440, bytes(4)))[0])

    other = os.open(line.link, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(other, fcntl.LOCK_EX)
    fcntl.ioctl(other, termios.TIOCEXCL)
    line.free_exclusive()
    assert exclusive()
    os.close(other)
    line.free_exclusive()
    assert not exclusive()
