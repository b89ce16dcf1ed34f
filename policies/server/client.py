"""A connection to a policy server that may go away: one question, one answer, never an old one.

Every wait has an end. An answer belongs to the connection it was asked on: whoever does not answer
in time is hung up on, so what it says later reaches nobody. A server that is away is tried again
after a pause that doubles, and asking meanwhile fails at once.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection, connect

from policies.server.wire import MAX_BYTES, Message, WireError, pack, unpack
from robotd.clock import NS_PER_S
from robotd.errors import PolicyServerError

CONNECT_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0
_LINGER_S = 0.2  # for the last word of a server that may be dead

SCHEMES = ("ws://", "wss://")


def is_server(source: str) -> bool:
    """Whether a policy is named by a server's address rather than by a folder."""
    return source.startswith(SCHEMES)


class ServerLink:
    """One client of one server. Not for several threads.

    `welcome` is called with the metadata of every connection, and raises when the server is not
    the one that was expected.
    """

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        welcome: Callable[[Message], None] = lambda _metadata: None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.url = url
        self.welcome = welcome
        self._api_key = api_key
        self._now_ns = now_ns
        self._connection: ClientConnection | None = None
        self._opened = contextlib.ExitStack()
        self._pause_s = _FIRST_PAUSE_S
        self._retry_ns = 0
        self._away: PolicyServerError | None = None

    def open(self) -> None:
        """Be connected, or raise PolicyServerError: at once where the last try was just now."""
        if self._connection is not None and self._connection.state is State.OPEN:
            return
        self.close()
        if self._away is not None and self._now_ns() < self._retry_ns:
            raise self._away
        try:
            self._connection = self._connected()
        except PolicyServerError as error:
            self._away = error
            self._retry_ns = self._now_ns() + round(self._pause_s * NS_PER_S)
            self._pause_s = min(2.0 * self._pause_s, _LONGEST_PAUSE_S)
            raise
        self._away, self._pause_s = None, _FIRST_PAUSE_S

    def ask(self, message: Message, timeout_s: float) -> Message:
        """The server's answer to `message`. Raises PolicyServerError; the link stays usable."""
        body = pack(message)
        self.open()
        connection = self._connection
        assert connection is not None
        deadline_s = time.monotonic() + timeout_s
        try:
            with _Cut(connection, timeout_s):
                connection.send(body)
            answer = connection.recv(max(0.0, deadline_s - time.monotonic()))
        except TimeoutError as error:
            self.close()
            raise _silent(self.url, timeout_s) from error
        except (ConnectionClosed, OSError) as error:
            self.close()
            raise _gone(self.url, error) from error
        if isinstance(answer, str):
            self.close()
            raise _refused(self.url, answer)
        return self._read(answer)

    def close(self) -> None:
        """Hang up. What the server still says reaches nobody."""
        self._connection = None
        self._opened.close()

    def _connected(self) -> ClientConnection:
        headers = {"Authorization": f"Api-Key {self._api_key}"} if self._api_key else None
        try:
            connection: ClientConnection = self._opened.enter_context(
                connect(
                    self.url,
                    compression=None,
                    max_size=MAX_BYTES,
                    open_timeout=CONNECT_S,
                    close_timeout=_LINGER_S,
                    additional_headers=headers,
                    proxy=None,
                )
            )
        except (InvalidURI, ValueError) as error:
            raise _no_address(self.url, error) from error
        except InvalidStatus as error:
            body = bytes(error.response.body or b"").decode(errors="replace")
            raise _not_admitted(self.url, error.response.status_code, body) from error
        except (OSError, WebSocketException) as error:
            raise _away(self.url, error) from error
        try:
            first = connection.recv(CONNECT_S)
            if isinstance(first, str):
                raise _refused(self.url, first)
            self.welcome(self._read(first))
        except (TimeoutError, ConnectionClosed, OSError) as error:
            self.close()
            raise _no_metadata(self.url, error) from error
        except PolicyServerError:
            self.close()
            raise
        return connection

    def _read(self, body: bytes) -> Message:
        try:
            return unpack(body)
        except WireError as error:
            self.close()
            raise PolicyServerError(
                f"What {self.url} says is not understood: {error}.",
                "It is a server of another kind, or of another version.",
                "Start one there that speaks openpi's protocol: robotd serve-policy.",
            ) from error


class _Cut:
    """Ends a send that does not go on: a server that reads nothing would block it for ever."""

    def __init__(self, connection: ClientConnection, after_s: float) -> None:
        self._socket = connection.socket
        self._timer = threading.Timer(after_s, self._shut)
        self._timer.daemon = True

    def _shut(self) -> None:
        with contextlib.suppress(OSError):  # it ended by itself meanwhile
            self._socket.shutdown(socket.SHUT_RDWR)  # a mere close would not wake the sender

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _away(url: str, error: Exception) -> PolicyServerError:
    parts = urlsplit(url)
    page = f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}/healthz"
    return PolicyServerError(
        f"The policy server {url} cannot be reached: {_words(error)}.",
        "It is not running, still loading, or the address or the network between is wrong.",
        f"Look at that machine: curl {page} says OK when it serves. Then run the policy again.",
    )


def _gone(url: str, error: Exception) -> PolicyServerError:
    return PolicyServerError(
        f"The policy server {url} is gone: {_words(error)}.",
        "Its program ended or was killed, or the network broke.",
        "Start the server again, then run the policy again.",
    )


def _silent(url: str, timeout_s: float) -> PolicyServerError:
    return PolicyServerError(
        f"The policy server {url} did not answer within {timeout_s:.1f} s.",
        "It is busy with another client, compiles, hangs, or the network is too slow.",
        "Look at that machine; then run the policy again.",
    )


def _refused(url: str, words: str) -> PolicyServerError:
    """What the server says of an error; the last line of a trace is the one that tells."""
    lines = [line.strip() for line in words.strip().splitlines() if line.strip()]
    ours = len(lines) == 3 and lines[1].startswith("likely:") and lines[2].startswith("do:")
    if ours:
        return PolicyServerError(
            f"{url}: {lines[0]}",
            lines[1].removeprefix("likely:").strip(),
            lines[2].removeprefix("do:").strip(),
        )
    return PolicyServerError(
        f"The policy server {url} failed: {lines[-1] if lines else 'it does not say how'}.",
        "The observation does not have what its policy was trained on.",
        "Look at the server's terminal; name its keys with --rename SERVER_KEY=ROBOT_KEY.",
    )


def _not_admitted(url: str, status: int, body: str) -> PolicyServerError:
    if status in (401, 403):
        return PolicyServerError(
            f"The policy server {url} does not let this robot in ({status}).",
            "It wants an API key, or another one.",
            "Start robotd with ROBOTD_POLICY_API_KEY set to the server's key.",
        )
    first = body.strip().splitlines()[:1]
    return PolicyServerError(
        f"{url} answers with HTTP {status}{': ' + first[0] if first else ''}.",
        "Another program listens there, a proxy stands between, or the server is full.",
        "Give the address of a policy server: ws://HOST:PORT.",
    )


def _no_metadata(url: str, error: Exception) -> PolicyServerError:
    return PolicyServerError(
        f"{url} says nothing after connecting: {_words(error)}.",
        "It is no policy server, or hangs.",
        "Start one there that speaks openpi's protocol: robotd serve-policy.",
    )


def _no_address(url: str, error: Exception) -> PolicyServerError:
    return PolicyServerError(
        f"{url!r} is no address of a policy server: {_words(error)}.",
        "It was mistyped.",
        "Write it like ws://192.168.1.20:8000, or wss:// behind TLS.",
    )


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
