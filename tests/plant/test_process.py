"""The plant process: its devices, its socket, its end."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial

from robotd.layouts import ENVIRONMENT_STATE
from robotd.shm import SlotReader
from sim.plant import world_messages as msg
from sim.plant.wire import instruction_packet, status_packet

from .conftest import PlantProcess

PING_1 = instruction_packet(1, 0x01)
SYNC_READ = instruction_packet(0xFE, 0x82, bytes((56, 15, 1, 2, 3, 4, 5, 6)))


def ask(device: str, data: bytes, size: int, baud: int = 1_000_000) -> bytes:
    with serial.Serial(device, baud, timeout=0.2) as port:
        port.write(data)
        return port.read(size)


def test_it_answers_on_its_device(plant: PlantProcess) -> None:
    assert ask(plant.device(), PING_1, 6) == status_packet(1, 0)
    assert ask(plant.device("leader"), PING_1, 6) == status_packet(1, 0)


def test_clients_may_come_and_go(plant: PlantProcess) -> None:
    for _ in range(5):
        assert len(ask(plant.device(), SYNC_READ, 126)) == 126


def test_bytes_at_another_baud_rate_are_lost(plant: PlantProcess) -> None:
    assert ask(plant.device(), PING_1, 6, baud=115_200) == b""
    assert ask(plant.device(), PING_1, 6) == status_packet(1, 0)


def test_a_block_read_takes_its_wire_time(plant: PlantProcess) -> None:
    with serial.Serial(plant.device(), 1_000_000, timeout=0.2) as port:
        times = []
        for _ in range(50):
            begin = time.perf_counter()
            port.write(SYNC_READ)
            assert len(port.read(126)) == 126
            times.append(time.perf_counter() - begin)
    times.sort()
    assert times[0] >= 0.00155  # 14 + 5 slots of 24 + 21 bytes, and the turnaround
    assert times[len(times) // 2] < 0.004


def test_environment_state_and_truth_agree(plant: PlantProcess) -> None:
    plant.world.reset(11)
    time.sleep(0.1)
    slot = SlotReader(plant.runtime / "plant" / "environment_state", ENVIRONMENT_STATE)
    record = slot.read()
    slot.close()
    assert record is not None
    assert list(record["values"][:3]) == pytest.approx(plant.world.truth().block_m, abs=1e-3)
    assert abs(time.monotonic_ns() - record["stamp_ns"]) < 1_000_000_000


def test_a_refused_request_says_why_and_the_next_is_served(plant: PlantProcess) -> None:
    with pytest.raises(msg.WorldError, match="no arm"):
        plant.world.ask(msg.Power(on=True, arm="nobody"))
    assert plant.world.truth().seed >= 0


def test_pulling_the_cable_is_an_io_error_and_plugging_brings_a_new_device(
    make_plant: Callable[..., PlantProcess],
) -> None:
    plant = make_plant(leader=False, objects=False)
    port = serial.Serial(plant.device(), 1_000_000, timeout=0.2)
    port.write(PING_1)
    assert port.read(6) == status_packet(1, 0)
    plant.world.ask(msg.Plug(connected=False))
    with pytest.raises((serial.SerialException, OSError)):
        for _ in range(3):
            port.write(PING_1)
            port.read(6)
    port.close()
    assert not plant.link.is_symlink()
    plant.world.ask(msg.Plug(connected=True))
    assert ask(plant.device(), PING_1, 6) == status_packet(1, 0)


def test_sigterm_ends_it_cleanly_and_takes_its_devices_away(
    make_plant: Callable[..., PlantProcess],
) -> None:
    plant = make_plant(leader=False)
    begin = time.monotonic()
    plant.process.send_signal(signal.SIGTERM)
    assert plant.process.wait(5) == 0
    assert time.monotonic() - begin < 1.0
    assert not plant.link.is_symlink()
    assert not (plant.runtime / "plant" / "world.sock").exists()


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            f"p = subprocess.Popen([sys.executable, '-m', 'sim.plant', '--runtime', '{tmp_path}',"
            " '--options', '{\"objects\": false}'], stdout=subprocess.PIPE)\n"
            "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    descriptor = os.pidfd_open(child)
    parent.kill()
    parent.wait(5)
    parent.stdout.close()
    gone, _, _ = select.select([descriptor], [], [], 3.0)
    os.close(descriptor)
    assert gone


def test_bad_options_are_an_error_for_a_person_and_no_ready(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sim.plant", "--runtime", str(tmp_path), "--options", '{"sed": 1}'],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert "READY" not in done.stdout
    assert "sed" in done.stderr
