"""The client: requests to the daemon, and the state it publishes.

`robotd.connect()` is the whole public way in; the CLI and the TUI use nothing else. Every call has
a time limit and raises the daemon's own three-part error when it refuses.
"""

import itertools
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import zmq

from robotd import errors, messages, paths
from robotd.endpoints import Endpoints
from robotd.estop import EstopCounter


def running_instances() -> dict[str, messages.Instance]:
    """The daemons of this user that are alive, by robot name."""
    found: dict[str, messages.Instance] = {}
    for file in sorted(paths.runtime_root().glob(f"*/{messages.INSTANCE_FILE}")):
        try:
            instance = messages.decode_instance(file.read_bytes())
        except (OSError, msgspec.DecodeError):
            continue  # being replaced, or left by another version: not a running daemon of ours
        if _alive(instance):
            found[instance.name] = instance
    return found


def _alive(instance: messages.Instance) -> bool:
    """Whether the process of `instance.json` still runs and is a robotd, not a reused pid."""
    try:
        command = Path(f"/proc/{instance.pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return _alive_without_proc(instance.pid)
    except OSError:
        return False
    return b"robotd" in command or b"daemon" in command


def _alive_without_proc(pid: int) -> bool:
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def choose_instance(name: str | None) -> messages.Instance:
    """The instance called `name`, or the only one. Raises DaemonError for none or several."""
    instances = running_instances()
    if name is not None:
        if name in instances:
            return instances[name]
        others = ", ".join(instances) or "none"
        raise errors.DaemonError(
            f"No robotd named {name!r} is running (running: {others}).",
            "It was not started, or it runs as another user.",
            f"Start it: robotd start --name {name} (or --sim for the simulated arm).",
        )
    if len(instances) == 1:
        return next(iter(instances.values()))
    if not instances:
        raise errors.DaemonError(
            "No robotd is running.",
            "It was not started, it stopped, or it runs as another user.",
            "Start it: robotd start --sim for the simulated arm, robotd start for a real one.",
        )
    raise errors.DaemonError(
        f"Several robots are running: {', '.join(instances)}.",
        "A rehearsal runs beside a real daemon.",
        "Say which one you mean: --name NAME (or $ROBOTD_NAME).",
    )


class Robot:
    """A connection to one daemon. Not for use from several threads at once."""

    def __init__(self, instance: messages.Instance, timeout_s: float = 5.0) -> None:
        self.instance = instance
        self.runtime = paths.runtime_dir(instance.name)
        self.timeout_s = timeout_s
        # A request to a daemon that is gone must not keep its program from ending.
        self._endpoints = Endpoints(self)
        self._ids = itertools.count(1)
        self._socket = self._dealer()
        self._state: zmq.Socket[bytes] | None = None
        self._estop: EstopCounter | None = None

    @classmethod
    def connect(cls, name: str | None = None, timeout_s: float = 5.0) -> "Robot":
        """Connect to a running daemon; see `robotd.connect`."""
        return cls(choose_instance(name or os.environ.get("ROBOTD_NAME")), timeout_s)

    def __enter__(self) -> "Robot":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Changes nothing on the robot."""
        self._endpoints.close()
        if self._estop is not None:
            self._estop.close()

    def request(
        self, request: messages.AnyRequest, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Send one request and return the reply's data.

        Raises the RobotdError subclass that the daemon named, or DaemonError when no answer came
        within `timeout_s`.
        """
        number = next(self._ids)
        self._socket.send(
            messages.encode(messages.Envelope(schema=messages.SCHEMA, id=number, request=request))
        )
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        deadline_s = time.monotonic() + limit_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            if not self._socket.poll(int(left_s * 1000) + 1):
                continue
            reply = messages.decode_reply(self._socket.recv())
            if reply.id != number:
                continue  # the answer to a request that we gave up on
            if isinstance(reply, messages.Failed):
                raise _error(reply)
            data: dict[str, Any] = reply.data
            return data
        # An answer may still come: a fresh socket keeps it from being taken for the next one.
        self._endpoints.drop(self._socket)
        self._socket = self._dealer()
        raise errors.DaemonError(
            f"{self.instance.name} did not answer within {limit_s:g} s.",
            "The daemon is busy, stopped or stuck.",
            "Look: robotd logs. To stop the arm now: robotd estop, or the plug.",
        )

    def status(self) -> messages.Status:
        """The newest state, by request."""
        return msgspec.convert(self.request(messages.GetStatus()), messages.Status)

    def watch(self, timeout_s: float = 1.0) -> messages.Status | None:
        """The next published state, or None when none came within `timeout_s`."""
        if self._state is None:
            self._state = self._endpoints.open(zmq.SUB)
            self._state.setsockopt(zmq.CONFLATE, 1)  # newest wins: a slow watcher never lags
            self._state.setsockopt(zmq.SUBSCRIBE, b"")
            self._state.connect(f"ipc://{self.runtime / messages.STATE_SOCKET}")
        if not self._state.poll(int(timeout_s * 1000)):
            return None
        return messages.decode_status(self._state.recv())

    def estop(self) -> int:
        """Press the software e-stop; needs no answer from the supervisor. The plug is the real
        one."""
        if self._estop is None:
            self._estop = EstopCounter(self.runtime)
        return self._estop.press()

    def _dealer(self) -> "zmq.Socket[bytes]":
        dealer = self._endpoints.open(zmq.DEALER)
        dealer.connect(f"ipc://{self.runtime / messages.API_SOCKET}")
        return dealer


def _error(reply: messages.Failed) -> errors.RobotdError:
    kind = getattr(errors, reply.kind, errors.RobotdError)
    if not (isinstance(kind, type) and issubclass(kind, errors.RobotdError)):
        kind = errors.RobotdError
    return kind(reply.what, reply.likely, reply.do)
