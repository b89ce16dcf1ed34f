"""`robotd doctor bus` on a virtual arm behind a pty: it looks, compares and writes nothing."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.loader import load
from daemon.cli import doctor as doctor_command
from daemon.cli.main import main
from drivers import cross_check
from drivers.registers import HOMING_OFFSET, PRESENT_POSITION, Register
from robotd.messages import Instance
from sim.plant.options import PlantOptions
from sim.plant.world_client import WorldClient
from sim.plant.world_messages import ClearFaults, Registers, SetFault

ROOT = Path(__file__).parents[2]


class Arm:
    """A plant process with one arm on a pty."""

    def __init__(self, runtime: Path) -> None:
        options = PlantOptions(realtime_priority=True)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sim.plant",
                "--runtime",
                str(runtime),
                "--options",
                msgspec.json.encode(options).decode(),
            ],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "READY\n"
        self.port = str((runtime / "plant" / "follower").resolve())
        self.world = WorldClient(runtime)

    def memory(self) -> list[str]:
        """What is written to a servo: everything below its measurements."""
        return [self.world.ask(Registers(servo))["memory"][: 2 * 56] for servo in range(1, 7)]

    def close(self) -> None:
        self.world.close()
        self.process.terminate()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture(scope="module")
def arm() -> Iterator[Arm]:
    with tempfile.TemporaryDirectory(prefix="doctor-") as folder:
        made = Arm(Path(folder))
        yield made
        made.close()


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("STATE_HOME", "CONFIG_HOME"):
        (tmp_path / name / "robotd").mkdir(parents=True)
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / name))
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(ROOT / "config" / "calibration"))
    with tempfile.TemporaryDirectory(prefix="rd") as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        yield Path(short) / "robotd"


def configure(folder: Path, port: str, arm_id: str = "sim") -> None:
    file = folder / "CONFIG_HOME" / "robotd" / "robotd.yaml"
    file.write_text(f"extends: so101\nname: bench\narms: {{arm: {{port: {port}, id: {arm_id}}}}}\n")


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    status = main(["doctor", "bus", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_a_well_arm_is_described_and_nothing_is_written(
    arm: Arm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(tmp_path, arm.port)
    before = arm.memory()
    status, (found,) = doctor(capsys)
    assert arm.memory() == before
    assert status == 0, found
    assert [servo["presence"] for servo in found["servos"]] == ["well"] * 6
    assert found["servos"][0]["firmware"].startswith("3.")
    low, high = found["servos"][0]["volt_limits_v"]
    assert low < found["servos"][0]["volt_v"] < high
    assert not any(servo["torque"] for servo in found["servos"])
    assert found["calibration"] == []
    assert found["registers"]  # a servo from the factory is not set as LeRobot sets it


def test_every_register_of_the_table_reads_the_same_through_the_vendors_sdk(
    arm: Arm, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("scservo_sdk")
    before = arm.memory()
    status, (found,) = doctor(capsys, "--port", arm.port, "--cross-check")
    assert arm.memory() == before
    assert found["vendor"] == []
    assert found["compared"] == 6 * len(cross_check.ALL_REGISTERS)
    assert found["calibration"] is None  # no configuration says whose arm this is
    assert status == 0


def test_a_register_that_the_two_read_differently_is_named() -> None:
    own: dict[int, dict[Register, int]] = {2: {HOMING_OFFSET: -85, PRESENT_POSITION: 2_000}}
    vendor: dict[int, dict[Register, int]] = {2: {HOMING_OFFSET: 2_133, PRESENT_POSITION: 2_003}}
    wrong, drifted = cross_check.compare(own, vendor)
    assert (wrong.register.name, wrong.matters) == ("Homing_Offset", True)
    assert (drifted.register.name, drifted.matters) == ("Present_Position", False)
    vendor[2][PRESENT_POSITION] = 2_100
    assert all(each.matters for each in cross_check.compare(own, vendor))


def test_a_silent_servo_is_named_with_its_cable_and_the_rest_is_told(
    arm: Arm, capsys: pytest.CaptureFixture[str]
) -> None:
    arm.world.ask(SetFault(servo_id=4, kind="silent"))
    try:
        assert main(["doctor", "bus", "--port", arm.port]) == 1
    finally:
        arm.world.ask(ClearFaults())
    said = capsys.readouterr().out
    assert "wrist_flex (servo 4) does not answer" in said
    assert "cable into servo 4" in said
    assert said.count("firmware") == 5


def test_mixed_firmware_is_named_with_what_it_breaks() -> None:
    servos = tuple(
        doctor_command.ServoFound(joint=f"joint {n}", id=n, presence="well", firmware=f"3.{8 + n}")
        for n in (1, 2)
    )
    line = doctor_command.Line(name="arm", port="/dev/x")
    said = doctor_command.text(
        doctor_command.Found(line=line, well=True, servos=servos, registers=())
    )
    assert "mixed: 3.10, 3.9" in said
    assert "LeRobot refuses" in said


def test_another_arms_calibration_is_found(
    arm: Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "calibration" / "robots" / "so_follower" / "sim.json"
    other.parent.mkdir(parents=True)
    shipped = next((ROOT / "config" / "calibration" / "robots").rglob("sim.json"))
    content = json.loads(shipped.read_text())
    content["elbow_flex"]["homing_offset"] += 40
    other.write_text(json.dumps(content))
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(tmp_path / "calibration"))
    configure(tmp_path, arm.port)
    status, (found,) = doctor(capsys)
    assert status == 1
    assert len(found["calibration"]) == 1
    assert "elbow_flex" in found["calibration"][0]


def test_a_port_that_a_daemon_holds_is_refused_with_its_name(
    arm: Arm, own_places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second reader would take the replies that control waits for, in the middle of a motion."""
    folder = own_places / "bench"
    folder.mkdir(parents=True)
    shipped = load(file="so101-sim").config
    config = msgspec.structs.replace(
        shipped,
        name="bench",
        arms={"arm": msgspec.structs.replace(shipped.arms["arm"], port=arm.port, leader=None)},
    )
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    daemon = subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", "robotd"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert daemon.stdout is not None
        daemon.stdout.readline()  # before its exec is over, the system shows no command line for it
        instance = Instance(
            name="bench",
            pid=daemon.pid,
            boot_id="",
            simulated=False,
            joints=(),
            cameras=(),
            tick_hz=120,
            fps=30,
        )
        (folder / "instance.json").write_bytes(msgspec.json.encode(instance))
        assert main(["doctor", "bus", "--port", arm.port]) == 1
    finally:
        daemon.kill()
        daemon.wait()
    said = capsys.readouterr().err
    assert "belongs to robotd 'bench'" in said
    assert "robotd stop --name bench" in said


def test_without_the_sdk_it_is_said_which_extra_brings_it(
    arm: Arm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "scservo_sdk", None)
    assert main(["doctor", "bus", "--port", arm.port, "--cross-check"]) == 1
    assert "policy extra" in capsys.readouterr().err


def test_a_simulated_arm_has_no_cable(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    configure(tmp_path, "plant")
    assert main(["doctor", "bus"]) == 2
    assert "--port" in capsys.readouterr().err
