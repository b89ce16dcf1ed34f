"""What every process that makes plans does the same: its channel, and when it has to end.

It ignores Ctrl-C (the supervisor owns it) and ends on SIGTERM, on `Shutdown`, and when the process
that started it is gone.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

import msgspec
import zmq

from config.schema import Config
from robotd import policy_channel
from robotd.errors import DaemonError, RobotdError
from robotd.policy_channel import Failed, FromProcess, ToProcess


class PlanProcess:
    """The process side of a policy channel."""

    def __init__(self, address: Path) -> None:
        self._parent = os.getppid()
        self._terminated = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._terminate)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PAIR)
        self._socket.setsockopt(zmq.LINGER, 500)  # the last word may be why it ends
        self._socket.connect(f"ipc://{address}")

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True

    @property
    def ended(self) -> bool:
        """Whether it is time to go."""
        return self._terminated or os.getppid() != self._parent

    def receive(self, wait_ms: int) -> ToProcess | None:
        """The next message of the supervisor, waiting at most `wait_ms`."""
        if not self._socket.poll(wait_ms):
            return None
        return policy_channel.decode_to_process(self._socket.recv())

    def send(self, message: FromProcess) -> None:
        """Tell the supervisor. Dropped when nobody listens and the queue is full: never waits."""
        try:
            self._socket.send(policy_channel.encode(message), zmq.NOBLOCK)
        except zmq.Again:
            sys.stderr.write(f"nobody takes {type(message).__name__} from the channel\n")

    def fail(self, error: RobotdError, load_id: int = 0) -> None:
        """Tell the supervisor what went wrong, and the log too. `load_id`: with which load."""
        sys.stderr.write(f"{error}\n")
        kind = type(error).__name__
        self.send(Failed(id=load_id, kind=kind, what=error.what, likely=error.likely, do=error.do))

    def close(self) -> None:
        self._socket.close()
        self._context.term()


def read_config(path: Path) -> Config:
    """The resolved configuration that the supervisor wrote. Raises DaemonError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Config)
    except (OSError, msgspec.DecodeError) as error:
        raise DaemonError(
            f"The configuration {path} cannot be read: {error}.",
            "No supervisor has written it, or one of another version has.",
            "Let `robotd start` start this process.",
        ) from error
