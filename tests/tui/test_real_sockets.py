"""The screen over real sockets, rings and the real e-stop counter, against a small daemon."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from screen_stage import fill, until, words

from robotd.errors import DaemonError
from tui.app import RecordApp
from tui.backend import RobotBackend
from tui.look import RICH

NAME = "robotd-mini"


class Mini:
    """The daemon's process."""

    def __init__(self, root: Path) -> None:
        self.runtime = root / "robotd" / NAME
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        script = Path(__file__).with_name("mini_daemon.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), NAME],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "READY\n"

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)

    def asked(self) -> list[dict[str, Any]]:
        file = self.runtime / "asked.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def mini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mini]:
    root = Path("/tmp") / f"rt-{os.getpid()}-{time.monotonic_ns() % 100000}"
    root.mkdir(mode=0o700)  # a socket's path may have 107 characters; tmp_path is too long for it
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(root))
    mini = Mini(root)
    yield mini
    mini.stop()
    for file in sorted(root.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    root.rmdir()


async def test_a_session_from_arming_to_a_kept_episode(mini: Mini) -> None:
    app = RecordApp(RobotBackend(None), RICH)
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: "DISARMED" in words(app))
        await until(pilot, lambda: set(app.view.picture_ns) == {"overhead", "wrist"})
        await pilot.press("a")
        await until(pilot, lambda: app.acts.arming is not None and app.acts.arming.passed)
        await pilot.press("enter")
        await until(pilot, lambda: "HOLDING" in words(app))
        await pilot.press("o")
        await fill(app, pilot, dataset="local/test", task="put it there")
        await until(pilot, lambda: "starts episode 1" in words(app))
        await pilot.press("space")
        await until(pilot, lambda: "REC" in words(app))
        await pilot.press("s")
        await until(pilot, lambda: "1 / 50 kept" in words(app))
    kinds = [request["type"] for request in mini.asked()]
    wanted = ["arm", "arm", "open_session", "start_episode", "keep_episode"]
    assert kinds == wanted
    assert mini.asked()[2]["dataset"] == "local/test" and mini.asked()[2]["task"] == "put it there"
    assert mini.asked()[4]["success"] is True


async def test_keyboard_goals_flow_while_the_keyboard_has_the_arm(mini: Mini) -> None:
    app = RecordApp(RobotBackend(NAME), RICH)
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: "DISARMED" in words(app))
        await pilot.press("a")
        await until(pilot, lambda: app.acts.arming is not None and app.acts.arming.passed)
        await pilot.press("enter")
        await until(pilot, lambda: "HOLDING" in words(app))
        await pilot.press("tab")
        await until(pilot, lambda: app.view.jog is not None)
        await pilot.press("up", "up")
        await until(pilot, lambda: "16.4    16.4     16.4" in words(app))
        await pilot.press("escape")
        await until(pilot, lambda: "HOLDING" in words(app) and app.view.jog is None)


async def test_the_estop_reaches_the_counter_though_the_daemon_is_stopped(mini: Mini) -> None:
    app = RecordApp(RobotBackend(NAME), RICH)
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: "DISARMED" in words(app))
        assert mini.process is not None
        mini.process.send_signal(signal.SIGSTOP)
        await pilot.press("f12")
        count = int.from_bytes((mini.runtime / "estop").read_bytes(), "little")
        mini.process.send_signal(signal.SIGCONT)
        assert count == 1
        await until(pilot, lambda: "■ E-STOP" in words(app))


async def test_a_daemon_that_comes_back_is_shown_again_pictures_and_estop_too(mini: Mini) -> None:
    app = RecordApp(RobotBackend(NAME), RICH)
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: "DISARMED" in words(app))
        mini.stop()
        await until(pilot, lambda: "DAEMON LOST" in words(app))
        assert app.view.status is not None
        before_ns = app.view.picture_ns["overhead"]
        mini.start()
        await until(pilot, lambda: "LOST" not in words(app) and "DISARMED" in words(app))
        await until(pilot, lambda: app.view.picture_ns["overhead"] > before_ns + 100_000_000)
        await pilot.press("x")
        await until(pilot, lambda: "■ E-STOP" in words(app))


def test_without_a_daemon_it_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(DaemonError, match="robotd start"):
        RobotBackend(None)
