"""The wire: requests in from a ROUTER, replies out, the state on a PUB. Waits on nobody.

Whatever comes in, a reply goes out: a message that is too long, no JSON, of another schema, or no
request at all is answered with an error in three parts. A client that does not read loses its own
messages and nothing else.
"""

from pathlib import Path
from typing import Any

import msgspec
import zmq

from daemon.supervisor.pending import failure
from robotd import messages
from robotd.errors import DaemonError, RobotdError, StateError
from robotd.messages import Envelope, Reply

LONGEST_REQUEST_BYTES = 64 * 1024  # the longest honest one is a goal or a path: under 8 KiB
_LONGEST_MESSAGE_BYTES = 64 << 20  # above this ZeroMQ drops the connection
_STATE_QUEUE = 2  # newest wins: a slow watcher loses states, not the daemon its memory


class _Head(msgspec.Struct):
    """What is needed of a message to answer it, whatever else is in it."""

    id: int = 0
    schema: int = messages.SCHEMA


_decode_head = msgspec.json.Decoder(_Head).decode


class Api:
    """The two public sockets of one robot."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", runtime: Path) -> None:
        self.router = context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.LINGER, 200)
        self.router.setsockopt(zmq.MAXMSGSIZE, _LONGEST_MESSAGE_BYTES)
        self._state = context.socket(zmq.PUB)
        self._state.setsockopt(zmq.LINGER, 200)  # the last state says whether the arm is down
        self._state.setsockopt(zmq.SNDHWM, _STATE_QUEUE)
        self.router.bind(f"ipc://{runtime / messages.API_SOCKET}")
        self._state.bind(f"ipc://{runtime / messages.STATE_SOCKET}")

    def receive(self) -> tuple[bytes, Envelope] | None:
        """The next request that can be understood; others are answered here. None: no more."""
        while True:
            try:
                parts = self.router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return None
            client, body = parts[0], parts[-1]
            try:
                return client, _understand(body)
            except RobotdError as error:
                self.reply(client, failure(_id_of(body), error))

    def reply(self, client: bytes, reply: Reply) -> None:
        """Answer. A client that is gone or does not read costs nothing."""
        try:
            self.router.send_multipart([client, messages.encode(reply)], zmq.NOBLOCK)
        except zmq.Again:
            return

    def publish(self, status: messages.Status) -> None:
        """Publish the state to whoever watches."""
        self._state.send(messages.encode(status), zmq.NOBLOCK)

    def close(self) -> None:
        self.router.close()
        self._state.close()


def _understand(body: bytes) -> Envelope:
    """The request in a message. Raises DaemonError or StateError."""
    if len(body) > LONGEST_REQUEST_BYTES:
        raise StateError(
            f"The request is {len(body)} bytes long; {LONGEST_REQUEST_BYTES} is the limit.",
            "A file or a log was passed where a sentence or a name was meant.",
            "Pass a short text.",
        )
    try:
        head = _decode_head(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DaemonError(
            f"The message is no request: {error}.",
            "A program speaks to this socket that is no robotd client.",
            "Use `import robotd; robotd.connect()`; docs/api.md has the format.",
        ) from error
    if head.schema != messages.SCHEMA:
        raise DaemonError(
            f"The client speaks schema {head.schema}, this robotd speaks {messages.SCHEMA}.",
            "Client and daemon are of different versions.",
            "Install the same version for both, then restart the daemon.",
        )
    try:
        return messages.decode_envelope(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DaemonError(
            f"The request cannot be understood: {error}.",
            "A field is missing, misspelt or of another type.",
            "docs/api.md lists every request and its fields.",
        ) from error


def _id_of(body: bytes) -> int:
    try:
        return _decode_head(body).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0


def as_data(value: Any) -> dict[str, Any]:
    """A struct as a reply's data."""
    data: dict[str, Any] = msgspec.to_builtins(value)
    return data
