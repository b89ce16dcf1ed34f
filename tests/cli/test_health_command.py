"""`robotd health`: what it prints and how it ends; light enough to be asked every few seconds."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from daemon.cli import health as command
from daemon.cli.main import main
from robotd.health import (
    BusHealth,
    HealthStatus,
    RealtimeHealth,
    Reason,
    ServoHealth,
    Spread,
    StageHealth,
    TwinHealth,
)
from robotd.messages import LoopStatus, Status

HEAVY = ("numpy", "mujoco", "cv2", "torch", "av", "textual", "yaml", "serial", "pyarrow")


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("ROBOTD_NAME", raising=False)


def status(health: HealthStatus) -> Status:
    loop = LoopStatus(
        tick_hz=120,
        ticks=1,
        missed_ticks=0,
        late_p50_us=0,
        late_p99_us=0,
        read_p50_us=0,
        read_p99_us=0,
        age_ms=0,
        scheduler="fifo:50",
        memory_locked=True,
        rss_mb=41.0,
    )
    return Status(
        name="bench",
        simulated=False,
        state="holding",
        torque="on",
        source="none",
        stamp_ns=0,
        uptime_s=7_300,
        handover_version=0,
        estop_presses=0,
        joints=(),
        cameras=(),
        loop=loop,
        health=health,
    )


HEALTH = HealthStatus(
    verdict="degraded",
    reasons=(Reason(what="elbow_flex lost 80 replies.", do="Reseat the cable into servo 3."),),
    hz=119.9,
    missed=2,
    p99_us=310.0,
    rt=RealtimeHealth(fifo=True, mlock=False, affinity=3, why={"mlock": "LimitMEMLOCK"}),
    bus=BusHealth(
        errors=80, coasted=80, reopened=1, errors_last_minute=80, lost={"elbow_flex": 80}
    ),
    servos=(ServoHealth(name="elbow_flex", temp_c=41, volt_v=12.0, load=-18, current_a=0.3),),
    twin=TwinHealth(residual_rad=0.021, verdict="agrees"),
    stages={"late": StageHealth(last_10_s=Spread(count=1_200, p99_us=310.0, max_us=900.0))},
    guard="watching",
    processes={"control": "running", "twin": "running", "recorder": "restarting (exit 1)"},
)


def test_one_screen_says_the_verdict_first_and_what_to_do_next() -> None:
    lines = command.text(status(HEALTH)).splitlines()
    assert lines[0].startswith("bench  DEGRADED  holding, torque on, up 2.0 h")
    assert "lost 80" in lines[1]
    assert "do: Reseat the cable into servo 3." in lines[2]
    said = "\n".join(lines)
    for word in ("119.9 of 120 Hz", "0.31 ms", "SCHED_FIFO", "core 3", "no mlock: LimitMEMLOCK"):
        assert word in said
    for word in ("running control, twin", "others  recorder restarting (exit 1)"):
        assert word in said
    for word in ("elbow_flex 80", "reopened once", "41 °C", "agrees, 0.021 rad", "watching"):
        assert word in said
    assert all(len(line) <= 100 for line in lines)


def test_without_a_daemon_it_is_one_sentence_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health"]) == 1
    said = capsys.readouterr()
    assert said.err == "No robotd is running.\n"
    assert said.out == ""


def test_a_monitor_gets_json_without_a_daemon_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--json"]) == 1
    body = json.loads(capsys.readouterr().out)
    assert body["verdict"] == "bad"
    assert "No robotd" in body["reasons"][0]["what"]
    assert set(body) == set(msgspec.to_builtins(HEALTH))


def test_it_imports_nothing_heavy() -> None:
    """A monitor asks every few seconds: numpy alone takes longer to import than the whole answer."""
    program = (
        "import sys; from daemon.cli.main import main; main(['health']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "[]\n"
