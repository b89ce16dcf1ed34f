"""What a person types: numbers that are none, Ctrl-D for consent, keys while the arm goes home."""

import argparse
import builtins
import os
import pty
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, cast

import msgspec
import pytest

from daemon.cli import arm, session
from daemon.cli.between import set_the_scene
from daemon.cli.keys import Keys
from daemon.cli.main import commands
from daemon.cli.numbers import positive_count, positive_number
from robotd.client import Robot
from robotd.errors import StateError
from robotd.messages import AnyRequest, Arm, Hold, Home, Status


def status(state: str, stamp_ns: int) -> Status:
    loop = dict.fromkeys(
        (
            "tick_hz",
            "ticks",
            "missed_ticks",
            "late_p50_us",
            "late_p99_us",
            "read_p50_us",
            "read_p99_us",
            "age_ms",
            "rss_mb",
        ),
        0,
    )
    raw = {
        "name": "t",
        "simulated": False,
        "state": state,
        "torque": "on",
        "source": "none",
        "stamp_ns": stamp_ns,
        "uptime_s": 1.0,
        "handover_version": 0,
        "estop_presses": 0,
        "joints": [],
        "cameras": [],
        "loop": loop | {"scheduler": "", "memory_locked": False},
    }
    return msgspec.convert(raw, Status)


class Asked:
    """A robot that notes what it is asked, and is in the state that the test says."""

    def __init__(self, state: Callable[[], str] = lambda: "disarmed") -> None:
        self.requests: list[AnyRequest] = []
        self.presses = 0
        self.state = state
        self.instance = argparse.Namespace(simulated=False, name="t")

    def request(self, request: AnyRequest, timeout_s: float = 0.0) -> dict[str, Any]:
        self.requests.append(request)
        return {"checks": [{"name": "bus", "outcome": "pass", "detail": "fine"}]}

    def status(self) -> Status:
        return status(self.state(), 1 << 62)

    def watch(self, timeout_s: float) -> Status:
        return self.status()

    def estop(self) -> int:
        self.presses += 1
        return self.presses

    def __enter__(self) -> "Asked":
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "", "soon", "1e999"])
def test_a_number_that_is_none_is_refused_where_it_is_typed(text: str) -> None:
    for kind in (positive_number, positive_count):
        with pytest.raises(argparse.ArgumentTypeError, match="above 0"):
            kind(text)
    with pytest.raises(argparse.ArgumentTypeError, match="whole"):
        positive_count("1.5")
    assert positive_number("0.5") == 0.5
    assert positive_count("3") == 3


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("run --policy p", "--episodes 0"),
        ("run --policy p", "--episodes -2"),
        ("run --policy p", "--seconds nan"),
        ("run --policy p", "--reset-seconds nan"),
        ("record --task t", "--episode-seconds nan"),
        ("record --task t", "--episodes 0"),
        ("teleop --source leader", "--seconds 0"),
    ],
)
def test_every_option_that_counts_or_times_refuses_nothing(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = command.split()
    parser = argparse.ArgumentParser()
    import_module(commands()[name].module).configure(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([*rest, *option.split()])
    assert ended.value.code == 2
    assert "above 0" in capsys.readouterr().err


def test_ctrl_d_is_no_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: str) -> str:
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(builtins, "input", closed)
    robot = Asked()
    with pytest.raises(StateError, match="was not armed"):
        session.arm_with_consent(cast(Robot, robot), yes=False)
    assert robot.requests == [Arm(consent=False)]


def test_arm_json_prints_json_and_nothing_else_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arm.Robot, "connect", lambda _: Asked())
    arm.run(argparse.Namespace(name=None, check=False, yes=True, json=True))
    said = capsys.readouterr()
    assert said.out == '{"state":"disarmed"}\n'
    assert "Arming list" in said.err


@pytest.mark.parametrize("name", ["arm", "stop", "disarm", "clear", "home", "hold", "status"])
def test_a_program_can_ask_every_command_of_the_session_for_json(name: str) -> None:
    parser = argparse.ArgumentParser()
    import_module(commands()[name].module).configure(parser)
    assert parser.parse_args(["--json"]).json


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal on stdin; its other end."""
    outer, inner = pty.openpty()
    stdin = os.fdopen(inner)
    monkeypatch.setattr(sys, "stdin", stdin)
    yield outer
    stdin.close()
    os.close(outer)


@pytest.mark.parametrize(("key", "presses"), [(b"x", 1), (b"q", 0)])
def test_keys_are_heard_while_the_arm_goes_home_between_episodes(
    terminal: int, key: bytes, presses: int
) -> None:
    robot = Asked(lambda: "homing")
    with Keys() as keys:
        os.write(terminal, key)
        assert not set_the_scene(cast(Robot, robot), keys, reset_s=None)
    assert robot.presses == presses
    assert robot.requests == ([Home()] if presses else [Home(), Hold()])


def test_the_time_of_a_slow_way_home_does_not_count_as_waiting() -> None:
    began = [0]

    def state() -> str:
        began[0] += 1
        return "homing" if began[0] < 50 else "holding"

    robot = Asked(state)

    def slow(timeout_s: float) -> Status:
        time.sleep(0.01)
        return robot.status()

    robot.watch = slow  # type: ignore[method-assign]
    reached = session.wait_for(cast(Robot, robot), lambda s: s.state == "holding", 0.2, "home")
    assert reached.state == "holding"
