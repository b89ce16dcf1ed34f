"""A command whose terminal or session ends takes the arm off what it gave it to, like Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_COMMAND = """
import sys, time
from pathlib import Path
from daemon.cli import hold, main

def run(args):
    try:
        print("moving", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.3)  # the hold is asked for and answered
        Path(sys.argv[1]).write_text("held")

hold.run = run
sys.exit(main.main(["hold"]))
"""


# What runs the tests may itself ignore these (nohup, a background job), and children inherit that.
_AS_IN_A_TERMINAL = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


def started(place: Path, before: str = "") -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", _AS_IN_A_TERMINAL + before + _COMMAND, str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "moving\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_lets_go_first(tmp_path: Path, number: signal.Signals) -> None:
    process = started(tmp_path / "place")
    process.send_signal(number)
    assert process.wait(10) == 128 + number
    assert (tmp_path / "place").read_text() == "held"


def test_a_second_signal_does_not_cut_the_letting_go_short(tmp_path: Path) -> None:
    process = started(tmp_path / "place")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    process.wait(10)
    assert (tmp_path / "place").read_text() == "held"


def test_nohup_keeps_its_meaning(tmp_path: Path) -> None:
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    process = started(tmp_path / "place", ignore)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    process.wait(10)
