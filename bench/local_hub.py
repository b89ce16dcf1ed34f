"""A hub on this machine: real HTTP over a real socket, with faults on demand.

It answers `huggingface_hub` as the hub does (see `local_hub_routes`). Before each request is
answered `fault_for` is asked whether something goes wrong with this one, so that a test or a
benchmark can break any request it likes, or end the client's process at that very moment.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self

from bench.local_hub_routes import Answer, Request, Routes
from bench.local_hub_store import Store, Tagged

TOKEN, READER = "hf_localWriter", "hf_localReader"
_CHUNK_BYTES = 1 << 16
_NONSENSE = b"<!doctype html><html><body>Welcome to Hotel WiFi. Please sign in.</body></html>"

FaultKind = Literal[
    "status",  # an error instead of doing it
    "late_status",  # done, but an error is said
    "html",  # a page of the hotel instead of the hub
    "json",  # JSON, but not what was asked for
    "cut_before",  # the line goes before the body is read
    "cut_body",  # the line goes when half of the body is there
    "cut_after",  # done, but the line goes before the answer
    "cut_answer",  # the line goes within the answer
    "slow",  # everything takes longer
]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request. `act` is called at that moment (to kill somebody, say)."""

    kind: FaultKind
    status: int = 500
    retry_after_s: int | None = None
    delay_s: float = 0.0
    echo_token: bool = False
    act: Callable[[], None] | None = None


type FaultFor = Callable[[int, Request], Fault | None]
"""Asked with the request's number (from 0) and the request, its body not yet read."""


class LocalHub:
    """A hub that listens on a port of this machine while it is open.

    `seen` holds every request in order, without bodies; `received` is (when, bytes) of what came
    in, for judging a rate.
    """

    def __init__(
        self,
        *,
        user: str = "me",
        fault_for: FaultFor = lambda *_: None,
        tagged: Tagged = lambda *_: None,
        page_size: int = 50,
    ) -> None:
        self.store = Store(tagged)
        self.fault_for = fault_for
        self.routes = Routes(self.store, user, TOKEN, READER, page_size)
        self.seen: list[Request] = []
        self.received: list[tuple[float, int]] = []
        self.broken = 0
        self._lock = threading.Lock()
        hub = self

        class _Bound(_Handler):
            local_hub = hub

        self._server = _Server(("127.0.0.1", 0), _Bound)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.routes.endpoint = self.endpoint
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; requests under way are cut."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def note(self, request: Request) -> Fault | None:
        """Count a request and find out what goes wrong with it."""
        with self._lock:
            number = len(self.seen)
            self.seen.append(request)
            fault = self.fault_for(number, request)
            self.broken += fault is not None
            return fault

    def took(self, count: int) -> None:
        """Note that `count` bytes of a body came in."""
        with self._lock:
            self.received.append((time.monotonic(), count))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that went away in the middle is what this hub is for."""


class _CutError(Exception):
    """The connection is to end now, whatever was under way."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    local_hub: LocalHub

    def log_message(self, *_: object) -> None:
        """Says nothing: thousands of requests are the rule."""

    def _serve(self) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        request = Request(self.command, self.path, token)
        fault = self.local_hub.note(request)
        try:
            answer = self._answer(request, fault)
            if fault is not None and fault.kind == "cut_answer":
                self._send(answer, cut=True)
            self._send(answer)
        except (_CutError, OSError):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815 - http.server's names

    def _answer(self, request: Request, fault: Fault | None) -> Answer:
        if fault is None:
            return self._done(request)
        if fault.kind == "slow":
            time.sleep(fault.delay_s)
        if fault.kind == "cut_before":
            _act(fault)
            raise _CutError
        if fault.kind == "cut_body":
            self._body(half=True)
            _act(fault)
            raise _CutError
        if fault.kind in ("slow", "cut_after", "cut_answer", "late_status"):
            done = self._done(request)
            _act(fault)
            if fault.kind == "cut_after":
                raise _CutError
            return _error(fault, request) if fault.kind == "late_status" else done
        self._body()
        _act(fault)
        if fault.kind == "html":
            return Answer(200, _NONSENSE, {"Content-Type": "text/html"})
        if fault.kind == "json":
            return Answer(200, b'{"hello": ["world", 1]}', {"Content-Type": "application/json"})
        return _error(fault, request)

    def _done(self, request: Request) -> Answer:
        body = self._body()
        full = Request(request.method, request.path, request.token, body)
        return self.local_hub.routes.answer(full)

    def _body(self, half: bool = False) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        wanted = length // 2 if half else length
        parts: list[bytes] = []
        while wanted > 0:
            part = self.rfile.read(min(wanted, _CHUNK_BYTES))
            if not part:
                raise _CutError
            self.local_hub.took(len(part))
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def _send(self, answer: Answer, cut: bool = False) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if cut:
            self.wfile.write(answer.body[: len(answer.body) // 2])
            raise _CutError
        if self.command != "HEAD":
            self.wfile.write(answer.body)


def _act(fault: Fault) -> None:
    if fault.act is not None:
        fault.act()


def _error(fault: Fault, request: Request) -> Answer:
    headers = {"Content-Type": "application/json"}
    if fault.retry_after_s is not None:
        headers["Retry-After"] = str(fault.retry_after_s)
    words = f"token {request.token} is not liked" if fault.echo_token else "on purpose"
    return Answer(fault.status, b'{"error": "%s"}' % words.encode(), headers)
