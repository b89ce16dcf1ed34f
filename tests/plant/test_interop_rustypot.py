"""Unmodified rustypot on the virtual arm, and how long a whole block takes through it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import PlantProcess

rustypot = pytest.importorskip("rustypot")

IDS = list(range(1, 7))


@pytest.fixture
def controller(plant: PlantProcess) -> Iterator[Any]:
    made = rustypot.Sts3215PyController(plant.device(), 1_000_000, 0.05)
    yield made
    made.close()


def test_it_reads_moves_and_releases(controller: Any) -> None:
    start = controller.sync_read_raw_present_position(IDS)
    controller.sync_write_raw_goal_position([1], [start[0] - 150])
    time.sleep(1.0)
    now = controller.sync_read_raw_present_position(IDS)
    assert abs(now[0] - (start[0] - 150)) < 40
    assert controller.read_torque_enable(1) == [1]
    controller.sync_write_raw_data(IDS, 40, [[0]] * 6)
    assert [controller.read_torque_enable(n)[0] for n in IDS] == [0] * 6


def test_scan_finds_the_six(controller: Any) -> None:
    assert sorted(controller.broadcast_scan()) == IDS


def test_a_whole_block_costs_the_wire_and_little_more(
    controller: Any, record_property: Any
) -> None:
    times_ms = []
    for _ in range(200):
        begin = time.perf_counter()
        blocks = controller.sync_read_raw_data(IDS, 56, 15)
        times_ms.append((time.perf_counter() - begin) * 1e3)
        assert all(len(block) == 15 for block in blocks)
    times_ms.sort()
    record_property("p50_ms", times_ms[100])
    record_property("p99_ms", times_ms[198])
    assert times_ms[0] >= 1.5
    assert times_ms[100] < 4.0


def test_an_error_bit_reaches_it(plant: PlantProcess, controller: Any) -> None:
    from sim.plant import world_messages as msg

    plant.world.ask(msg.ForceStatus(servo_id=3, bits=0x20))
    results = controller.sync_read_raw_data_with_error(IDS, 56, 2)
    assert [error for _, error in results] == [0, 0, 0x20, 0, 0, 0]
    plant.world.ask(msg.ClearFaults())
