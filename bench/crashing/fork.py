"""A warm process that forks one child for each order: imports and warming up are paid once.

The child is a real process that dies a real death. Orders come in and outcomes go out as JSON lines;
what the children log goes to a file.
"""

import contextlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from robotd.errors import DaemonError

_HUNG_S = 60.0  # a life takes a fraction of a second; on a machine that swaps, several
_FAILED = 70  # exit code of a life that ended by an exception


class _Timed(Protocol):
    @property
    def kill_after_s(self) -> float: ...


class Outcome(msgspec.Struct, frozen=True):
    """How a life ended: by which signal (0: none), its exit code, and whether it had hung."""

    signal: int
    code: int
    hung: bool
    seconds: float


class Zygote:
    """The warm process, from the outside."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    def live(self, order: msgspec.Struct) -> Outcome:
        """Have one life lived, to its end. Raises DaemonError when the warm process is no more."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = b""
        if not line:
            raise DaemonError(
                "The process that the lives are forked from has ended.",
                "It was killed, perhaps for want of memory, or has a defect.",
                "What it said last:\n" + self.log()[-2000:],
            )
        return msgspec.json.decode(line, type=Outcome)

    def log(self) -> str:
        """What was logged so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


@contextmanager
def zygote(folder: Path, module: str, prepare: Path | None = None) -> Iterator[Zygote]:
    """Start `python -m module` and wait until it is warm; ended at the end.

    `prepare` is a Python file that is run in it before anything else.
    """
    log = folder / "lives.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(folder), str(prepare or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {"PYTHONHASHSEED": "0", "ARROW_NUM_THREADS": "1"},
            start_new_session=True,  # so that it can be ended with the life that it watches
        )
    made = Zygote(process, log)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise DaemonError(
                "The process that the lives are forked from did not start.",
                "A part of robotd is not installed, or has a defect.",
                "What it said last:\n" + made.log()[-2000:],
            )
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def serve[T: _Timed](
    live: Callable[[T], None],
    kind: type[T],
    warm: Callable[[Path], None],
    arguments: list[str],
) -> int:
    """The warm process itself: forks a child for each order until its input ends."""
    folder, prepare = arguments
    if prepare:
        runpy.run_path(prepare)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        warm(Path(place))
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    _tell(answers, {"warm": True})
    for line in orders:
        order = msgspec.json.decode(line, type=kind)
        began_s = time.monotonic()
        child = os.fork()
        if child == 0:
            _live(live, order)
        hung, status = _wait(child, order.kill_after_s)
        by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
        seconds = time.monotonic() - began_s
        _tell(answers, msgspec.to_builtins(Outcome(by, code, hung, seconds)))
    return 0


def _live[T: _Timed](live: Callable[[T], None], order: T) -> None:
    code = _FAILED
    try:
        live(order)
        code = 0
    except BaseException:  # noqa: BLE001  the exit code says it, the log has it
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _wait(child: int, kill_after_s: float) -> tuple[bool, int]:
    """Wait for the child, and kill it at its time, or when it hangs."""
    watch = os.pidfd_open(child)
    try:
        limit_s = kill_after_s if kill_after_s >= 0 else _HUNG_S
        ended = bool(select.select([watch], [], [], limit_s)[0])
    finally:
        os.close(watch)
    if not ended:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return not ended and kill_after_s < 0, status


def _tell(answers: Any, words: dict[str, Any]) -> None:
    answers.write(json.dumps(words).encode() + b"\n")
    answers.flush()
