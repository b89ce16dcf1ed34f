"""A client and the program that it lives in."""

import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import gc, signal
from robotd.client import Robot
from robotd.messages import GetStatus, Instance

instance = Instance(name="gone", pid=1, boot_id="", simulated=True, joints=(), cameras=(), tick_hz=120, fps=15)
robot = Robot(instance)
def interrupted(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupted)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    robot.request(GetStatus(), timeout_s=10)
except KeyboardInterrupt:
    del robot
    gc.collect()
    print("interrupted")
"""


def test_a_program_that_is_interrupted_while_its_daemon_does_not_answer_ends(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={
            **os.environ,
            "XDG_RUNTIME_DIR": str(tmp_path),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "interrupted\n"
