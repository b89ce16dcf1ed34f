"""The unmodified vendor SDK on the virtual arm."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import PlantProcess

scs = pytest.importorskip("scservo_sdk")

IDS = range(1, 7)


@pytest.fixture
def port(plant: PlantProcess) -> Iterator[Any]:
    handler = scs.PortHandler(plant.device())
    assert handler.openPort()
    yield handler
    handler.closePort()


def until_heard(ask: Any) -> Any:
    """The SDK gives up after 34 ms, which a loaded machine can take from the plant: ask again."""
    for _ in range(5):
        answer = ask()
        if answer[1] == scs.COMM_SUCCESS:
            return answer
    return answer


def test_ping_finds_six_sts3215(port: Any) -> None:
    packets = scs.PacketHandler(0)
    for servo_id in IDS:
        model, result, error = until_heard(lambda n=servo_id: packets.ping(port, n))
        assert (model, result, error) == (777, scs.COMM_SUCCESS, 0)
    _, result, _ = packets.ping(port, 7)
    assert result != scs.COMM_SUCCESS


def test_group_reads_and_writes_move_a_joint(port: Any) -> None:
    packets = scs.PacketHandler(0)
    start, result, _ = until_heard(lambda: packets.read2ByteTxRx(port, 1, 56))
    assert result == scs.COMM_SUCCESS
    goal = start + 200
    writer = scs.GroupSyncWrite(port, packets, 42, 2)
    assert writer.addParam(1, [goal & 0xFF, goal >> 8])
    assert writer.txPacket() == scs.COMM_SUCCESS
    time.sleep(1.2)
    reader = scs.GroupSyncRead(port, packets, 56, 15)
    for servo_id in IDS:
        assert reader.addParam(servo_id)
    assert until_heard(lambda: (None, reader.txRxPacket()))[1] == scs.COMM_SUCCESS
    present = [reader.getData(servo_id, 56, 2) for servo_id in IDS]
    assert abs(present[0] - goal) < 40
    assert packets.write1ByteTxRx(port, 1, 40, 0) == (scs.COMM_SUCCESS, 0)
    assert packets.read1ByteTxRx(port, 1, 40)[0] == 0


def test_registered_writes_wait_for_action(port: Any) -> None:
    packets = scs.PacketHandler(0)
    here, _, _ = until_heard(lambda: packets.read2ByteTxRx(port, 5, 56))
    assert packets.regWriteTxRx(port, 5, 42, 2, [here & 0xFF, here >> 8])[0] == scs.COMM_SUCCESS
    assert packets.read1ByteTxRx(port, 5, 40)[0] == 0
    assert packets.action(port, scs.BROADCAST_ID) == scs.COMM_SUCCESS
    time.sleep(0.02)
    assert packets.read1ByteTxRx(port, 5, 40)[0] == 1
    packets.write1ByteTxRx(port, 5, 40, 0)
