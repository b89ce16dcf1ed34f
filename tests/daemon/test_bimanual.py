"""Two arms under one daemon: it starts, arms both, follows both leaders, and records twelve joints."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from daemon.cli.session import wait_for
from daemon.cli.start import start_daemon, stop_daemon
from robotd.client import Robot
from robotd.messages import (
    Arm,
    CloseSession,
    Disarm,
    Hold,
    KeepEpisode,
    OpenSession,
    StartEpisode,
    Teleop,
)

PROFILE = "so101-bimanual-sim"


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for each in ("STATE_HOME", "CONFIG_HOME"):
        monkeypatch.setenv(f"XDG_{each}", str(tmp_path / each))
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "lerobot"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    # A socket's path is at most 108 bytes long, and pytest's folders are not short.
    with tempfile.TemporaryDirectory(prefix="rd") as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        started = str(start_daemon(None, simulated=True, config=PROFILE)["name"])
        try:
            yield started
        finally:
            stop_daemon(started)


@pytest.mark.slow
def test_two_arms_start_arm_follow_their_leaders_and_record(name: str, tmp_path: Path) -> None:
    with Robot.connect(name) as robot:
        joints = robot.instance.joints
        assert len(joints) == 12
        assert joints[0] == "left_shoulder_pan" and joints[6] == "right_shoulder_pan"
        armed = robot.request(Arm(consent=True), timeout_s=40)
        assert armed["armed"], armed
        opened = robot.request(OpenSession(dataset="t/two", task="hold still"), timeout_s=30)
        robot.request(Teleop(source="leader"))
        robot.request(StartEpisode(), timeout_s=30)
        time.sleep(3.0)
        kept = robot.request(KeepEpisode(), timeout_s=30)
        robot.request(Hold())
        closed = robot.request(CloseSession(), timeout_s=60)
        assert closed["published"] == closed["kept"] == 1, closed
        robot.request(Disarm(), timeout_s=10)
        wait_for(robot, lambda status: status.state == "disarmed", 60, "both arms down")
        assert robot.status().torque == "off"
    root = Path(str(opened["root"]))
    assert root == Path(os.environ["HF_LEROBOT_HOME"]) / "t" / "two"
    (file,) = root.rglob("data/**/*.parquet")
    table = pq.read_table(file)
    assert table.num_rows == kept["frames"] > 20
    assert all(len(row) == 12 for row in table["observation.state"].to_pylist())
    assert all(len(row) == 12 for row in table["action"].to_pylist())
