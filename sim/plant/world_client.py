"""Talk to a running plant's world socket: for the expert, evaluation and tests."""

from pathlib import Path
from typing import Any

import msgspec
import zmq

from robotd.endpoints import Endpoints
from robotd.errors import DaemonError
from sim.plant import world_messages as msg
from sim.plant.server_paths import PLANT_FOLDER, WORLD_SOCKET

_REPLY = msgspec.json.Decoder(msg.Reply)


class WorldClient:
    """One connection. Not for several threads at once."""

    def __init__(self, runtime: Path, timeout_ms: int = 2_000) -> None:
        self._address = f"ipc://{runtime / PLANT_FOLDER / WORLD_SOCKET}"
        self._timeout_ms = timeout_ms
        self._endpoints = Endpoints(self)
        self._socket = self._connect()

    def _connect(self) -> "zmq.Socket[bytes]":
        socket = self._endpoints.open(zmq.REQ)
        socket.setsockopt(zmq.RCVTIMEO, self._timeout_ms)
        socket.connect(self._address)
        return socket

    def ask(self, request: msg.Request) -> Any:
        """Send one request and return its value.

        Raises msg.WorldError when the world refuses it, DaemonError when nobody answers in time.
        """
        self._socket.send(msgspec.json.encode(request))
        try:
            data = self._socket.recv()
        except zmq.Again:
            # A REQ socket that lost its answer can send nothing more.
            self._endpoints.drop(self._socket)
            self._socket = self._connect()
            raise DaemonError(
                f"The plant did not answer within {self._timeout_ms} ms at {self._address}.",
                "No plant runs there, or it is overloaded.",
                "Start it with: robotd start --sim",
            ) from None
        reply = _REPLY.decode(data)
        if not reply.ok:
            raise msg.WorldError(reply.error)
        return reply.value

    def truth(self) -> msg.TruthReply:
        """Where everything really is."""
        return msgspec.convert(self.ask(msg.Truth()), msg.TruthReply)

    def reset(self, seed: int, arms: bool = False) -> None:
        """Lay the block where `seed` says; with `arms`, followers back in their rest pose."""
        self.ask(msg.Reset(seed, arms))

    def fault(
        self,
        kind: str,
        servo_id: int | None = None,
        *,
        arm: str = "follower",
        value: int | None = None,
        seconds: float | None = None,
        replies: int | None = None,
    ) -> None:
        """Set a fault of `sim.plant.fault_table`. Raises msg.WorldError for one that cannot be."""
        self.ask(msg.SetFault(servo_id, kind, arm, value, replies, seconds=seconds))

    def clear_faults(self, arm: str = "follower") -> None:
        """Repair an arm."""
        self.ask(msg.ClearFaults(arm))

    def faults(self) -> list[msg.FaultNow]:
        """The faults that are set now."""
        return msgspec.convert(self.ask(msg.ListFaults()), list[msg.FaultNow])

    def close(self) -> None:
        """Let go of the socket."""
        self._endpoints.close()
