"""`robotd selftest` as it is typed: refusals, and a virtual arm over a real pty, from end to end."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli import selftest
from daemon.cli.main import main
from daemon.selftest.person import Answer, Terminal
from robotd.messages import Instance

ROBOTD = [sys.executable, "-m", "daemon.cli.main"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of its own."""
    for name in ("RUNTIME_DIR", "CONFIG_HOME", "STATE_HOME"):
        folder = tmp_path / name[0].lower()
        folder.mkdir()
        monkeypatch.setenv(f"XDG_{name}", str(folder))
    return tmp_path


def test_it_refuses_beside_a_daemon_of_the_same_robot(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = Instance(
        name="sim", pid=1, boot_id="", simulated=True, joints=(), cameras=(), tick_hz=120, fps=15
    )
    monkeypatch.setattr(selftest, "running_instances", lambda: {"sim": running})
    assert main(["selftest", "--hardware", "--sim", "--yes"]) != 0
    assert "robotd stop --name sim" in capsys.readouterr().err


def test_it_refuses_where_nobody_can_be_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115, PTH123 - closed with the test
    assert main(["selftest", "--hardware", "--sim"]) != 0
    assert "--yes" in capsys.readouterr().err


def test_a_person_at_a_terminal_is_polled_and_a_closed_one_means_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    out = io.StringIO()
    with open(theirs, closefd=True) as keyboard:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr("sys.stdin", keyboard)
        person = Terminal(hands=True, out=out)
        person.ask("Next: it moves.", seen=False)
        assert person.answer() is None  # nobody waits for a person: the arm is looked after
        for typed, meant in (("", Answer.YES), ("n", Answer.NO), ("q", Answer.STOP)):
            os.write(ours, f"{typed}\n".encode())
            assert person.answer() is meant
        person.ask("Did it move up?", seen=True)
        assert person.answer() is None
        for typed in ("", "", "what"):  # Return is consent, never something seen: asked again
            os.write(ours, f"{typed}\n".encode())
            assert person.answer() is None
        assert out.getvalue().count("What did you see?") == 3
        for typed, meant in (("y", Answer.YES), ("n", Answer.NO), ("q", Answer.STOP)):
            os.write(ours, f"{typed}\n".encode())
            assert person.answer() is meant
        os.write(ours, b"\x04")  # Ctrl-D
        assert person.answer() is Answer.STOP
    os.close(ours)
    assert "Next: it moves." in out.getvalue()


@pytest.mark.slow
def test_over_a_pty_it_ends_with_a_record_and_a_shared_one(home: Path) -> None:
    shared = home / "shared.json"
    done = subprocess.run(
        [*ROBOTD, "selftest", "--hardware", "--sim", "--yes", "--json", "--share", str(shared)],
        capture_output=True,
        timeout=170,
        check=False,
    )
    record = json.loads(done.stdout)
    assert record["simulated"] and record["finished"], record["stopped_by"]
    said = {fact["id"]: fact["verdict"] for fact in record["facts"]}
    # How long a read takes is the machine's affair; the rest is the arm's.
    late = {name for name, verdict in said.items() if verdict == "contradicted"}
    assert late <= {"usb-2", "usb-15", "replies"}
    assert said["48-at-once"] == said["goal-is-torque"] == said["release"] == "confirmed"
    assert (home / "s" / "robotd" / "selftest" / "sim.json").exists()
    assert json.loads(shared.read_text())["arm"] == "an SO-101"


@pytest.mark.slow
def test_a_terminate_in_the_middle_lets_the_arm_down_and_says_so(home: Path) -> None:
    process = subprocess.Popen(
        [*ROBOTD, "selftest", "--hardware", "--sim", "--yes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "shoulder_lift moves" in line:
            process.send_signal(signal.SIGTERM)
            break
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "let down" in errors
    kept = json.loads((home / "s" / "robotd" / "selftest" / "sim.json").read_text())
    assert not kept["finished"] and "Ctrl-C" in kept["stopped_by"]
