"""A client's ZeroMQ sockets, let go of together with their owner.

pyzmq's own clean-up hangs when context and sockets become garbage at once (an object in a cycle, as
an exception's traceback makes them): the context forgets its sockets first and then waits for ever
for them to be closed. So whoever opens a connection keeps its sockets here.
"""

import weakref
from typing import Any

import zmq


class Endpoints:
    """One context and its open sockets. Closed by `close`, or when `owner` is gone, whichever comes
    first; what was not sent by then is not waited for."""

    def __init__(self, owner: object) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        context.setsockopt(zmq.LINGER, 0)
        self._context = context
        self._sockets: list[zmq.Socket[bytes]] = []
        self._let_go: Any = weakref.finalize(owner, _close, context, self._sockets)

    def open(self, kind: int) -> "zmq.Socket[bytes]":
        """A new socket of `kind` (zmq.DEALER, …), not connected yet."""
        socket = self._context.socket(kind)
        self._sockets.append(socket)
        return socket

    def drop(self, socket: "zmq.Socket[bytes]") -> None:
        """Close one of them."""
        self._sockets.remove(socket)
        socket.close(linger=0)

    def close(self) -> None:
        """Close all. A second time does nothing."""
        self._let_go()


def _close(context: "zmq.Context[zmq.Socket[bytes]]", sockets: "list[zmq.Socket[bytes]]") -> None:
    for socket in sockets:
        socket.close(linger=0)
    context.term()
