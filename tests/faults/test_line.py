"""Faults of a real serial line, through the whole daemon: a pty that vanishes, stalls and is slow.

One daemon for all; a person's commands are used as they are typed.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.blackbox.folder import boxes, read_box
from daemon.blackbox.story import tell
from daemon.cli import blackbox
from daemon.cli.start import start_daemon, stop_daemon
from robotd.client import Robot
from robotd.errors import DaemonError, StateError
from robotd.messages import Arm, Clear, Home, Status
from sim import fault_command
from sim.plant.world_client import WorldClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CONFIG = "extends: so101-sim\nname: l\nsimulation: {wire: 1mbps}\n"


class Stage:
    """The daemon, and the ends of it that these tests look at."""

    def __init__(self, state: Path) -> None:
        self.robot = Robot.connect("l")
        self.link = self.robot.runtime / "plant" / "follower"
        self.boxes = state / "robotd" / "l" / "blackbox"
        self.log = state / "robotd" / "l" / "logs" / "control.log"

    def sim(self, *words: str) -> None:
        """`robotd sim …`"""
        parser = argparse.ArgumentParser()
        fault_command.configure(parser)
        assert fault_command.run(parser.parse_args([*words, "--name", "l"])) == 0

    def until(self, true: Callable[[Status], bool], seconds: float = 40.0) -> Status:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            status = self.robot.status()
            if true(status):
                return status
            time.sleep(0.05)
        raise AssertionError(f"it did not happen in time: {status}")

    def ready(self) -> None:
        """No fault, armed and holding; asked again where a busy machine lost a register's reply."""
        self.sim("fault", "clear")
        for _ in range(5):
            try:
                if self.robot.status().state == "fault":
                    self.robot.request(Clear(), timeout_s=20)
                if self.robot.status().state != "holding":
                    self.robot.request(Arm(consent=True), timeout_s=40)
                return
            except (StateError, DaemonError):
                time.sleep(1.0)
        raise AssertionError("it cannot be armed")

    def position_rad(self) -> list[float]:
        world = WorldClient(self.robot.runtime)
        try:
            return world.truth().arms[0].position_rad
        finally:
            world.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("line")
    (folder / "l.yaml").write_text(CONFIG)
    with tempfile.TemporaryDirectory(prefix="rl") as short, pytest.MonkeyPatch.context() as patch:
        for each in ("STATE_HOME", "CONFIG_HOME"):
            patch.setenv(f"XDG_{each}", str(folder / each))
        patch.setenv("HF_LEROBOT_HOME", str(folder / "lerobot"))
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        patch.setenv("XDG_RUNTIME_DIR", short)
        start_daemon(None, simulated=True, config=str(folder / "l.yaml"))
        try:
            yield Stage(folder / "STATE_HOME")
        finally:
            stop_daemon("l")


@pytest.mark.parametrize("name", ["unplug", "unplug_moved"])
def test_a_pulled_cable_is_a_fault_and_the_arm_is_taken_again_where_it_is_from_any_tty(
    stage: Stage, name: str
) -> None:
    stage.ready()
    tty = stage.link.readlink()
    logged = len(stage.log.read_text().splitlines())
    stage.robot.request(Home())
    time.sleep(0.4)
    stage.sim("fault", name)
    status = stage.until(lambda status: status.state == "fault")
    assert "no servo answers" in status.fault
    time.sleep(4.0)  # several attempts to open it
    stage.sim("fault", "clear")
    assert (stage.link.readlink() == tty) is (name == "unplug")
    stage.until(lambda status: status.torque == "on" and status.joints[0].age_ms < 200)
    lines = [line for line in stage.log.read_text().splitlines()[logged:] if "bus arm:" in line]
    assert len(lines) == 3, lines  # gone, not to be opened, back
    where = stage.position_rad()
    stage.ready()
    moved = [abs(a - b) for a, b in zip(where, stage.position_rad(), strict=True)]
    assert max(moved) < 0.06


def test_a_fault_leaves_its_story_and_the_fault_says_where(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.ready()
    before = len(boxes(stage.boxes))
    stage.robot.request(Home())
    time.sleep(0.4)
    stage.sim("fault", "silent", "--servo", "elbow_flex")
    status = stage.until(lambda status: "robotd blackbox" in status.fault_do)
    assert "elbow_flex does not answer" in status.fault
    with pytest.raises(StateError, match="A fault is latched") as caught:
        stage.robot.request(Home())
    assert "elbow_flex does not answer" in caught.value.likely
    newest = status.fault_do.partition("robotd blackbox show ")[2].rstrip(".")
    assert newest.endswith("-servo_lost")
    end_s = time.monotonic() + 30
    while not (stage.boxes / newest).exists() and time.monotonic() < end_s:
        time.sleep(0.2)
    assert len(boxes(stage.boxes)) == before + 1
    story = tell(read_box(stage.boxes / newest))
    assert (story.fault, story.joint) == ("SERVO_LOST", "elbow_flex")
    parser = argparse.ArgumentParser()
    blackbox.configure(parser)
    capsys.readouterr()
    assert blackbox.run(parser.parse_args(["show", newest, "--json", "--bus"])) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["joint"] == "elbow_flex"
    assert any("sync read" in each["words"] for each in told["bus"])


def test_an_adapter_that_stalls_is_coasted_over_and_one_that_is_too_slow_is_said_to_be(
    stage: Stage,
) -> None:
    stage.ready()
    stage.sim("fault", "slow_usb", "--value", "40")
    status = stage.until(lambda status: status.state == "fault")
    assert "in time" in status.fault and "read_deadline_ms" in status.fault_do
    stage.ready()
    stage.sim("fault", "stall", "--value", "30", "--for", "3s")
    stage.robot.request(Home())
    stage.until(lambda status: status.state in ("holding", "fault"))
    assert stage.robot.status().state == "holding"
