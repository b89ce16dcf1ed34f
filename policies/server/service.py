"""A model behind a websocket: openpi's protocol, with the model in a thread of its own.

On connecting a client gets the metadata, then an answer for each observation, in the order in which
they were sent. Every client has one observation in the model and one waiting; when another comes,
the one that waited is answered as dropped: an old observation is of no use, and nobody's memory
fills. An error is one text message in three parts, without a trace of the program, and the end of
the connection (1011), as openpi's clients expect it. `GET /healthz` answers OK while all this goes on.
"""

import asyncio
import contextlib
import hmac
import http
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from policies.model import Model
from policies.server.recording import Recording
from policies.server.request import (
    Request,
    metadata_of,
    raw_message,
    read_request,
)
from policies.server.wire import MAX_BYTES, Message, WireError, pack, unpack
from policies.server.worker import Worker
from robotd.errors import CheckpointError, RobotdError

log = logging.getLogger("serve-policy")

CLIENTS = 16
_FLOOD = 1000  # dropped observations that nobody was told of yet
_DROPPED = (
    "The observation was dropped: a newer one of the same client came before its turn.\n"
    "  likely: The client sends observations faster than the model computes.\n"
    "  do:     Wait for an answer before the next observation."
)
_HEALTHZ = "/healthz"


@dataclass(slots=True)
class _Client:
    """One connection: what waits, and who has to be told that theirs does no more. `known`: it has
    had an answer."""

    waiting: Request | None = None
    known: bool = False
    dropped: list[int | None] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False


class PolicyService:
    """Serves one model. `api_key` empty: everybody who can reach the port is served."""

    def __init__(
        self,
        model: Model,
        sha256: str,
        worker: Worker,
        *,
        api_key: str = "",
        recording: Recording | None = None,
        max_bytes: int = MAX_BYTES,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._model = model
        self._interface = model.interface
        self._metadata = pack(metadata_of(model, sha256))
        self._worker = worker
        self._api_key = api_key.encode()
        self._recording = recording
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        self._clients = 0

    async def listen(self, host: str, port: int) -> Server:
        """Open the port (0: any that is free). The caller closes the server."""
        return await serve(
            self._serve,
            host,
            port,
            compression=None,
            max_size=self._max_bytes,
            max_queue=2,
            process_request=self._admit,
            server_header=None,
        )

    def _admit(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """What a client is told before it may speak; None: it may."""
        if request.path == _HEALTHZ:
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        said = ",".join(request.headers.get_all("Authorization")).encode()
        if self._api_key and not hmac.compare_digest(said, b"Api-Key " + self._api_key):
            return connection.respond(
                http.HTTPStatus.UNAUTHORIZED,
                "This policy server wants its API key.\n"
                "  likely: The client has none, or another one.\n"
                "  do:     openpi-client: api_key=…; robotd: ROBOTD_POLICY_API_KEY.\n",
            )
        if self._clients >= CLIENTS:
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE,
                f"{CLIENTS} clients are connected already.\n"
                "  likely: Clients that never leave.\n"
                "  do:     Close one, or start another server on another port.\n",
            )
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        self._clients += 1
        client = _Client()
        try:
            await socket.send(self._metadata)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._answer(socket, client))
                await self._read(socket, client)
        except* ConnectionClosed:
            pass  # the client is gone; whatever it asked for is nobody's any more
        finally:
            self._clients -= 1

    async def _read(self, socket: ServerConnection, client: _Client) -> None:
        """Take what the client sends until it ends; the newest one waits."""
        try:
            async for body in socket:
                if isinstance(body, str):
                    raise WireError("it is text; observations are binary msgpack messages")
                request = read_request(unpack(body), self._interface)
                if client.waiting is not None:
                    client.dropped.append(client.waiting.number)
                if len(client.dropped) > _FLOOD:
                    await socket.close(CloseCode.POLICY_VIOLATION, "too many observations at once")
                    return
                client.waiting = request
                client.arrived.set()
        except WireError as error:
            await _refuse(
                socket,
                CheckpointError(
                    f"A message could not be read: {error}.",
                    "The client does not speak openpi's protocol, or sends Python objects.",
                    "Use openpi-client, or robotd run --policy ws://HOST:PORT.",
                ),
            )
        except RobotdError as error:
            await _refuse(socket, error)
        finally:
            client.ended = True
            client.arrived.set()

    async def _answer(self, socket: ServerConnection, client: _Client) -> None:
        """Answer one observation after the other."""
        total_ns: int | None = None
        while True:
            await client.arrived.wait()
            client.arrived.clear()
            if client.ended:
                return
            request, client.waiting = client.waiting, None
            if request is None:
                continue
            if not client.known:
                request = replace(request, fresh=True)  # whoever was here before had an episode
            began_ns = self._now_ns()
            try:
                answer = await self._worker.do(partial(self._infer, request, began_ns))
            except RobotdError as error:
                await _refuse(socket, error)
                return
            except Exception as error:
                log.exception("the model failed")
                await _refuse(socket, _failed(error))
                return
            if total_ns is not None and "server_timing" in answer:
                answer["server_timing"]["prev_total_ms"] = total_ns / 1e6
            await self._tell(socket, answer, request.number)
            for number in client.dropped:
                await self._tell(socket, {"dropped": True, "error": _DROPPED}, number)
            client.dropped.clear()
            client.known = True
            total_ns = self._now_ns() - began_ns

    @staticmethod
    async def _tell(socket: ServerConnection, answer: Message, number: int | None) -> None:
        await socket.send(pack(answer if number is None else answer | {"__id__": number}))

    def _infer(self, request: Request, came_ns: int) -> Message:
        """One answer; runs in the model's thread."""
        if request.seed is not None:
            self._model.reseed(request.seed)
        if request.command == "reset" or request.fresh:
            self._model.reset()
        if request.command == "reset":
            return {"__cmd__": "reset"}
        began_ns = self._now_ns()
        actions = self._model.predict(
            request.values, request.task, noise=request.noise, leftover=request.leftover
        )
        infer_ms = (self._now_ns() - began_ns) / 1e6
        answer: Message = {
            "actions": actions,
            "policy_timing": {"infer_ms": self._model.timings.infer_ns / 1e6},
            "server_timing": {"infer_ms": infer_ms, "wait_ms": (began_ns - came_ns) / 1e6},
        }
        raw = self._model.raw
        if raw is not None and request.number is not None:
            answer["__raw__"] = raw_message(raw)  # asked for by robotd's own client
        if self._recording is not None:
            self._recording.keep(request, actions)
        return answer

    async def finish(self, patience_s: float) -> None:
        """Let what is being computed be answered, for `patience_s` at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._worker.do(lambda: None), patience_s)


def _failed(error: Exception) -> CheckpointError:
    return CheckpointError(
        f"The policy could not compute an answer: {type(error).__name__}: {error}.",
        "The observation is not what it was trained on, or the device ran out of memory.",
        "Look at the server's terminal: the whole story is there.",
    )


async def _refuse(socket: ServerConnection, error: RobotdError) -> None:
    """Say it in openpi's way: a text message, then the end."""
    log.warning("a client is refused: %s", error.what)
    with contextlib.suppress(ConnectionClosed):
        await socket.send(str(error))
    await socket.close(CloseCode.INTERNAL_ERROR, "see the message before")
