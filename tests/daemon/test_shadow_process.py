"""A shadow on the whole daemon: the policy that robotd ships looks, the twin judges, no servo is
written to."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import policies
from daemon.cli.start import start_daemon, stop_daemon
from daemon.rehearsals import RehearsalStore
from robotd.client import Robot
from robotd.errors import StateError
from robotd.messages import Arm, Check, Disarm, Home, LoadPolicy, Shadow, Status
from sim.plant import world_messages as world
from sim.plant.world_client import WorldClient

SHIPPED = Path(policies.__file__).parent / "shipped" / "so101_block_in_bowl_act"
ROOT = Path(__file__).parents[2]
NAME = "shadowed"
VOLATILE = range(56, 71)  # position, speed, load, voltage, temperature, status, moving, current
SECONDS = 8.0


@pytest.fixture
def robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Robot]:
    for name in ("STATE_HOME", "CONFIG_HOME", "CACHE_HOME"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / name))
    with tempfile.TemporaryDirectory(prefix="rd") as short:  # a socket's path is short
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "lerobot"))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT)]))
        start_daemon(NAME, simulated=True)
        try:
            with Robot.connect(NAME) as connected:
                yield connected
        finally:
            stop_daemon(NAME)


def until(robot: Robot, state: str, seconds: float = 60.0) -> Status:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        status = robot.status()
        if status.state == state:
            return status
        time.sleep(0.1)
    raise AssertionError(f"still {status.state}, not {state}")


def registers(plant: WorldClient) -> list[tuple[bytes, str]]:
    """Of each servo: memory without what it measures, and flash."""
    found = []
    for servo in range(1, 7):
        both = plant.ask(world.Registers(servo))
        memory = bytearray.fromhex(both["memory"])
        for address in VOLATILE:
            memory[address] = 0
        found.append((bytes(memory), both["flash"]))
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_shadow_judges_a_policys_chunks_and_leaves_every_register_as_it_was(
    robot: Robot,
) -> None:
    plant = WorldClient(robot.runtime, timeout_ms=20_000)
    robot.request(LoadPolicy(path=str(SHIPPED)), timeout_s=300)
    robot.request(Arm(consent=True), timeout_s=60)
    with pytest.raises(StateError, match="disarmed"):
        robot.request(Shadow(seconds=SECONDS))
    robot.request(Home())
    time.sleep(0.5)
    until(robot, "holding")
    for servo in range(1, 7):  # a hand holds the arm where its demonstrations start
        plant.ask(world.Stuck(servo))
    robot.request(Disarm(in_place=True))
    until(robot, "disarmed")
    before, wrote = registers(plant), plant.ask(world.Stats())["writes"]["follower"]
    assert wrote > 0

    number = robot.request(Shadow(seconds=SECONDS))["shadow"]
    end_s = time.monotonic() + SECONDS + 30
    status = robot.status()
    while status.shadow.phase == "running":
        assert time.monotonic() < end_s and status.state == "disarmed"
        time.sleep(0.5)
        status = robot.status()

    assert registers(plant) == before
    assert plant.ask(world.Stats())["writes"]["follower"] == wrote
    plant.close()
    shadow = status.shadow
    assert (shadow.phase, shadow.number) == ("finished", number), shadow
    assert shadow.chunks >= 2 and shadow.refused == sum(shadow.reasons.values())
    assert shadow.passed, shadow
    kept = RehearsalStore().find(shadow.key).shadow
    assert kept is not None and kept.chunks == shadow.chunks
    data = robot.request(Arm(consent=False), timeout_s=60)
    (line,) = [
        check for check in msgspec.convert(data["checks"], list[Check]) if check.name == "rehearsal"
    ]
    assert line.detail == kept.words and line.outcome == "pass"
