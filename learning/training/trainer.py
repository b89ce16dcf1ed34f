"""LeRobot's trainer as a child: every line of it is heard, and its end is said in three parts."""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from robotd.errors import CheckpointError
from robotd.installed import install_again

_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG; kept over execv
if os.getppid() != int(sys.argv[1]):
    sys.exit("robotd ended while its trainer was started")
os.execv(sys.argv[2], sys.argv[2:])
"""

_KEPT = 40  # lines of a failed run that are looked through for its reason
_STOP_S = 20.0  # the trainer's workers end within seconds; then it is killed

_REASONS = (
    (
        "CUDA out of memory",
        "The GPU has too little memory for this policy and batch.",
        "Halve --batch-size; for Pi0 train the expert alone: --set policy.train_expert_only=true",
    ),
    (
        "No space left on device",
        "The disk is full.",
        "Free space, or save less often: --save-every.",
    ),
    (
        "Killed",
        "The machine ran out of memory: each worker holds pictures of its own.",
        "Use fewer --workers or a smaller --batch-size.",
    ),
)


def trainer_program() -> str:
    """LeRobot's `lerobot-train` of this environment."""
    return str(Path(sys.executable).with_name("lerobot-train"))


def run_trainer(
    command: Sequence[str],
    hear: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run `command` to its end. `hear` gets each line; a redrawn progress bar is a line each time.

    `environment` is added to this process's own. When this process is interrupted the trainer is
    stopped first, and on Linux it ends when this process is killed: two trainers must never write
    into one run. Finished checkpoints stay. Raises CheckpointError when it fails.
    """
    if not Path(command[0]).exists():
        raise CheckpointError(
            f"LeRobot's trainer is not installed here (no {command[0]}).",
            "This is the light install, without torch and LeRobot.",
            f"Install both: {install_again('policy')}.",
        )
    last: deque[str] = deque(maxlen=_KEPT)
    with subprocess.Popen(
        [*_with_parent(), *command],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is ours to pass on, once
    ) as process:
        assert process.stdout is not None
        try:
            for text in process.stdout:  # text mode: a bar's carriage return ends a line too
                line = text.rstrip()
                if line:
                    last.append(line)
                    hear(line)
        except BaseException:
            _stop(process)
            raise
    if process.returncode != 0:
        raise _failed(process.returncode, list(last), command)


def _with_parent() -> list[str]:
    """What a command is put behind so that it dies with this process; nothing where no kernel does that."""
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", "-c", _WITH_PARENT, str(os.getpid())]


def _stop(process: subprocess.Popen[str]) -> None:
    """End the trainer and its workers: its session is its own."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            continue
        return


def _failed(code: int, last: list[str], command: Sequence[str]) -> CheckpointError:
    text = "\n".join(last)
    said = next((line for line in reversed(last) if "Error" in line or "error:" in line), "")
    said = said or " / ".join(last[-2:])
    if code < 0:
        text += f"\n{signal.Signals(-code).name}"
        said = said or signal.Signals(-code).name
        if -code == signal.SIGKILL:
            text += "\nKilled"
    likely, do = next(
        ((why, what) for sign, why, what in _REASONS if sign in text),
        (
            "It was stopped, an option is none of LeRobot's, or it cannot read the dataset.",
            "Run it by hand; the command is: " + " ".join(command),
        ),
    )
    return CheckpointError(f"lerobot-train ended with code {code}: {said[:400]}", likely, do)
