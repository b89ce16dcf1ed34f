"""One end of a private line to a child: a ZeroMQ PAIR that this side binds.

A PAIR has one peer. A child that was started anew is a new peer, so the line is bound afresh for
each one; what the old one left in the queue is gone with it. ZeroMQ has no queue for a peer that
has not connected yet, so what is said to a child that is still starting waits here.
"""

from collections import deque
from pathlib import Path

import zmq

_QUEUE = 256  # messages; a child that reads nothing for that long is dead


class PairLine:
    """A line to a child. Nothing here waits."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", path: Path) -> None:
        self._context = context
        self._path = path
        self._socket: zmq.Socket[bytes] | None = None
        self._outbox: deque[bytes] = deque()

    def bind(self) -> None:
        """Make the line for a child that is about to start."""
        self.close()
        socket = self._context.socket(zmq.PAIR)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, _QUEUE)
        self._path.unlink(missing_ok=True)
        socket.bind(f"ipc://{self._path}")
        self._socket = socket

    def send(self, message: bytes) -> bool:
        """Queue a message; False when there is no line or its queue is full."""
        if self._socket is None or len(self._outbox) >= _QUEUE:
            return False
        self._outbox.append(message)
        self._flush()
        return True

    def receive(self) -> list[bytes]:
        """Every message that has come."""
        self._flush()
        messages: list[bytes] = []
        while self._socket is not None:
            try:
                messages.append(self._socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                break
        return messages

    def _flush(self) -> None:
        while self._socket is not None and self._outbox:
            try:
                self._socket.send(self._outbox[0], zmq.NOBLOCK)
            except zmq.Again:
                return
            self._outbox.popleft()

    def close(self) -> None:
        self._outbox.clear()
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None
